/*
 * cancel_ending: threads that may be cancelled asynchronously, and are, while the library takes
 * their caches back: no cache is lost, and nothing that was in it.
 *
 * The linker puts functions between the library's: the thread cancels itself at the beginning of
 * its flush, or when the cache is to leave the registry.
 */
#include "never_parked.h"
#include "testing.h"

#include "tcache/thread_cache.h"

enum { THREADS = 200, OBJECTS = 300 };

static _Thread_local int cancel_at; /* 0: nowhere; 1: at the flush; 2: when it leaves */
static _Atomic unsigned passed[3];

static void pass(int place)
{
    if (cancel_at == place) {
        cancel_at = 0;
        atomic_fetch_add_explicit(&passed[place], 1, memory_order_relaxed); /* [TEST] */
        pthread_cancel(pthread_self());
    }
}

bool __real_mbi_thread_cache_flush(struct thread_cache *cache);
bool __wrap_mbi_thread_cache_flush(struct thread_cache *cache);
bool __wrap_mbi_thread_cache_flush(struct thread_cache *cache)
{
    pass(1);
    return __real_mbi_thread_cache_flush(cache);
}

enum retirement __real_mbi_registry_retire(struct thread_cache *cache);
enum retirement __wrap_mbi_registry_retire(struct thread_cache *cache);
enum retirement __wrap_mbi_registry_retire(struct thread_cache *cache)
{
    pass(2);
    return __real_mbi_registry_retire(cache);
}

static void *live(void *argument)
{
    void *objects[OBJECTS];
    use_objects(objects, OBJECTS, 500);
    cancel_at = *(int *)argument;
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    return NULL;
}

int main(void)
{
    (void)park_no_cache();
    mb_free(mb_alloc(1));
    for (int i = 0; i < THREADS; i++) {
        int place = 1 + i % 2;
        void *result;
        pthread_join(start_thread(live, &place), &result);
        CHECK(result == PTHREAD_CANCELED, "it was not cancelled");
    }
    CHECK(passed[1] == THREADS / 2 && passed[2] == THREADS / 2, "a place was not passed");
    const struct mb_stats *now = check_accounting(0);
    CHECK(now->threads == 1, "%llu threads are registered", (unsigned long long)now->threads);
    CHECK(now->vacant_caches < 20, "%llu caches", (unsigned long long)now->vacant_caches);
    return 0;
}
