/* stats: the accounting equation while objects come and go in one thread. */
#include "memorybucket/memorybucket.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static struct mb_stats stats;

static const struct mb_pool_stats *pool_now(size_t size)
{
    cr_assert_eq(mb_stats_get(&stats, sizeof stats), 0);
    const struct mb_pool_stats *pool = &stats.pool[(size - 1) / 8];
    cr_assert_eq(pool->carved, pool->live + pool->magazines + pool->parked + pool->central
                                   + pool->loose + pool->sorted + pool->orphaned);
    return pool;
}

Test(stats, null_is_refused)
{
    cr_assert_eq(mb_stats_get(NULL, sizeof stats), -EINVAL);
    cr_assert_eq(mb_stats_get_quick(NULL, sizeof stats), -EINVAL);
    mb_stats_print(NULL);
}

/* Before any use each row has the pool's constants, and all else is 0. */
Test(stats, before_any_use_there_is_nothing)
{
    static const struct mb_pool_stats nothing;
    cr_assert_eq(mb_stats_get(&stats, sizeof stats), 0);
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        struct mb_pool_stats *pool = &stats.pool[class];
        cr_assert(class < 64    ? pool->slot_bytes == (class + 1) * 8
                  : class < 128 ? pool->slot_bytes == (class + 2) / 2 * 16
                                : pool->slot_bytes % 128 == 0);
        cr_assert_geq(pool->magazine_rounds, 2);
        pool->slot_bytes = 0;
        pool->magazine_rounds = 0;
        cr_assert_eq(memcmp(pool, &nothing, sizeof nothing), 0, "class %zu", class);
    }
    cr_assert_eq(stats.committed_bytes + stats.resident_bytes + stats.released_bytes, 0);
    mb_stats_print(stderr);
}

enum { SUMS_BYTES = offsetof(struct mb_stats, pool) };

/* Such as the size of a pointer. */
Test(stats, less_room_than_for_the_sums_is_refused)
{
    for (size_t size = 0; size < SUMS_BYTES; size++) {
        stats.threads = 77;
        cr_assert_eq(mb_stats_get(&stats, size), -EINVAL);
        cr_assert_eq(mb_stats_get_quick(&stats, size), -EINVAL);
        cr_assert_eq(stats.threads, 77, "nothing is written");
    }
}

/* A structure of another version: shorter, so that the last pool is cut, and longer. */
static struct {
    struct mb_stats stats;
    unsigned char behind[1000];
} resized;

static void get_resized(size_t size_bytes)
{
    memset(&resized, 0xA5, sizeof resized);
    cr_assert_eq(mb_stats_get(&resized.stats, size_bytes), 0);
    const unsigned char *bytes = (const unsigned char *)&resized;
    for (size_t i = size_bytes; i < sizeof resized; i++) {
        cr_assert_eq(bytes[i], 0xA5, "byte %zu of %zu was written", i, size_bytes);
    }
    cr_assert_eq(resized.stats.committed_bytes, stats.committed_bytes);
    cr_assert_eq(resized.stats.resident_bytes, stats.resident_bytes);
    cr_assert_eq(resized.stats.threads, 1);
}

Test(stats, what_both_sides_know_is_filled)
{
    enum { ROW_BYTES = sizeof(struct mb_pool_stats) };
    void *first = mb_alloc(8);
    void *last = mb_alloc(512);
    cr_assert_eq(mb_stats_get(&stats, sizeof stats), 0);
    get_resized(SUMS_BYTES);
    get_resized(SUMS_BYTES + ROW_BYTES);
    cr_assert_eq(memcmp(resized.stats.pool, stats.pool, ROW_BYTES), 0);
    get_resized(sizeof stats - 1);
    cr_assert_eq(memcmp(resized.stats.pool, stats.pool, (MB_POOL_COUNT - 1) * ROW_BYTES), 0);
    cr_assert_eq(resized.stats.pool[MB_POOL_COUNT - 1].slot_bytes, 0, "there was no room for all of it");
    get_resized(sizeof resized);
    cr_assert_eq(memcmp(&resized.stats, &stats, sizeof stats), 0);
    for (size_t i = 0; i < sizeof resized.behind; i++) {
        cr_assert_eq(resized.behind[i], 0, "not known to the library");
    }
    mb_free(first);
    mb_free(last);
}

/* Equal in all that takes no look at the pages. */
Test(stats, quick_lacks_resident_bytes_and_tiles)
{
    static struct mb_stats quick;
    void *object = mb_alloc(64);
    cr_assert_eq(mb_stats_get(&stats, sizeof stats), 0);
    memset(&quick, 0xA5, sizeof quick);
    cr_assert_eq(mb_stats_get_quick(&quick, sizeof quick), 0);
    cr_assert_gt(stats.resident_bytes, 0);
    cr_assert_eq(quick.resident_bytes, 0);
    stats.resident_bytes = 0;
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        stats.pool[class].resident_bytes = 0;
        memset(stats.pool[class].tiles, 0, sizeof stats.pool[class].tiles);
    }
    cr_assert_eq(memcmp(&quick, &stats, sizeof stats), 0);
    mb_free(object);
}

Test(stats, live_is_exact_at_rest)
{
    enum { COUNT = 4000 };
    static void *objects[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        objects[i] = mb_alloc(200);
        if (i % 500 == 0) {
            cr_assert_eq(pool_now(200)->live, i + 1);
        }
    }
    for (size_t i = 0; i < COUNT; i++) {
        mb_free(objects[i]);
        if (i % 500 == 0) {
            cr_assert_eq(pool_now(200)->live, COUNT - i - 1);
        }
    }
    mb_thread_flush();
    cr_assert_eq(pool_now(200)->magazines, 0);
    cr_assert_eq(pool_now(200)->live, 0);
}

/* What was carved and is not in the pool is with the threads; that much more was taken. */
static const struct mb_pool_stats *moved_now(void)
{
    mb_thread_flush();
    const struct mb_pool_stats *pool = pool_now(64);
    cr_assert_eq(pool->taken - pool->returned, pool->live + pool->magazines + pool->parked);
    return pool;
}

static void *moved[4000];

static void allocate_moved(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        moved[i] = mb_alloc(64);
        cr_assert_not_null(moved[i]);
    }
}

static void free_moved(size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        mb_free(moved[i]);
    }
}

/* Through the loose list, and in batches that are made of loose slots on the way. */
Test(stats, each_slot_that_a_thread_gives_back_counts_once)
{
    enum { PART = 100 };
    size_t count = sizeof moved / sizeof moved[0];
    allocate_moved(count);
    uint64_t returned = moved_now()->returned;
    for (size_t begin = 0; begin < count; begin += PART) {
        free_moved(begin, begin + PART);
        returned += PART;
        cr_assert_eq(moved_now()->returned, returned);
    }
    cr_assert_gt(stats.pool[7].flushes, 0);
    cr_assert_eq(stats.pool[7].taken, returned, "nothing is left with a thread");
}

/* Batches, and what does not make up one. */
Test(stats, slots_that_are_given_back_in_batches_count_once)
{
    size_t count = sizeof moved / sizeof moved[0];
    for (uint64_t round = 1; round <= 3; round++) {
        allocate_moved(count);
        uint64_t returned = moved_now()->returned;
        uint64_t taken = stats.pool[7].taken;
        cr_assert_eq(taken, returned + count);
        free_moved(0, count);
        cr_assert_eq(moved_now()->returned, returned + count);
        cr_assert_eq(stats.pool[7].taken, taken, "a free takes nothing");
    }
    cr_assert_gt(stats.pool[7].flushes, 0);
}

/* The first eight slots of a class come at once, and go back with the one that was used. */
Test(stats, what_a_thread_took_and_did_not_use_counts)
{
    for (uint64_t round = 1; round <= 100; round++) {
        mb_free(mb_alloc(64));
        cr_assert_eq(moved_now()->taken, round * 8);
        cr_assert_eq(stats.pool[7].returned, round * 8);
    }
}

/* Pairs in a magazine leave no trace: neither is a count of allocations. */
Test(stats, what_never_leaves_the_thread_does_not_count)
{
    void *object = mb_alloc(64);
    uint64_t taken = pool_now(64)->taken;
    for (int i = 0; i < 10000; i++) {
        mb_free(object);
        object = mb_alloc(64);
    }
    cr_assert_eq(pool_now(64)->taken, taken);
    cr_assert_eq(stats.pool[7].returned, 0);
}

/* A thread that only frees has no cache at first: each goes to the pool on its own. */
static void *free_ten(void *argument)
{
    size_t *begin = argument;
    free_moved(*begin, *begin + 10);
    return NULL;
}

Test(stats, what_threads_without_a_cache_free_counts)
{
    allocate_moved(1000);
    uint64_t returned = moved_now()->returned;
    uint64_t taken = stats.pool[7].taken;
    for (size_t begin = 0; begin < 100; begin += 10) {
        pthread_t thread;
        cr_assert_eq(pthread_create(&thread, NULL, free_ten, &begin), 0);
        pthread_join(thread, NULL);
    }
    cr_assert_eq(moved_now()->returned, returned + 100);
    cr_assert_eq(stats.pool[7].taken, taken);
}

/* Each keeps some objects, and gives the others back one magazine after another. */
enum { MOVERS = 4, KEPT = 50 };

static void *move(void *argument)
{
    enum { OBJECTS = 3000, ROUNDS = 20 };
    static _Thread_local void *objects[OBJECTS];
    mb_free(mb_alloc(64));
    pthread_barrier_wait(argument); /* each has a cache of its own */
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < OBJECTS; i++) {
            objects[i] = mb_alloc(64);
        }
        for (int i = round + 1 == ROUNDS ? KEPT : 0; i < OBJECTS; i++) {
            mb_free(objects[i]);
        }
    }
    return NULL;
}

Test(stats, threads_that_ended_took_what_they_gave_back_and_what_is_live)
{
    pthread_t threads[MOVERS];
    pthread_barrier_t all_started;
    pthread_barrier_init(&all_started, NULL, MOVERS);
    for (int i = 0; i < MOVERS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, move, &all_started), 0);
    }
    for (int i = 0; i < MOVERS; i++) {
        pthread_join(threads[i], NULL);
    }
    const struct mb_pool_stats *pool = moved_now();
    cr_assert_eq(pool->live, MOVERS * KEPT);
    cr_assert_eq(pool->taken, pool->returned + pool->parked + MOVERS * KEPT);
    cr_assert_geq(pool->taken, MOVERS * 3000);
}

/* Trim moves slots within the pool. */
Test(stats, what_trim_sorts_was_neither_taken_nor_returned)
{
    size_t count = sizeof moved / sizeof moved[0];
    allocate_moved(count);
    free_moved(100, count);
    uint64_t returned = moved_now()->returned;
    uint64_t taken = stats.pool[7].taken;
    (void)mb_trim(0);
    cr_assert_eq(mb_stats_get(&stats, sizeof stats), 0);
    cr_assert_gt(stats.pool[7].sorted, 0);
    cr_assert_eq(stats.pool[7].taken, taken);
    cr_assert_eq(stats.pool[7].returned, returned);
    allocate_moved(100);
    mb_thread_flush();
    cr_assert_eq(mb_stats_get(&stats, sizeof stats), 0);
    cr_assert_eq(stats.pool[7].taken - stats.pool[7].returned, 200);
}

Test(stats, bytes_are_ordered)
{
    char *object = mb_alloc(512);
    memset(object, 1, 512);
    cr_assert_eq(mb_stats_get(&stats, sizeof stats), 0);
    cr_assert_gt(stats.resident_bytes, 0);
    cr_assert_leq(stats.resident_bytes, stats.committed_bytes);
    cr_assert_leq(stats.committed_bytes, stats.reserved_bytes);
    cr_assert_eq(stats.threads, 1);
    mb_free(object);
}

Test(stats, large_objects_are_counted)
{
    void *object = mb_alloc(513);
    void *other = mb_aligned_alloc(4096, 100);
    void *zeroed = mb_calloc(10, 100);
    cr_assert_eq(mb_stats_get(&stats, sizeof stats), 0);
    cr_assert_eq(stats.large_allocs, 3);
    cr_assert_eq(stats.large_frees, 0);
    mb_free(object);
    mb_free(other);
    mb_free(zeroed);
    cr_assert_eq(mb_stats_get(&stats, sizeof stats), 0);
    cr_assert_eq(stats.large_frees, 3);
}

Test(stats, print_shows_the_pools_in_use)
{
    void *object = mb_alloc(72);
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    mb_stats_print(stream);
    fclose(stream);
    cr_assert_not_null(strstr(text, "MemoryBucket: reserved"));
    cr_assert_not_null(strstr(text, " bytes; 1 thread, "));
    cr_assert_not_null(strstr(text, "\n   72          8          1          7"));
    cr_assert_null(strstr(text, "\n   80 "));
    mb_free(object);
    free(text);
}
