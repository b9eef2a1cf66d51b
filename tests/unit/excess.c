/* excess: what is free beyond the bound goes back without any time passing. */
#include "core/excess.h"

#include "core/config.h"
#include "core/huge.h"
#include "core/limit.h"
#include "core/trim.h"
#include "testing.h"

#include <criterion/criterion.h>
#include <sys/wait.h>

/* Windows of a day: nothing here happens because time passes. */
static void never_by_time(void)
{
    setenv("MB_DECAY_MS", "86400000", 1);
}

enum { OBJECTS = 400000, KEEP_ONE_IN = 500, PHASES = 8 };
/* What threads cache, the rest of each pool's last block, and what frees add until they are seen. */
#define SLACK_BYTES ((size_t)16 << 20)

static void *objects[OBJECTS];
static void *kept[PHASES * OBJECTS / KEEP_ONE_IN];
static size_t kept_count;

static void allocate(size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        objects[i] = mb_alloc(size);
        cr_assert_not_null(objects[i]);
        memset(objects[i], 0x5a, size);
    }
}

static void shuffle(size_t count)
{
    uint64_t random = 7;
    for (size_t i = count - 1; i > 0; i--) {
        size_t other = random_below(&random, i + 1);
        void *object = objects[i];
        objects[i] = objects[other];
        objects[other] = object;
    }
}

static void free_all(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mb_free(objects[i]);
    }
}

static void free_most(void)
{
    for (size_t i = 0; i < OBJECTS; i++) {
        if (i % KEEP_ONE_IN == 0) {
            kept[kept_count++] = objects[i];
        } else {
            mb_free(objects[i]);
        }
    }
}

static const struct mb_stats *stats_now(void)
{
    static struct mb_stats stats;
    cr_assert_eq(mb_stats_get(&stats, sizeof stats), 0);
    return &stats;
}

Test(excess, what_is_free_beyond_the_floor_goes_back_at_once, .init = never_by_time)
{
    allocate(OBJECTS, 400);
    cr_assert_geq(bounded_taken(&mbi_committed), OBJECTS * 400);
    free_all(OBJECTS);
    cr_assert_leq(bounded_taken(&mbi_committed), EXCESS_FLOOR_BYTES + SLACK_BYTES);
    cr_assert_gt(stats_now()->decay_volume_steps, 0);
    cr_assert_geq(stats_now()->decay_steps, stats_now()->decay_volume_steps);
    check_accounting(0);
}

Test(excess, in_random_order, .init = never_by_time, .timeout = 6000)
{
    allocate(OBJECTS, 400);
    shuffle(OBJECTS);
    free_all(OBJECTS);
    /* A page of 64 KiB has 160 objects, and is hardly ever free before nearly all of them are. */
    size_t floors = mbi_os_page_bytes() > 16 << 10 ? 5 : 3;
    cr_assert_leq(bounded_taken(&mbi_committed), floors * EXCESS_FLOOR_BYTES);
    check_accounting(0);
}

/* Each phase with sizes of its own: what the one before left is of no use to the next. */
Test(excess, phases_leave_little_more_than_what_they_keep, .init = never_by_time, .timeout = 6000)
{
    for (size_t phase = 0; phase < PHASES; phase++) {
        allocate(OBJECTS, 60 + 50 * phase);
        free_most();
        /* Each object that stays keeps two pages at most. */
        cr_assert_leq(bounded_taken(&mbi_committed),
                      EXCESS_FLOOR_BYTES + SLACK_BYTES + kept_count * 2 * mbi_os_page_bytes(), "phase %zu", phase);
    }
    check_accounting(kept_count);
    for (size_t i = 0; i < kept_count; i++) {
        cr_assert_eq(*(unsigned char *)kept[i], 0x5a);
        mb_free(kept[i]);
    }
    check_accounting(0);
}

/* A share of what is in use may lie free, too. */
Test(excess, what_is_in_use_raises_the_bound, .init = never_by_time)
{
    enum { LIVE = 300000, FREED = OBJECTS - LIVE };
    allocate(OBJECTS, 512);
    for (size_t i = 0; i < FREED; i++) {
        mb_free(objects[i]);
    }
    cr_assert_lt(FREED * 512, EXCESS_FLOOR_BYTES + LIVE * 512 / EXCESS_SHARE);
    cr_assert_eq(stats_now()->released_bytes, 0);
    cr_assert_eq(stats_now()->decay_volume_steps, 0);
    check_accounting(LIVE);
}

Test(excess, what_is_below_the_floor_stays, .init = never_by_time)
{
    for (int round = 0; round < 5; round++) {
        allocate(OBJECTS, 64);
        free_all(OBJECTS);
    }
    cr_assert_eq(stats_now()->released_bytes, 0);
    cr_assert_eq(stats_now()->decay_volume_steps, 0);
    check_accounting(0);
}

static void never(void)
{
    setenv("MB_DECAY_MS", "-1", 1);
}

Test(excess, where_decay_is_off_all_of_it_stays, .init = never)
{
    allocate(OBJECTS, 400);
    free_all(OBJECTS);
    cr_assert_geq(bounded_taken(&mbi_committed), OBJECTS * 400);
    cr_assert_eq(stats_now()->released_bytes, 0);
}

enum { HELD = 300000 };

static void free_every_second(void)
{
    for (size_t i = 0; i < HELD; i += 2) {
        mb_free(objects[i]);
    }
}

/*
 * Live objects hold every page, but for the rest of a huge one: what is tried in vain is not tried
 * again with each free.
 */
Test(excess, where_no_page_is_free_it_soon_gives_up, .init = never_by_time, .timeout = 6000)
{
    allocate(HELD, 512);
    cr_assert_gt(HELD / 2 * 512, EXCESS_FLOOR_BYTES + HELD / 2 * 512 / EXCESS_SHARE);
    free_every_second();
    cr_assert_gt(stats_now()->decay_volume_steps, 0);
    uint64_t steps = 0;
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < HELD; i += 2) {
            objects[i] = mb_alloc(512);
        }
        free_every_second();
        steps = round == 4 ? stats_now()->decay_volume_steps : steps;
    }
    cr_assert_eq(stats_now()->decay_volume_steps, steps, "still tried");
    cr_assert_lt(stats_now()->released_bytes, HUGE_PAGE_BYTES + MIB);
    check_accounting(HELD / 2);
}

/* Threads that refill and threads that flush tell what they move, in the end all of it. */
static void *flush_what_others_allocated(void *argument)
{
    free_all(*(size_t *)argument);
    check_accounting(0);
    return NULL;
}

Test(excess, what_threads_move_is_counted, .init = never_by_time)
{
    size_t count = OBJECTS / 8;
    for (int round = 0; round < 4; round++) {
        allocate(count, 1 + 100 * (size_t)round);
        pthread_join(start_thread(flush_what_others_allocated, &count), NULL);
        check_accounting(0);
    }
    mb_thread_flush();
    int64_t bytes = 0;
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        bytes += (int64_t)(stats_now()->pool[class].central * stats_now()->pool[class].slot_bytes);
    }
    cr_assert_eq(atomic_load(&mbi_centre.bytes), bytes);
    (void)mb_trim(0);
    check_accounting(0);
    cr_assert_eq(atomic_load(&mbi_centre.bytes), 0);
}

static pthread_barrier_t turn;

static void *move_a_little_and_wait(void *argument)
{
    for (size_t size = 8; size <= 512; size += 8) {
        void *few[64];
        cr_assert_eq(mb_alloc_batch(size, 64, few), 64);
        mb_free_batch(64, few);
    }
    mb_thread_flush();
    for (size_t size = 8; size <= 64; size += 8) {
        mb_free(mb_alloc(size)); /* takes batches, and tells nobody */
    }
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    return argument;
}

/* The caches of threads that a fork leaves behind are told for them. */
Test(excess, a_forked_child_knows_what_other_threads_moved, .init = never_by_time)
{
    pthread_barrier_init(&turn, NULL, 2);
    mb_free(mb_alloc(8));
    pthread_t thread = start_thread(move_a_little_and_wait, NULL);
    pthread_barrier_wait(&turn);
    pid_t child = fork();
    if (child == 0) {
        check_accounting(0);
        _exit(0);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    pthread_barrier_wait(&turn);
    pthread_join(thread, NULL);
    check_accounting(0);
}

static uint64_t committed_max;

static void note_committed(void)
{
    committed_max = size_max(committed_max, bounded_taken(&mbi_committed));
}

/* Of one size, written and freed; what all pools together have is noted all along. */
static void do_phase(size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        objects[i] = mb_alloc(size);
        cr_assert_not_null(objects[i]);
        memset(objects[i], 0x5a, size);
        note_committed();
    }
    free_all(count);
}

/* Both are below the floor: what goes back does so because the other pool grows. */
Test(excess, two_phases_peak_at_about_the_larger_one, .init = never_by_time)
{
    enum { COUNT = 60000, LARGER = 400, OTHER = 304 };
    cr_assert_lt(COUNT * LARGER, EXCESS_FLOOR_BYTES);
    do_phase(COUNT, LARGER);
    cr_assert_eq(stats_now()->released_bytes, 0);
    size_t first = committed_max;
    do_phase(COUNT, OTHER);
    size_t sum = COUNT * (LARGER + OTHER);
    cr_assert_leq(committed_max, first + (size_t)8 * MIB, "%zu MiB", committed_max >> 20);
    cr_assert_lt(first + (size_t)8 * MIB, sum);
    check_accounting(0);
}

/* What came back stays: the pools do not grow any more. */
Test(excess, phases_in_turn_soon_give_nothing_back, .init = never_by_time)
{
    enum { COUNT = 60000 };
    uint64_t steps = 0;
    for (int round = 0; round < 6; round++) {
        do_phase(COUNT, 400);
        do_phase(COUNT, 304);
        steps = round == 2 ? stats_now()->decay_volume_steps : steps;
    }
    cr_assert_gt(steps, 0);
    cr_assert_eq(stats_now()->decay_volume_steps, steps);
    check_accounting(0);
}

/* What goes back in the first rounds shows that it is wanted: so later it stays. */
Test(excess, rounds_far_above_the_floor_soon_give_nothing_back, .init = never_by_time)
{
    enum { SIZE = 400 };
    cr_assert_gt(OBJECTS * SIZE, 2 * (EXCESS_FLOOR_BYTES + EXCESS_WANTED_BYTES));
    do_phase(OBJECTS, SIZE);
    size_t first = committed_max;
    cr_assert_gt(stats_now()->decay_volume_steps, 0);
    uint64_t steps = 0;
    for (int round = 0; round < 6; round++) {
        do_phase(OBJECTS, SIZE);
        steps = round == 1 ? stats_now()->decay_volume_steps : steps;
    }
    cr_assert_eq(stats_now()->decay_volume_steps, steps);
    cr_assert_leq(committed_max, first + SLACK_BYTES);
    check_accounting(0);
}

/* Also where all of it is taken again and again: what is wanted never adds to the peak. */
Test(excess, phases_of_many_sizes_in_turn_do_not_add_up, .init = never_by_time, .timeout = 6000)
{
    enum { COUNT = 300000, LARGEST = 400, SIZES = 4, STEP = 32 };
    const size_t most = (size_t)COUNT * LARGEST;
    for (int round = 0; round < 3 * SIZES; round++) {
        do_phase(COUNT, LARGEST - (size_t)(round % SIZES) * STEP);
    }
    size_t bound = most + most / 2 + EXCESS_FLOOR_BYTES + EXCESS_WANTED_BYTES + SLACK_BYTES;
    cr_assert_leq(committed_max, bound, "%zu MiB", committed_max >> 20);
    cr_assert_lt(bound, most * (SIZES - 1));
    check_accounting(0);
}

/* Also where magazines are large, and few of the pages that are sorted for growth can go. */
Test(excess, a_step_for_growth_sorts_no_more_than_another, .init = never_by_time)
{
    enum { SIZE = 64, COUNT = 300000, KEPT = 50, OTHER = 304, OTHERS = 50000 };
    static void *others[OTHERS];
    setenv("MB_MAGAZINE_SIZE", "4096", 1);
    allocate(COUNT, SIZE);
    cr_assert_lt(COUNT * SIZE, EXCESS_FLOOR_BYTES);
    for (size_t i = 0; i < COUNT; i++) {
        if (i % KEPT != 0) {
            mb_free(objects[i]);
        }
    }
    mb_thread_flush();
    const struct pool *pool = pool_at(size_class_of(SIZE));
    uint64_t before = counter_read(&pool->sorted_slots);
    uint64_t most = 0;
    for (size_t i = 0; i < OTHERS; i++) {
        others[i] = mb_alloc(OTHER);
        uint64_t sorted = counter_read(&pool->sorted_slots);
        most = size_max(most, size_above(sorted, before));
        before = sorted;
    }
    cr_assert_gt(most, 0);
    cr_assert_lt(most, trim_short_step.slots + pool->rounds, "%lu slots", (unsigned long)most);
    for (size_t i = 0; i < OTHERS; i++) {
        mb_free(others[i]);
    }
    check_accounting(COUNT / KEPT);
}
