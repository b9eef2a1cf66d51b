/*
 * parked_asked: pools that can commit no more are asked again and again. The registry's lock is not
 * taken each time to look for slots in parked caches that have none.
 */
#include "testing.h"

#include "core/limit.h"
#include "core/lock.h"
#include "tcache/registry.h"

enum { SIZE = 48, TIMES = 100 };

static _Atomic unsigned times_taken;

bool __real_mbi_lock_acquire(unsigned name);
bool __wrap_mbi_lock_acquire(unsigned name);
bool __wrap_mbi_lock_acquire(unsigned name)
{
    times_taken += name == LOCK_REGISTRY;
    return __real_mbi_lock_acquire(name);
}

/* Of the size that serves all others in the end. */
static void *use_largest_and_end(void *argument)
{
    static void *objects[2 * TIMES];
    use_objects(objects, 2 * TIMES, MB_SMALL_MAX);
    return argument;
}

int main(void)
{
    static void *objects[TIMES];
    setenv("MB_DECAY_MS", "-1", 1); /* what is free stays so, however long this takes */
    mb_free(mb_alloc(MB_SMALL_MAX));
    pthread_join(start_thread(use_largest_and_end, NULL), NULL);
    CHECK(mb_alloc_batch(MB_SMALL_MAX, TIMES, objects) == TIMES, "no memory");
    mb_free_batch(TIMES, objects);
    CHECK(check_accounting(0)->parked_caches == 1, "nothing is parked");

    (void)mb_memory_limit_set(bounded_taken(&mbi_committed));
    void **last = NULL;
    do { /* until no smaller size is left */
        void **object = mb_alloc(SIZE);
        CHECK(object != NULL, "no memory");
        *object = last;
        last = object;
    } while (mb_usable_size(last) != MB_SMALL_MAX);
    times_taken = 0;
    for (size_t i = 0; i < TIMES; i++) {
        objects[i] = mb_alloc(SIZE);
        CHECK(objects[i] != NULL, "no memory");
    }
    CHECK(mb_usable_size(objects[TIMES - 1]) == MB_SMALL_MAX, "a smaller pool has some still");
    CHECK(times_taken <= 1, "the registry's lock was taken %u times", times_taken);
    return 0;
}
