/*
 * membarrier EPERM|ENOSYS: a sandbox that comes up after the library refuses membarrier.
 *
 * liburcu, which found membarrier at the start, ends the process when it fails in a grace period.
 * Threads exit, so that grace periods are due, while others walk the statistics: nothing aborts,
 * nothing hangs, and caches are still reused. A filter belongs to a thread and those that it
 * starts: one that is older starts threads without it all the while.
 */
#include "never_parked.h"
#include "refuse_membarrier.h"

#include "tcache/registry.h"

enum { WALKERS = 2, AT_ONCE = 8, THREADS = (TEST_IS_SANITIZED ? 6 : 20) * RETIRE_BATCH };

static _Atomic bool refused;
static _Atomic bool stop;

static void *allocate_once(void *argument)
{
    void *objects[MB_SMALL_POOL_COUNT];
    for (size_t i = 0; i < MB_SMALL_POOL_COUNT; i++) {
        objects[i] = mb_alloc(1 + i * 8);
        CHECK(objects[i] != NULL, "no memory");
        memset(objects[i], 1, 1 + i * 8);
    }
    mb_free_batch(MB_SMALL_POOL_COUNT, objects);
    return argument;
}

static void start_and_join(size_t count)
{
    for (size_t started = 0; started < count; started += AT_ONCE) {
        pthread_t threads[AT_ONCE];
        for (size_t i = 0; i < AT_ONCE; i++) {
            threads[i] = start_thread(allocate_once, NULL);
        }
        for (size_t i = 0; i < AT_ONCE; i++) {
            pthread_join(threads[i], NULL);
        }
    }
}

/* Started before the filter, and so outside it, as are the threads that it starts. */
static void *stay_outside(void *argument)
{
    while (!atomic_load_explicit(&refused, memory_order_acquire)) { /* [TEST] */
        usleep(1000);
    }
    CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0,
          "the filter reaches a thread that is older");
    start_and_join(THREADS);
    return argument;
}

static void *walk_until_stopped(void *argument)
{
    static _Thread_local struct mb_stats stats;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) { /* [TEST] */
        CHECK(mb_stats_get(&stats, sizeof stats) == 0, "no statistics");
    }
    return argument;
}

int main(int argc, char **argv)
{
    int error = argc == 2 ? refusal_from_name(argv[1]) : 0;
    CHECK(error != 0, "usage: membarrier EPERM|ENOSYS");
    (void)park_no_cache();
    start_and_join(2 * RETIRE_BATCH); /* grace periods of liburcu */
    check_accounting(0);
    pthread_t outsider = start_thread(stay_outside, NULL);

    if (!refuse_membarrier(error)) {
        puts("this kernel has no membarrier to refuse, or no seccomp to refuse it with");
        return SKIPPED;
    }
    atomic_store_explicit(&refused, true, memory_order_release); /* [TEST] */
    pthread_t walkers[WALKERS];
    for (size_t i = 0; i < WALKERS; i++) {
        walkers[i] = start_thread(walk_until_stopped, NULL);
    }
    start_and_join(THREADS);
    pthread_join(outsider, NULL);
    atomic_store_explicit(&stop, true, memory_order_relaxed); /* [TEST] */
    for (size_t i = 0; i < WALKERS; i++) {
        pthread_join(walkers[i], NULL);
    }

    const struct mb_stats *stats = check_accounting(0);
    CHECK(stats->threads == 0, "%llu threads are registered", (unsigned long long)stats->threads);
    CHECK(stats->parked_caches == 0, "caches were parked, and not retired");
    CHECK(stats->vacant_caches < THREADS, "%llu caches, and so they were not reused",
          (unsigned long long)stats->vacant_caches);
    return 0;
}
