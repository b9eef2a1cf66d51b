/* pool: carving, colours, loose slots, and the change from the dense span to the wide one. */
#include "core/pool.h"

#include "core/config.h"
#include "core/excess.h"
#include "core/limit.h"
#include "core/os.h"
#include "core/processors.h"
#include "core/region.h"
#include "core/trim.h"
#include "tcache/startup.h"

#include "memorybucket/memorybucket.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

static struct pool *pool_of_class(size_t class)
{
    cr_assert_eq(mbi_startup(), 0);
    struct pool *pool = pool_for_use(class);
    cr_assert_not_null(pool);
    return pool;
}

static struct pool *pool_of(size_t size_bytes)
{
    return pool_of_class(size_class_of(size_bytes));
}

static uint64_t obtain_chain(struct pool *pool, size_t rounds)
{
    uint64_t loose;
    struct fresh_run run = mbi_pool_obtain(pool, rounds, &loose);
    return run.rounds != 0 ? mbi_pool_link_run(pool, run) : loose;
}

/* All but the given class; SIZE_CLASS_COUNT: all. */
static void check_never_used(size_t used)
{
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        cr_assert_eq(pool_is_laid_out(class), class == used, "class %zu", class);
        cr_assert_eq(mbi_pool_check(pool_at(class)), 0, "class %zu", class);
    }
    cr_assert_eq(pools_next(0), used);
    cr_assert_eq(pools_next(used), used);
}

/* Of memory that goes back, and of the looks at all pools; none of it is written to a pool. */
static void do_all_for_all_pools(void)
{
    static struct mb_stats stats;
    uint64_t bins[OCCUPANCY_BINS] = { 0 };
    size_t into;
    struct pool *never = pool_at(0);
    struct trim_turn turn;
    struct trim_allowance left = trim_whole_step;
    (void)mb_trim(0);
    cr_assert_eq(mb_stats_get(&stats, sizeof stats), 0);
    mb_thread_flush();
    cr_assert(mbi_lock_acquire(LOCK_TRIM));
    mbi_trim_begin_turn(&turn, 0, TRIM_AGES);
    cr_assert_not(mbi_trim_go_on(&turn, &left));
    cr_assert_not(mbi_pool_age(never, true));
    (void)mbi_excess_step(&trim_whole_step);
    mbi_lock_release(LOCK_TRIM);
    cr_assert_eq(mbi_pool_resident_bytes(never), 0);
    mbi_pool_count_occupancy(never, bins);
    for (size_t bin = 0; bin < OCCUPANCY_BINS; bin++) {
        cr_assert_eq(bins[bin], 0);
    }
    cr_assert_eq(mbi_pool_locate(never, mbi_region_span(0, SPAN_WIDE), &into), POOL_NOT_MAPPED);
}

static void *use_one_class(void *argument)
{
    mb_free(mb_alloc(64));
    return argument;
}

Test(pool, is_all_zeros_until_it_is_used)
{
    cr_assert_eq(mbi_startup(), 0);
    check_never_used(SIZE_CLASS_COUNT);
    do_all_for_all_pools();
    check_never_used(SIZE_CLASS_COUNT);

    mb_free(mb_alloc(64));
    check_never_used(7);
    do_all_for_all_pools();
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, use_one_class, NULL), 0);
    pthread_join(thread, NULL);
    do_all_for_all_pools();
    check_never_used(7);
}

Test(pool, what_is_written_before_its_first_use_is_found, .init = cr_redirect_stderr)
{
    struct pool *pool = pool_at(9);
    pool->loose = 1;
    cr_assert_eq(mbi_pool_check(pool), SIZE_MAX);
    pool->loose = 0;
    mbi_pool_lanes[POOL_INDEX(9)].of[1].rounds = 1;
    cr_assert_eq(mbi_pool_check(pool), SIZE_MAX);
    mbi_pool_lanes[POOL_INDEX(9)].of[1].rounds = 0;
    cr_assert_eq(mbi_pool_check(pool), 0);
}

Test(pool, is_whole_once_it_is_laid_out)
{
    cr_assert_eq(mbi_startup(), 0);
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        const struct pool *pool = pool_for_use(class);
        cr_assert_eq(pool, pool_at(class));
        cr_assert_eq(pool_for_use(class), pool, "and stays so");
        cr_assert_eq(pool->class, class);
        cr_assert_eq(pool->slot_bytes, size_class_slot_bytes(class));
        cr_assert_eq(pool->rounds, mbi_config.magazine_rounds[class]);
        cr_assert_eq(pool_stack(pool, 0), &mbi_pool_stacks[pool_index(pool)]);
        for (enum span_name span = 0; span < SPAN_COUNT; span++) {
            cr_assert_eq(pool->space.start[span], mbi_region_span(class, span));
            cr_assert_gt(pool->spans[span].map.slots_max, 0);
        }
        cr_assert_eq(counter_read(&pool->mutex_acquisitions), 0);
        cr_assert_eq(pools_next(class), class);
    }
}

Test(pool, runs_start_on_a_line_and_follow_each_other)
{
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        struct pool *pool = pool_of_class(class);
        char *next = NULL;
        for (size_t turn = 0; turn < 20; turn++) {
            uint64_t loose;
            struct fresh_run run = mbi_pool_obtain(pool, MAGAZINE_ROUNDS_STEP * (turn + 1), &loose);
            cr_assert_eq(run.rounds, MAGAZINE_ROUNDS_STEP * (turn + 1));
            cr_assert_eq((uintptr_t)run.first % LINE_BYTES, 0);
            cr_assert(next == NULL || run.first == next);
            cr_assert_eq(region_class_of(run.first), class);
            next = run.first + run.rounds * pool->slot_bytes;
        }
    }
}

Test(pool, spans_start_on_pages_of_different_colours)
{
    size_t page = mbi_os_page_bytes();
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        struct pool *pool = pool_of_class(class);
        size_t offset = (size_t)(pool_carved_span(pool)->carve_next - pool->space.start[SPAN_DENSE]);
        cr_assert_eq(offset % page, 0);
        cr_assert(offset >= page, "slot number 0 must stay free");
        if (class > 0) {
            size_t other = (size_t)(pool_carved_span(pool_at(class - 1))->carve_next
                                    - pool_at(class - 1)->space.start[SPAN_DENSE]);
            cr_assert_neq(offset, other);
        }
    }
}

Test(pool, slots_are_aligned_to_what_divides_their_size)
{
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        struct pool *pool = pool_of_class(class);
        uint64_t loose;
        struct fresh_run run = mbi_pool_obtain(pool, 64, &loose);
        for (size_t i = 0; i < run.rounds; i++) {
            uintptr_t address = (uintptr_t)run.first + i * pool->slot_bytes;
            cr_assert_eq(address % size_class_alignment_bytes(class), 0);
        }
    }
}

Test(pool, linked_runs_count_down_in_address_order)
{
    struct pool *pool = pool_of(24);
    uint64_t chain = obtain_chain(pool, 32);
    for (size_t rounds = 32; rounds > 0; rounds--) {
        cr_assert_eq(chain_rounds(chain), rounds);
        struct slot *slot = chain_first(chain);
        chain = slot->rest;
        cr_assert(chain == 0 || (char *)chain_first(chain) == (char *)slot + 24);
    }
    cr_assert_eq(chain, 0);
}

Test(pool, loose_slots_become_whole_batches)
{
    struct pool *pool = pool_of(64);
    uint32_t rounds = pool->rounds;
    uint64_t first = obtain_chain(pool, rounds - 8);
    uint64_t second = obtain_chain(pool, rounds - 16);
    mbi_pool_return_loose(pool, first);
    cr_assert_eq(counter_read(&pool->loose_rounds), rounds - 8);
    cr_assert_eq(mbi_pool_check(pool), 0);
    mbi_pool_return_loose(pool, second);
    cr_assert_eq(counter_read(&pool->loose_rounds), rounds - 24);
    cr_assert_eq(mbi_pool_check(pool), rounds);
    cr_assert_eq(counter_read(&pool->departed.flushes), 1);

    uint64_t loose;
    struct fresh_run run = mbi_pool_obtain(pool, 8, &loose);
    cr_assert_eq(run.rounds, 0, "loose slots come before fresh ones");
    cr_assert_eq(chain_rounds(loose), rounds - 24);
    cr_assert_eq(counter_read(&pool->loose_rounds), 0);
}

static bool run_on(size_t processor)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    return sched_setaffinity(0, sizeof one, &one) == 0;
}

/* One processor for each stack, as far as there are so many; returns how many. */
static size_t spread_over(size_t processors[])
{
    cpu_set_t allowed;
    cr_assert_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    bool taken[CENTRAL_STACKS] = { false };
    size_t count = 0;
    for (size_t i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &allowed) && !taken[i % CENTRAL_STACKS]) {
            taken[i % CENTRAL_STACKS] = true;
            processors[count++] = i;
        }
    }
    mbi_pools_spread(CENTRAL_STACKS);
    return count;
}

/* What was pushed on one processor is found from every other, and on the same one first. */
Test(pool, batches_stay_with_the_processor_and_are_found_from_any)
{
    struct pool *pool = pool_of(64);
    struct transfer_counts counts = { 0 };
    size_t processors[CENTRAL_STACKS];
    size_t count = spread_over(processors);
    uint64_t pushed[CENTRAL_STACKS];
    for (size_t i = 0; i < count; i++) {
        cr_assert(run_on(processors[i]));
        pushed[i] = obtain_chain(pool, pool->rounds);
        mbi_pool_push_batch(pool, pushed[i], &counts);
    }
    cr_assert_eq(mbi_pool_check(pool), count * pool->rounds);
    cr_assert(run_on(processors[0])); /* whose batch is the oldest */
    cr_assert_eq(mbi_pool_pop_batch(pool, &counts), pushed[0], "its own comes first");
    for (size_t i = 1; i < count; i++) {
        cr_assert_neq(mbi_pool_pop_batch(pool, &counts), 0, "a batch is stranded");
    }
    cr_assert_eq(mbi_pool_pop_batch(pool, &counts), 0);
    cr_assert_eq(counter_read(&counts.refills), count);
}

/*
 * What another processor's threads freed comes in the order in which they freed it: of more batches
 * than eight the last eight first, and then those before.
 */
Test(pool, batches_of_another_processor_come_oldest_first)
{
    enum { MOVED = 8, BATCHES = MOVED + 3 };
    struct pool *pool = pool_of(64);
    struct transfer_counts counts = { 0 };
    size_t processors[CENTRAL_STACKS];
    if (spread_over(processors) < 2) {
        cr_skip_test("one processor");
    }
    uint64_t pushed[BATCHES];
    cr_assert(run_on(processors[1]));
    for (size_t i = 0; i < BATCHES; i++) {
        pushed[i] = obtain_chain(pool, pool->rounds);
        mbi_pool_push_batch(pool, pushed[i], &counts);
    }
    cr_assert(run_on(processors[0]));
    for (size_t i = 0; i < BATCHES; i++) {
        size_t expected = i < MOVED ? BATCHES - MOVED + i : i - MOVED;
        cr_assert_eq(mbi_pool_pop_batch(pool, &counts), pushed[expected], "batch %zu", i);
        cr_assert_eq(mbi_pool_check(pool), (BATCHES - i - 1) * pool->rounds);
    }
    cr_assert_eq(mbi_pool_pop_batch(pool, &counts), 0);
    cr_assert_eq(counter_read(&counts.refills), BATCHES);
    cr_assert_eq(counter_read(&counts.flushes), BATCHES);
}

/* Whole fresh batches of one processor lie side by side, and no other's between them. */
Test(pool, each_processor_has_a_lane_of_its_own)
{
    struct pool *pool = pool_of(64);
    size_t processors[CENTRAL_STACKS];
    size_t count = spread_over(processors);
    char *next[CENTRAL_STACKS] = { NULL };
    size_t batches = mbi_config.block_bytes / pool_batch_bytes(pool);
    for (size_t batch = 0; batch < batches; batch++) {
        for (size_t i = 0; i < count; i++) {
            uint64_t chain;
            cr_assert(run_on(processors[i]));
            struct fresh_run run = mbi_pool_obtain(pool, pool->rounds, &chain);
            cr_assert_eq(run.rounds, pool->rounds);
            cr_assert(batch == 0 || run.first == next[i], "batch %zu lies elsewhere", batch);
            next[i] = run.first + run.rounds * pool->slot_bytes;
        }
    }
    cr_assert_eq(counter_read(&pool->in_lanes), 0);
    cr_assert_eq(counter_read(&pool->carved), count * batches * pool->rounds);
}

/*
 * So do shorter runs, but a lane never has more than an eighth of the pool for them, and none while
 * the pool has few slots.
 */
Test(pool, short_runs_come_from_lanes_too)
{
    enum { RUN = 16, RUNS = 256, FEW = 1024 };
    struct pool *pool = pool_of(64);
    size_t processors[CENTRAL_STACKS];
    size_t count = spread_over(processors);
    char *next[CENTRAL_STACKS] = { NULL };
    size_t side_by_side = 0;
    for (size_t i = 0; i < RUNS; i++) {
        uint64_t chain;
        size_t here = i % count;
        cr_assert(run_on(processors[here]));
        struct fresh_run run = mbi_pool_obtain(pool, RUN, &chain);
        cr_assert(run.rounds == RUN || (run.rounds > 0 && run.first == next[here]));
        side_by_side += run.first == next[here];
        next[here] = run.first + run.rounds * pool->slot_bytes;
        const size_t carved = counter_read(&pool->carved);
        cr_assert_leq(counter_read(&pool->in_lanes), carved > FEW ? count * carved / 8 : 0);
    }
    cr_assert_geq(side_by_side, RUNS / 2);
}

/* Where no more can be committed, a thread gets what lies in the lanes of other processors. */
Test(pool, lanes_are_used_up_before_memory_is_refused)
{
    struct pool *pool = pool_of(64);
    size_t processors[CENTRAL_STACKS];
    size_t count = spread_over(processors);
    cr_assert(run_on(processors[count - 1]));
    (void)obtain_chain(pool, pool->rounds);
    size_t in_lane = counter_read(&pool->in_lanes);
    cr_assert_eq(in_lane, mbi_config.block_bytes / pool->slot_bytes - pool->rounds);
    (void)bounded_set_most(&mbi_committed, bounded_taken(&mbi_committed));
    cr_assert(run_on(processors[0]));
    size_t got = 0;
    uint64_t chain;
    while ((chain = obtain_chain(pool, pool->rounds)) != 0) {
        got += chain_rounds(chain);
    }
    cr_assert_geq(got, in_lane);
    cr_assert_eq(counter_read(&pool->in_lanes), 0);
}

/* A request of another size gets their memory where no more can be committed, at the first try. */
Test(pool, lanes_serve_other_sizes_before_memory_is_refused)
{
    struct pool *pool = pool_of(64);
    size_t processors[CENTRAL_STACKS];
    (void)spread_over(processors);
    if (mbi_config.block_bytes / 8 < mbi_os_page_bytes()) {
        return; /* a block is one page, of which nothing is left */
    }
    cr_assert(run_on(processors[0]));
    (void)obtain_chain(pool, pool->rounds); /* all of it stays live */
    (void)bounded_set_most(&mbi_committed, bounded_taken(&mbi_committed));
    cr_assert_not_null(mb_alloc(400));
}

/* Less than a block is left: a batch of it is taken. */
Test(pool, what_is_left_of_a_block_is_carved)
{
    struct pool *pool = pool_of(64);
    size_t processors[CENTRAL_STACKS];
    (void)spread_over(processors);
    if (mbi_config.block_bytes / 8 < mbi_os_page_bytes()) {
        return; /* a block is one page, of which nothing is left */
    }
    cr_assert(run_on(processors[0]));
    const size_t limit = (size_t)64 << 20; /* large enough for whole blocks */
    (void)bounded_set_most(&mbi_committed, limit);
    size_t left = pool_batch_bytes(pool) + 8192;
    cr_assert_lt(left, mbi_config.block_bytes);
    cr_assert_eq(mbi_limit_charge(1, limit - bounded_taken(&mbi_committed) - left), 1);
    cr_assert_neq(obtain_chain(pool, pool->rounds), 0);
}

/* What lies in lanes goes back with what threads gave back. */
Test(pool, lanes_are_sorted_with_the_surplus)
{
    struct pool *pool = pool_of(64);
    struct transfer_counts counts = { 0 };
    size_t processors[CENTRAL_STACKS];
    (void)spread_over(processors);
    cr_assert(run_on(processors[0]));
    mbi_pool_push_batch(pool, obtain_chain(pool, pool->rounds), &counts);
    size_t in_lane = counter_read(&pool->in_lanes);
    (void)mb_trim(0);
    cr_assert_eq(counter_read(&pool->in_lanes), 0);
    cr_assert_geq(counter_read(&pool->sorted_slots), in_lane + pool->rounds);
    cr_assert_eq(counter_read(&pool->sorted_slots), counter_read(&pool->carved));
    cr_assert_leq(mbi_pool_resident_bytes(pool), 4096);
}

static bool stack_is_empty(struct pool *pool, size_t stack)
{
    return (atomic_load_explicit(&pool_stack(pool, stack)->head, memory_order_relaxed)
            & SLOT_NUMBER_MASK) == 0;
}

/* Not by its number: here the processor with the higher one was seen first. */
Test(pool, a_processor_has_the_stack_of_its_rank)
{
    struct pool *pool = pool_of(64);
    struct transfer_counts counts = { 0 };
    struct processor_set allowed;
    cr_assert(mbi_os_allowed_processors(false, &allowed));
    size_t count = 0;
    size_t seen[CENTRAL_STACKS];
    for (size_t i = PROCESSORS_MAX; i-- > 0 && count < CENTRAL_STACKS;) {
        if ((allowed.words[i / 64] >> i % 64 & 1) != 0) {
            struct processor_set one = { { 0 } };
            one.words[i / 64] = UINT64_C(1) << i % 64;
            seen[count++] = i;
            cr_assert_eq(mbi_processors_add(&one), count);
        }
    }
    mbi_pools_spread(CENTRAL_STACKS);
    for (size_t rank = 0; rank < count; rank++) {
        cr_assert(run_on(seen[rank]));
        cr_assert(stack_is_empty(pool, rank));
        mbi_pool_push_batch(pool, obtain_chain(pool, pool->rounds), &counts);
        cr_assert_not(stack_is_empty(pool, rank), "processor %zu pushes elsewhere", seen[rank]);
    }
}

Test(pool, direct_slots_are_never_lost)
{
    enum { SLOTS = 1000 };
    struct pool *pool = pool_of(48);
    struct slot *slots[SLOTS];
    for (size_t turn = 0; turn < 3; turn++) {
        for (size_t i = 0; i < SLOTS; i++) {
            slots[i] = chain_first(mbi_pool_take_up_to(pool, 1));
            cr_assert_not_null(slots[i]);
        }
        for (size_t i = 0; i < SLOTS; i++) {
            mbi_pool_free_direct(pool, slots[i]);
        }
        size_t central = mbi_pool_check(pool);
        cr_assert_eq(central + counter_read(&pool->loose_rounds), counter_read(&pool->carved));
        cr_assert_eq(counter_read(&pool->carved), SLOTS);
    }
}

/* 64 MiB of 512-byte slots; the wide span goes on where the dense one ends. */
Test(pool, the_wide_span_follows_the_dense_one)
{
    struct pool *pool = pool_of(512);
    mbi_config.huge_pages = HUGE_NEVER; /* which would be in memory as a whole */
    size_t dense_slots = pool_carved_span(pool)->map.slots_max;
    size_t carved = 0;
    uint64_t loose;
    while (pool->carving == SPAN_DENSE) {
        struct fresh_run run = mbi_pool_obtain(pool, 4096, &loose);
        cr_assert_neq(run.rounds, 0);
        carved += run.rounds;
        if (pool->carving == SPAN_WIDE) {
            cr_assert_eq(carved - run.rounds, dense_slots, "the dense span is used up first");
            cr_assert(run.first > pool->space.start[SPAN_WIDE]);
            cr_assert_eq(region_class_of(run.first), pool->class);
            struct slot *slot = (struct slot *)(void *)run.first;
            uint64_t number = slot_space_number(&pool->space, slot);
            cr_assert(number > slot_space_units(&pool->space, SPAN_DENSE));
            cr_assert_eq(slot_space_slot(&pool->space, number), slot);
        }
    }
    cr_assert_eq(counter_read(&pool->carved), carved);
    cr_assert_leq(mbi_pool_resident_bytes(pool), (size_t)1 << 20, "nothing was touched");
}

Test(pool, an_exhausted_pool_says_so)
{
    struct pool *pool = pool_of(512);
    pool->carving = SPAN_COUNT - 1;
    pool_carved_span(pool)->map.slots_max = 3;
    uint64_t loose;
    struct fresh_run run = mbi_pool_obtain(pool, 16, &loose);
    cr_assert_eq(run.rounds, 3, "the last ones are given out");
    run = mbi_pool_obtain(pool, 16, &loose);
    cr_assert(run.rounds == 0 && loose == 0);
    cr_assert_eq(mbi_pool_take_up_to(pool, 1), 0);
}

Test(pool, check_finds_a_chain_that_was_tampered_with)
{
    struct pool *pool = pool_of(32);
    uint64_t chain = obtain_chain(pool, 16);
    struct slot *third = chain_first(chain_first(chain_first(chain)->rest)->rest);
    mbi_pool_return_loose(pool, chain);
    cr_assert_eq(mbi_pool_check(pool), 0);
    third->rest = chain_make((struct slot *)(void *)pool, 3);
    cr_assert_eq(mbi_pool_check(pool), SIZE_MAX);
}

/* The walker that other tests end with: what it counts and follows, broken once each. */
Test(pool, the_check_finds_what_is_wrong, .init = cr_redirect_stderr)
{
    struct pool *pool = pool_of(64);
    struct transfer_counts counts = { 0 };
    mbi_pool_push_batch(pool, obtain_chain(pool, pool->rounds), &counts);
    mbi_pool_return_loose(pool, obtain_chain(pool, MAGAZINE_ROUNDS_STEP));
    cr_assert_eq(mbi_pool_check(pool), pool->rounds);

    counter_add(&pool->loose_rounds, 1);
    cr_assert_eq(mbi_pool_check(pool), SIZE_MAX, "the count of loose slots");
    counter_add(&pool->loose_rounds, UINT64_MAX);
    counter_add(&pool->sorted_slots, 1);
    cr_assert_eq(mbi_pool_check(pool), SIZE_MAX, "the count of sorted slots");
    counter_add(&pool->sorted_slots, UINT64_MAX);
    counter_add(&pool->in_lanes, 1);
    cr_assert_eq(mbi_pool_check(pool), SIZE_MAX, "the count of what lies in lanes");
    counter_add(&pool->in_lanes, UINT64_MAX);
    uint64_t carved = counter_read(&pool->carved);
    counter_clear(&pool->carved);
    cr_assert_eq(mbi_pool_check(pool), SIZE_MAX, "more in the centre than was carved");
    counter_add(&pool->carved, carved);
    cr_assert_eq(mbi_pool_check(pool), pool->rounds);

    struct slot *loose = chain_first(pool->loose);
    uint64_t rest = loose->rest;
    loose->rest = chain_make(chain_first(rest), chain_rounds(rest) - 1);
    cr_assert_eq(mbi_pool_check(pool), SIZE_MAX, "a chain that miscounts");
    struct slot elsewhere = { .rest = 0 };
    loose->rest = chain_make(&elsewhere, chain_rounds(rest));
    cr_assert_eq(mbi_pool_check(pool), SIZE_MAX, "a chain that leaves the pool");
    loose->rest = rest;
    uint64_t number = pool->aged[0];
    for (size_t i = 0; number == 0 && i < CENTRAL_STACKS; i++) {
        /* relaxed: no other thread is at work. */
        number = atomic_load_explicit(&pool_stack(pool, i)->head, memory_order_relaxed);
    }
    struct slot *first = slot_space_slot(&pool->space, number & SLOT_NUMBER_MASK);
    uint64_t second = batch_read_packed(first) & SLOT_NUMBER_MASK;
    slot_space_slot(&pool->space, second)->rest = 0;
    cr_assert_eq(mbi_pool_check(pool), SIZE_MAX, "a batch that ends early");
}

/* One more makes a batch of them. */
Test(pool, loose_slots_go_to_the_centre_when_they_are_a_batch)
{
    struct transfer_counts counts;
    memset(&counts, 0, sizeof counts);
    struct pool *pool = pool_of(64);
    uint64_t chain = obtain_chain(pool, pool->rounds);
    uint64_t rest = chain_first(chain)->rest;
    cr_assert_eq(chain_rounds(rest), pool->rounds - 1);
    mbi_pool_return_loose(pool, rest);
    cr_assert_eq(mbi_pool_pop_batch(pool, &counts), 0);
    mbi_pool_return_loose(pool, chain_push(0, chain_first(chain)));
    cr_assert_eq(pool->loose, 0);
    cr_assert_eq(chain_rounds(mbi_pool_pop_batch(pool, &counts)), pool->rounds);
}
