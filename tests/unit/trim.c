/* trim, decay and the limit, through the public calls and on one thread. */
#include "core/centre.h"
#include "core/config.h"
#include "core/decay.h"
#include "core/limit.h"
#include "core/os.h"
#include "core/trim.h"
#include "tcache/thread_cache.h"
#include "testing.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>

enum { OBJECTS = 200000 };

static void *objects[OBJECTS];

static void allocate(size_t size)
{
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = mb_alloc(size);
        cr_assert_not_null(objects[i]);
        memset(objects[i], 0x5a, size);
    }
}

static void free_every(size_t step, size_t first)
{
    for (size_t i = first; i < OBJECTS; i += step) {
        mb_free(objects[i]);
    }
}

static uint64_t resident_bytes(size_t size)
{
    static struct mb_stats stats;
    mb_stats_get(&stats, sizeof stats);
    return stats.pool[(size - 1) / 8].resident_bytes;
}

static char *page_of(void *object)
{
    return (char *)((uintptr_t)object & ~(uintptr_t)(mbi_os_page_bytes() - 1));
}

Test(trim, gives_everything_back_and_uses_it_again, .timeout = 600)
{
    const size_t sizes[] = { 8, 64, 200, 512 };
    setenv("MB_DECAY_MS", "-1", 1); /* nothing goes back before */
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        allocate(sizes[i]);
        uint64_t peak = resident_bytes(sizes[i]);
        cr_assert_geq(peak, OBJECTS * sizes[i]);
        free_every(1, 0);
        cr_assert_geq(mb_trim(0), OBJECTS * sizes[i] - mbi_os_page_bytes());
        cr_assert_leq(resident_bytes(sizes[i]), mbi_os_page_bytes(), "%zu bytes of %zu", sizes[i], peak);
        const struct mb_pool_stats *pool = &check_accounting(0)->pool[(sizes[i] - 1) / 8];
        cr_assert_leq(pool->committed_bytes, 128 << 10);
        uint64_t carved = pool->carved;
        allocate(sizes[i]);
        cr_assert_eq(check_accounting(OBJECTS)->pool[(sizes[i] - 1) / 8].carved, carved,
                     "released memory is used before fresh");
        free_every(1, 0);
    }
}

/* It is filled up with slots that nobody has had; no other page is. */
Test(trim, the_page_in_which_the_slots_end_goes_too)
{
    const size_t sizes[] = { 8, 24, 200, 504 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t class = (sizes[i] - 1) / 8;
        mb_free_batch(mb_alloc_batch(sizes[i], 1001, objects), objects);
        uint64_t carved = check_accounting(0)->pool[class].carved;
        (void)mb_trim(0);
        cr_assert_eq(resident_bytes(sizes[i]), 0);
        uint64_t filled = check_accounting(0)->pool[class].carved;
        cr_assert_leq(filled, carved + mbi_os_page_bytes() / sizes[i] + 8, "%lu slots became %lu",
                      (unsigned long)carved, (unsigned long)filled);
        (void)mb_trim(0);
        cr_assert_eq(check_accounting(0)->pool[class].carved, filled, "once is enough");
    }
}

Test(trim, live_objects_keep_their_contents)
{
    allocate(200);
    free_every(10, 0);
    free_every(10, 5);
    (void)mb_trim(0); /* one in five slots: no whole page is free */
    for (size_t i = 0; i < OBJECTS; i++) {
        const unsigned char *bytes = objects[i];
        if (i % 5 != 0) {
            cr_assert(bytes[0] == 0x5a && bytes[99] == 0x5a && bytes[199] == 0x5a);
        }
    }
    check_accounting(OBJECTS - OBJECTS / 5);
}

Test(trim, keeps_what_it_is_asked_to)
{
    allocate(64);
    free_every(1, 0);
    size_t all = OBJECTS * 64;
    size_t back = mb_trim(4 << 20);
    cr_assert_leq(back, all - (4 << 20) + (64 << 10));
    cr_assert_geq(back, all - (5 << 20));
    cr_assert_eq(mb_trim(SIZE_MAX), 0);
    cr_assert_geq(mb_trim(0), 3 << 20);
    cr_assert_eq(mb_trim(0), 0, "nothing is given back twice");
    check_accounting(0);
}

/* madvise refuses all pages of a call when one is locked in memory. */
Test(trim, a_locked_page_keeps_only_itself)
{
    allocate(64);
    if (mlock(objects[OBJECTS / 2], 64) != 0) {
        cr_skip_test("mlock is not permitted");
    }
    free_every(1, 0);
    cr_assert_geq(mb_trim(0), OBJECTS * 64 - 3 * mbi_os_page_bytes());
    cr_assert_leq(mb_trim(0), mbi_os_page_bytes());
    check_accounting(0);
}

/* As khugepaged and mlockall do it; no tile is free as a whole, so that none is sealed. */
Test(trim, pages_that_came_back_without_us_go_again)
{
    const size_t page = mbi_os_page_bytes();
    const size_t kept_every = page / 8; /* 8 pages */
    allocate(64);
    for (size_t i = 0; i < OBJECTS; i++) {
        if (i % kept_every != 0) {
            mb_free(objects[i]);
        }
    }
    (void)mb_trim(0);
    uint64_t trimmed = resident_bytes(64);
    size_t written = 0;
    for (size_t i = 0; i < OBJECTS; i += page / 64) {
        if (i % kept_every != 0 && mbi_os_resident_bytes(page_of(objects[i]), page) == 0) {
            memset(page_of(objects[i]), 1, page);
            written++;
        }
    }
    cr_assert_geq(written, OBJECTS / (page / 64) / 2);
    cr_assert_eq(resident_bytes(64), trimmed + written * page);
    cr_assert_eq(mb_trim(0), written * page);
    cr_assert_eq(resident_bytes(64), trimmed);
    cr_assert_eq(mb_trim(0), 0);
    check_accounting((OBJECTS + kept_every - 1) / kept_every);
}

/* The limit is far: what a full span cannot serve is the system's, as without a limit. */
Test(trim, a_limit_that_is_not_reached_refuses_nothing)
{
    setenv("MB_REGION_SIZE", "64M", 1);
    setenv("MB_MEMORY_LIMIT", "1G", 1);
    allocate(512);
    cr_assert_lt(bounded_taken(&mbi_committed), 64 << 20);
    free_every(1, 0);
    check_accounting(0);
}

/* Each keeps the rest of its last block, of which most sizes have used little. */
static void use_all_sizes_and_then_one(size_t limit_bytes)
{
    size_t count = 0;
    if (64 * mbi_os_page_bytes() > limit_bytes / 4) {
        return; /* larger pages: one a size is more than may be kept of this limit */
    }
    (void)mb_memory_limit_set(limit_bytes);
    for (size_t size = 8; size <= 512; size += 8) {
        mb_free(mb_alloc(size));
    }
    while (count < OBJECTS && (objects[count] = mb_alloc(512)) != NULL) {
        count++;
    }
    cr_assert_geq(count * 512, limit_bytes / 8 * 5, "%zu of %zu", count * 512, limit_bytes);
    mb_free_batch(count, objects);
    check_accounting(0);
}

Test(trim, sizes_that_are_hardly_used_keep_a_page_of_the_smallest_limit)
{
    use_all_sizes_and_then_one(1 << 20);
}

Test(trim, sizes_that_are_hardly_used_keep_little_of_a_small_limit)
{
    use_all_sizes_and_then_one(4 << 20);
}

Test(trim, says_how_full_tiles_are)
{
    allocate(64);
    static struct mb_stats stats;
    free_every(2, 0);
    mb_trim(0);
    mb_stats_get(&stats, sizeof stats);
    uint64_t half_full = stats.pool[7].tiles[5] + stats.pool[7].tiles[6];
    cr_assert_geq(half_full, OBJECTS * 64 / 65536 - 2);
    free_every(2, 1);
    mb_trim(0);
    mb_stats_get(&stats, sizeof stats);
    cr_assert_geq(stats.pool[7].tiles[0], OBJECTS * 64 / 65536 - 1);
}

/* The window is nothing: slow paths alone do it, in steps that are some microseconds apart; the limit tells if
 * they never do all. */
Test(trim, decay_at_once_needs_only_traffic, .timeout = 600)
{
    setenv("MB_DECAY_MS", "0", 1);
    allocate(64);
    cr_assert_eq(mbi_config.decay_ms, 0);
    free_every(1, 0);
    while (resident_bytes(64) > OBJECTS * 64 / 10) {
        void *some[600];
        mb_free_batch(mb_alloc_batch(128, 600, some), some);
    }
    cr_assert_gt(counter_read(&mbi_decay_counts.decay_steps), 0);
    check_accounting(0);
}

/* No magazine is exchanged: until memory has gone; the limit tells if it never does. */
Test(trim, large_requests_look_after_decay_too, .timeout = 600)
{
    setenv("MB_DECAY_MS", "0", 1);
    mb_free(mb_alloc(8));
    mbi_config.decay_ms = -1; /* not yet */
    allocate(64);
    free_every(1, 0);
    mbi_config.decay_ms = 0;
    cr_assert_geq(resident_bytes(64), OBJECTS * 64);
    while (resident_bytes(64) > OBJECTS * 64 / 10) {
        for (int i = 0; i < 1000; i++) {
            mb_free(mb_alloc(MB_SMALL_MAX + 1));
        }
    }
    check_accounting(0);
}

static void use_another_size(void)
{
    void *some[600];
    mb_free_batch(mb_alloc_batch(128, 600, some), some);
}

/*
 * A thread whose slow paths come in quick succession leaves some looks at the clock out, but not
 * many: the step that is due is done in any case.
 */
Test(trim, looks_at_the_clock_are_left_out_a_few_times_only)
{
    enum { LOOKS_LEFT_OUT_MAX = 7 };
    setenv("MB_DECAY_MS", "86400000", 1);
    allocate(64);
    free_every(1, 0);
    for (int turn = 0; turn < 100; turn++) {
        mbi_thread_cache_do_chores(mbi_thread_cache);
        cr_assert_leq(mbi_thread_cache->looks_left_out, LOOKS_LEFT_OUT_MAX);
    }
    for (int turn = 0; turn < 100; turn++) {
        mbi_thread_cache_do_chores(mbi_thread_cache);
        atomic_store(&mbi_decay_hints.due_ns, 0);
        for (int chores = 0; chores <= LOOKS_LEFT_OUT_MAX; chores++) {
            mbi_thread_cache_do_chores(mbi_thread_cache);
        }
        cr_assert_neq(atomic_load(&mbi_decay_hints.due_ns), 0, "turn %d", turn);
    }
    check_accounting(0);
}

/* Windows of 10 ms: the next step is always due soon. */
Test(trim, no_look_at_the_clock_is_left_out_while_a_step_is_due_soon)
{
    setenv("MB_DECAY_MS", "10", 1);
    allocate(64);
    free_every(1, 0);
    for (int turn = 0; turn < 1000; turn++) {
        mbi_thread_cache_do_chores(mbi_thread_cache);
        cr_assert_eq(mbi_thread_cache->looks_left_out, 0, "turn %d", turn);
    }
    check_accounting(0);
}

/* What is told of the centre is looked at by the next slow path, whatever the clock. */
Test(trim, a_change_of_the_centre_is_looked_at_at_once)
{
    setenv("MB_DECAY_MS", "86400000", 1);
    allocate(64);
    free_every(1, 0);
    mbi_thread_cache_do_chores(mbi_thread_cache);
    mbi_thread_cache->looks_left_out = 7;
    cr_assert_not(centre_has_changed());
    centre_tell(1);
    mbi_thread_cache_do_chores(mbi_thread_cache);
    cr_assert_not(centre_has_changed());
    centre_tell_growth(4096);
    cr_assert(centre_has_changed());
    centre_tell(-1);
    check_accounting(0);
}

/* The other pool has grown before: growth would give something back at once (core/excess.h). */
Test(trim, decay_waits_for_its_window)
{
    setenv("MB_DECAY_MS", "86400000", 1);
    use_another_size();
    allocate(64);
    free_every(1, 0);
    for (int turn = 0; turn < 200; turn++) {
        use_another_size();
    }
    cr_assert_geq(resident_bytes(64), OBJECTS * 64);
    check_accounting(0);
}

Test(trim, never_means_never)
{
    setenv("MB_DECAY_MS", "-1", 1);
    allocate(64);
    free_every(1, 0);
    cr_assert_eq(mbi_decay_poll(), UINT64_MAX);
    cr_assert_eq(mb_background_start(), -EINVAL);
    cr_assert_geq(resident_bytes(64), OBJECTS * 64);
}

/* What was needed in a window is not given back at its end. */
Test(trim, a_working_set_stays)
{
    setenv("MB_DECAY_MS", "0", 1);
    mb_free(mb_alloc(8));
    struct pool *pool = pool_at(7);
    allocate(64);
    mbi_config.decay_ms = -1; /* from here on by hand */
    free_every(1, 0);
    mbi_lock_acquire(LOCK_TRIM);
    cr_assert(mbi_pool_age(pool, true));
    mbi_lock_release(LOCK_TRIM);
    allocate(64); /* all of it is used again */
    free_every(1, 0);
    mbi_lock_acquire(LOCK_TRIM);
    (void)mbi_pool_age(pool, true);
    size_t sorted = mbi_trim_sort(pool, TRIM_SLOTS_MAX);
    mbi_lock_release(LOCK_TRIM);
    cr_assert_leq(sorted, 2 * pool->rounds, "%zu slots became surplus", sorted);
    check_accounting(0);
}

/* As a thread that has no cache does it: takes sorted slots, and leaves them loose. */
static void bring_loose_slots(struct pool *pool)
{
    struct sorted_slots taken;
    cr_assert(mbi_pool_lock(pool));
    mbi_pool_take_sorted_locked(pool, 100, &taken);
    mbi_pool_unlock(pool);
    cr_assert_eq(taken.count, 100);
    cr_assert(mbi_pool_return_loose(pool, mbi_pool_link_sorted(&taken)));
}

/* Each age has an allowance of its own: what lies in the centre is sorted all the same. */
Test(trim, loose_slots_do_not_use_up_what_the_centre_needs)
{
    setenv("MB_DECAY_MS", "-1", 1);
    struct pool *pool = pool_at(7);
    struct trim_turn turn;
    allocate(64);
    free_every(1, 0);
    (void)mb_trim(0); /* all are sorted */
    for (size_t i = 0; i < OBJECTS / 2; i++) {
        objects[i] = mb_alloc(64);
    }
    for (size_t i = 0; i < OBJECTS / 2; i++) {
        mb_free(objects[i]);
    }
    mb_thread_flush(); /* half of them are in the centre */
    mbi_trim_begin_turn(&turn, pool->class, TRIM_AGES);
    cr_assert(mbi_lock_acquire(LOCK_TRIM));
    while (turn.ages_left == TRIM_AGES) {
        struct trim_allowance left = trim_whole_step;
        bring_loose_slots(pool);
        cr_assert(mbi_trim_go_on(&turn, &left));
    }
    bool more = true;
    while (more) {
        struct trim_allowance left = trim_whole_step;
        more = mbi_trim_go_on(&turn, &left);
    }
    mbi_lock_release(LOCK_TRIM);
    cr_assert_eq(check_accounting(0)->pool[pool->class].central, 0);
}

static int calls;
static size_t size_asked;

static int free_some(size_t size, void *argument)
{
    size_t *left = argument;
    calls++;
    size_asked = size;
    cr_assert_null(mb_alloc(size), "no call while one runs");
    for (int i = 0; i < 1000 && *left != 0; i++) {
        mb_free(objects[--*left]);
    }
    return *left != 0;
}

Test(trim, a_limit_holds_and_the_handler_is_asked)
{
    mb_free(mb_alloc(8));
    cr_assert_eq(mb_memory_limit_set(8 << 20), 0);
    size_t count = 0;
    while (count < OBJECTS && (objects[count] = mb_alloc(64)) != NULL) {
        count++;
    }
    cr_assert_eq(errno, ENOMEM);
    cr_assert_lt(count, OBJECTS);
    cr_assert_gt(count * 64, 7 << 20);
    cr_assert_leq(bounded_taken(&mbi_committed), 8 << 20);

    size_t left = count;
    mb_out_of_memory_handler_set(free_some, &left);
    void *more = mb_alloc(64);
    cr_assert_not_null(more);
    cr_assert_eq(calls, 1);
    cr_assert_eq(size_asked, 64);
    cr_assert_not_null(mb_alloc(500), "memory changes pools through the kernel");
    cr_assert_leq(bounded_taken(&mbi_committed), 8 << 20);
    mb_out_of_memory_handler_set(NULL, NULL);
    cr_assert_eq(mb_memory_limit_set(0), 8 << 20);
    check_accounting(left + 2);
}

/* However much is free elsewhere: a request waits for as much of it to go back as serves it. */
Test(trim, a_request_at_the_limit_gives_back_no_more_than_it_takes)
{
    setenv("MB_DECAY_MS", "-1", 1);
    allocate(32);
    mb_free(mb_alloc(64));
    mb_thread_flush();
    (void)mb_memory_limit_set(bounded_taken(&mbi_committed));
    while (mb_alloc(504) != NULL) { /* what these sizes have */
    }
    while (mb_alloc(64) != NULL) {
    }
    const struct pool *pool = pool_at(3);
    uint64_t sorted = counter_read(&pool->sorted_slots);
    free_every(1, 0);
    cr_assert_not_null(mb_alloc(64));
    cr_assert_gt(counter_read(&pool->released_bytes), 0);
    cr_assert_leq(counter_read(&pool->sorted_slots) - sorted, OBJECTS / 10);
    /* All of it is there for those who go on. */
    for (size_t i = 0; i < OBJECTS * 32 / 64 / 10 * 9; i++) {
        cr_assert_not_null(mb_alloc(64), "%zu", i);
    }
}

Test(trim, a_limit_below_what_is_committed_gives_free_memory_back)
{
    allocate(64);
    free_every(1, 0);
    cr_assert_gt(bounded_taken(&mbi_committed), OBJECTS * 64);
    mb_memory_limit_set(1 << 20);
    cr_assert_leq(bounded_taken(&mbi_committed), 1 << 20);
    cr_assert_not_null(mb_alloc(64));
}

Test(trim, the_environment_sets_the_limit)
{
    setenv("MB_MEMORY_LIMIT", "1M", 1);
    size_t count = 0;
    while (count < OBJECTS && (objects[count] = mb_alloc(64)) != NULL) {
        count++;
    }
    cr_assert_lt(count, OBJECTS);
    cr_assert_leq(bounded_taken(&mbi_committed), 1 << 20);
    cr_assert_eq(mb_memory_limit_set(0), 1 << 20);
}

Test(trim, idle_threads_hold_nothing)
{
    allocate(64);
    free_every(1, 0);
    mb_thread_idle();
    const struct mb_stats *stats = check_accounting(0);
    cr_assert_eq(stats->pool[7].magazines, 0);
    cr_assert_eq(stats->threads_idle, 1);
    mb_thread_busy();
    cr_assert_eq(check_accounting(0)->threads_idle, 0);
}
