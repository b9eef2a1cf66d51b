/*
 * exit_storm: 1,000 threads (under a sanitizer 400), each with objects of several classes, exit at
 * the same moment.
 *
 * While they do, no more than RETIRE_MAX caches wait for a grace period, and what is known of the
 * threads that have gone never becomes less; in the last storm a walker stands still, so that no
 * grace period ends before it has seen the retire list full and the other threads wait. At rest
 * after each storm the accounting adds up, and nothing that the threads did is forgotten.
 */
#include "standing_walker.h"

#include <unistd.h>

enum {
    THREADS = TEST_IS_SANITIZED ? 400 : 1000, /* more than RETIRE_MAX */
    STORMS = 4,
    FEWER = TEST_IS_SANITIZED ? 2 : STORMS,
    STACK_BYTES = TEST_IS_SANITIZED ? 512 << 10 : 128 << 10, /* aarch64's least */
    KINDS = 4,
    PER_KIND = 80,
    LEFT_PER_THREAD = KINDS * PER_KIND / 2,
    LARGE_PER_THREAD = 3,
    FULL_MS = 100, /* how long the walker looks at the full list */
};

/* A magazine of 512 bytes is full with 32: each thread leaves one to the centre at least. */
static const size_t sizes[KINDS] = { 8, 64, 200, 512 };
static void *left[THREADS][LEFT_PER_THREAD]; /* freed by the main thread, after the storm */

static pthread_barrier_t all_ready;
static _Atomic bool stop;
static bool seen_full;

static void *allocate_and_exit(void *argument)
{
    void **mine = argument;
    void *objects[KINDS * PER_KIND];
    for (size_t i = 0; i < KINDS * PER_KIND; i++) {
        size_t size = sizes[i % KINDS];
        objects[i] = mb_alloc(size);
        CHECK(objects[i] != NULL, "no memory");
        memset(objects[i], 0x22, size);
    }
    memcpy(mine, objects, LEFT_PER_THREAD * sizeof *mine);
    mb_free_batch(LEFT_PER_THREAD, objects + LEFT_PER_THREAD);
    for (size_t i = 0; i < LARGE_PER_THREAD; i++) {
        mb_free(mb_alloc(MB_SMALL_MAX + 1));
    }
    pthread_barrier_wait(&all_ready);
    return NULL;
}

/* Compares with the time before, and keeps what it sees for the next. */
static void check_not_less(uint64_t now, uint64_t *before, const char *what)
{
    CHECK(now >= *before, "%s were %llu and are %llu", what, (unsigned long long)*before,
          (unsigned long long)now);
    *before = now;
}

/* What is kept of departed threads is exact at any moment; whole statistics only at rest. */
static void *sample_until_stopped(void *argument)
{
    static uint64_t allocs;
    static uint64_t frees;
    static uint64_t refills[SIZE_CLASS_COUNT];
    static uint64_t flushes[SIZE_CLASS_COUNT];
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) { /* [TEST] */
        uint64_t retired = counter_read(&mbi_cache_counts.retired);
        CHECK(retired <= RETIRE_MAX, "%llu caches are retired", (unsigned long long)retired);
        const struct thread_counts *counts = &mbi_departed_counts;
        check_not_less(counter_read(&counts->large_allocs), &allocs, "large requests");
        check_not_less(counter_read(&counts->large_frees), &frees, "large frees");
        for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
            const struct transfer_counts *departed = &pool_at(class)->departed;
            check_not_less(counter_read(&departed->refills), &refills[class], "refills");
            check_not_less(counter_read(&departed->flushes), &flushes[class], "flushes");
        }
    }
    return argument;
}

static void *walk_until_stopped(void *argument)
{
    static struct mb_stats stats;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) { /* [TEST] */
        CHECK(mb_stats_get(&stats, sizeof stats) == 0, "no statistics");
    }
    return argument;
}

/* Asked by a walker in its read-side section: whether the retire list has been full for a while. */
static bool was_full_for_long(void)
{
    static int full_ms;
    uint64_t retired = counter_read(&mbi_cache_counts.retired);
    CHECK(retired <= RETIRE_MAX, "%llu caches are retired", (unsigned long long)retired);
    full_ms += retired == RETIRE_MAX ? 1 : 0;
    seen_full = full_ms == FULL_MS;
    return seen_full;
}

static void storm(bool under_a_standing_walker)
{
    static pthread_t threads[THREADS];
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0, "no stacks of this size");
    for (size_t i = 0; i < THREADS; i++) {
        int error = pthread_create(&threads[i], &attributes, allocate_and_exit, left[i]);
        CHECK(error == 0, "pthread_create: %s", strerror(error));
    }
    pthread_attr_destroy(&attributes);

    atomic_store_explicit(&stop, false, memory_order_relaxed); /* [TEST] */
    pthread_t sampler = start_thread(sample_until_stopped, NULL);
    pthread_t walker = under_a_standing_walker ? start_standing_walker(was_full_for_long)
                                               : start_thread(walk_until_stopped, NULL);
    pthread_barrier_wait(&all_ready);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    atomic_store_explicit(&stop, true, memory_order_relaxed); /* [TEST] */
    pthread_join(walker, NULL);
    pthread_join(sampler, NULL);
}

int main(void)
{
    struct mb_stats before;
    pthread_barrier_init(&all_ready, NULL, THREADS + 1);
    mb_free(mb_alloc(1)); /* the main thread has its cache from the start */
    before = *check_accounting(0);

    int storms = (int)test_times(STORMS, FEWER);
    for (int round = 1; round <= storms; round++) {
        storm(round == storms);
        const struct mb_stats *now = check_accounting(THREADS * LEFT_PER_THREAD);
        CHECK(now->threads == 1, "%llu threads are registered", (unsigned long long)now->threads);
        CHECK(now->large_allocs == before.large_allocs + THREADS * LARGE_PER_THREAD
                  && now->large_frees == before.large_frees + THREADS * LARGE_PER_THREAD,
              "%llu large requests and %llu frees after %d storms",
              (unsigned long long)now->large_allocs, (unsigned long long)now->large_frees, round);
        for (size_t class = 0; class < MB_POOL_COUNT; class++) {
            check_not_less(now->pool[class].refills, &before.pool[class].refills, "refills");
            check_not_less(now->pool[class].flushes, &before.pool[class].flushes, "flushes");
        }
        uint64_t flushes = now->pool[MB_SMALL_POOL_COUNT - 1].flushes;
        CHECK(flushes >= (uint64_t)round * THREADS, "only %llu flushes of 512 bytes",
              (unsigned long long)flushes);
        for (size_t i = 0; i < THREADS; i++) {
            mb_free_batch(LEFT_PER_THREAD, left[i]);
        }
        before = *check_accounting(0);
    }
    return 0;
}
