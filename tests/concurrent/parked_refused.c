/*
 * parked_refused: a thread that adopts a parked cache, and then cannot have its end noticed, as
 * pthread_setspecific gets no memory. It works without a cache. The cache must not stay with it:
 * not even when the process has become crowded meanwhile, and none is parked any more.
 */
#include "testing.h"

#include "tcache/budget.h"

#include <errno.h>

enum { SIZE = 48, OBJECTS = 100 };

static bool refuses;

int __real_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
    return refuses ? ENOMEM : __real_pthread_setspecific(key, value);
}

static void *use_and_end(void *argument)
{
    static void *objects[OBJECTS];
    use_objects(objects, OBJECTS, SIZE);
    return argument;
}

static void end_one_refused(uint64_t parked)
{
    refuses = true;
    pthread_join(start_thread(use_and_end, NULL), NULL);
    refuses = false;
    const struct mb_stats *now = check_accounting(0);
    CHECK(now->threads == 1 && now->parked_caches == parked, "%llu threads, %llu parked",
          (unsigned long long)now->threads, (unsigned long long)now->parked_caches);
}

int main(void)
{
    mb_free(mb_alloc(SIZE));
    end_one_refused(0);
    pthread_join(start_thread(use_and_end, NULL), NULL);
    end_one_refused(1);
    (void)bounded_set_most(&mbi_budget, 1);
    end_one_refused(0);
    pthread_join(start_thread(use_and_end, NULL), NULL);
    CHECK(check_accounting(0)->threads == 1, "a thread that ended has a cache");
    return 0;
}
