/* stats: the accounting equation while objects come and go in one thread. */
#include "memorybucket/memorybucket.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct mb_stats stats;

static const struct mb_pool_stats *pool_now(size_t size)
{
    cr_assert_eq(mb_stats_get(&stats), 0);
    const struct mb_pool_stats *pool = &stats.pool[(size - 1) / 8];
    cr_assert_eq(pool->carved, pool->live + pool->magazines + pool->central + pool->loose
                                   + pool->orphaned);
    return pool;
}

Test(stats, null_is_refused)
{
    cr_assert_eq(mb_stats_get(NULL), -EINVAL);
    mb_stats_print(NULL);
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

Test(stats, bytes_are_ordered)
{
    char *object = mb_alloc(512);
    memset(object, 1, 512);
    cr_assert_eq(mb_stats_get(&stats), 0);
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
    cr_assert_eq(mb_stats_get(&stats), 0);
    cr_assert_eq(stats.large_allocs, 3);
    cr_assert_eq(stats.large_frees, 0);
    mb_free(object);
    mb_free(other);
    mb_free(zeroed);
    cr_assert_eq(mb_stats_get(&stats), 0);
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
    cr_assert_not_null(strstr(text, "\n   72          8          1          7"));
    cr_assert_null(strstr(text, "\n   80 "));
    mb_free(object);
    free(text);
}
