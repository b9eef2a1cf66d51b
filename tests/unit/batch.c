/* batch: many objects in one call. */
#include "memorybucket/memorybucket.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

enum { COUNT = 5000 };
static void *objects[COUNT];

static void check_distinct(size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        cr_assert_geq(mb_usable_size(objects[i]), size);
        *(uint64_t *)objects[i] = i;
    }
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(*(uint64_t *)objects[i], i, "objects overlap");
    }
}

Test(batch, any_count_of_any_size)
{
    static const size_t counts[] = { 0, 1, 7, 128, 129, 1000, COUNT };
    static const size_t sizes[] = { 0, 8, 24, 64, 512, 513, 2000 };
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
            cr_assert_eq(mb_alloc_batch(sizes[s], counts[c], objects), counts[c]);
            check_distinct(counts[c], sizes[s]);
            mb_free_batch(counts[c], objects);
        }
    }
}

Test(batch, frees_a_mixture_with_gaps)
{
    for (size_t i = 0; i < COUNT; i++) {
        objects[i] = i % 7 == 0 ? NULL : i % 5 == 0 ? malloc(i) : mb_alloc(i % 700);
    }
    errno = 55;
    mb_free_batch(COUNT, objects);
    cr_assert_eq(errno, 55);

    static struct mb_stats stats;
    cr_assert_eq(mb_stats_get(&stats, sizeof stats), 0);
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        cr_assert_eq(stats.pool[class].live, 0);
    }
}

/* The second time the objects come from whole magazines: as many transfers as magazines. */
Test(batch, whole_magazines_move_whole)
{
    static struct mb_stats stats;
    setenv("MB_DECAY_MS", "-1", 1); /* whose steps take the lock, too, when they are due */
    cr_assert_eq(mb_alloc_batch(64, COUNT, objects), COUNT);
    mb_free_batch(COUNT, objects);
    mb_thread_flush();
    mb_stats_get(&stats, sizeof stats);
    struct mb_pool_stats before = stats.pool[7];
    cr_assert_eq(mb_alloc_batch(64, COUNT, objects), COUNT);
    mb_stats_get(&stats, sizeof stats);
    cr_assert_leq(stats.pool[7].refills - before.refills, COUNT / before.magazine_rounds + 1);
    cr_assert_leq(stats.pool[7].mutex_acquisitions - before.mutex_acquisitions, 2);
    mb_free_batch(COUNT, objects);
}

Test(batch, says_how_many_could_be_had)
{
    size_t impossible = SIZE_MAX / 2;
    __asm__ volatile("" : "+r"(impossible));
    errno = 0;
    cr_assert_eq(mb_alloc_batch(impossible, 3, objects), 0);
    cr_assert_eq(errno, ENOMEM);
}
