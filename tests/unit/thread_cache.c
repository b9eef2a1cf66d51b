/* thread_cache: what moves when a magazine is empty or full, and within which bounds. */
#include "tcache/thread_cache.h"

#include "core/config.h"
#include "core/decay.h"
#include "core/region.h"
#include "tcache/budget.h"
#include "tcache/out_of_memory.h"
#include "tcache/startup.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

enum { CLASS = 7 };

static struct pool *pool = &mbi_pools[POOL_INDEX(CLASS)];

static void *objects[100000];

static size_t pool_rounds_after_startup(void)
{
    cr_assert_eq(mbi_startup(), 0);
    cr_assert_eq(pool_for_use(CLASS), pool);
    return pool->rounds;
}

static void *allocate_of(size_t class)
{
    return thread_cache_alloc(class, size_class_slot_bytes(class));
}

static void free_of(void *object, size_t class)
{
    thread_cache_free(mbi_thread_cache, object, class, size_class_slot_bytes(class));
}

static void allocate(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        objects[i] = allocate_of(CLASS);
        cr_assert_not_null(objects[i]);
    }
}

static void release(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free_of(objects[i], CLASS);
    }
}

static uint64_t refills(void)
{
    return counter_read(&mbi_thread_cache->transfers[CLASS].refills);
}

static uint64_t flushes(void)
{
    return counter_read(&mbi_thread_cache->transfers[CLASS].flushes);
}

/* What a thread cache has of each class lies in two ranges: in front of the rest, and behind it. */
static void fill_classes(struct thread_cache *cache, int byte)
{
    size_t second = offsetof(struct thread_cache, obtained);
    memset(cache->loaded, byte, sizeof cache->loaded);
    memset((char *)cache + second, byte, sizeof *cache - second);
}

Test(thread_cache, is_written_only_for_classes_that_were_used)
{
    static struct thread_cache cache;
    static struct thread_cache before;
    (void)pool_rounds_after_startup();
    fill_classes(&cache, 0xA5); /* would be zeros: nothing is written over them */
    fill_classes(&before, 0xA5);
    mbi_thread_cache_init(&cache);
    size_t second = offsetof(struct thread_cache, obtained);
    cr_assert_eq(memcmp(cache.loaded, before.loaded, sizeof cache.loaded), 0);
    cr_assert_eq(memcmp((char *)&cache + second, (char *)&before + second, sizeof cache - second), 0);

    cache.listed = true;
    mbi_thread_cache_init(&cache);
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        bool is_clear = mbi_thread_cache_rounds(&cache, class) == 0
                        && magazine_rounds_max(&cache.loaded[class]) == 0
                        && cache.capacity[class] == 0 && cache.obtained[class] == 0;
        cr_assert_eq(is_clear, class == CLASS, "class %zu", class);
    }
    cr_assert_not(cache.listed);
}

Test(thread_cache, starts_with_the_constant_empty_one)
{
    cr_assert_eq(mbi_thread_cache, &mbi_cache_none);
    void *object = allocate_of(CLASS);
    cr_assert_eq(region_class_of(object), CLASS);
    cr_assert(mbi_thread_cache->active);
    free_of(object, CLASS);
    cr_assert_eq(allocate_of(CLASS), object, "last in, first out");
}

Test(thread_cache, fresh_runs_grow_up_to_a_magazine)
{
    allocate(1);
    cr_assert_eq(counter_read(&pool->carved), 8);
    allocate(24);
    cr_assert_eq(counter_read(&pool->carved), 32, "a thread touches little more than it needs");
    allocate(34 * pool->rounds);
    cr_assert_leq(counter_read(&pool->carved), 25 + 35 * pool->rounds);
    uint64_t before = counter_read(&pool->mutex_acquisitions);
    allocate(10 * pool->rounds);
    cr_assert_eq(counter_read(&pool->mutex_acquisitions) - before, 10, "by whole magazines now");
}

/* Locks taken for so many objects; all go back, and what was free is sorted. */
static uint64_t locks_for(size_t count)
{
    uint64_t before = counter_read(&pool->mutex_acquisitions);
    allocate(count);
    uint64_t locks = counter_read(&pool->mutex_acquisitions) - before;
    release(count);
    (void)mbi_out_of_memory_trim(0);
    cr_assert_eq(counter_read(&pool->sorted_slots), counter_read(&pool->carved));
    return locks;
}

Test(thread_cache, sorted_runs_grow_as_fresh_ones_do)
{
    size_t count = 40 * pool_rounds_after_startup();
    uint64_t fresh = locks_for(count);
    uint64_t carved = counter_read(&pool->carved);
    uint64_t sorted = locks_for(count);
    cr_assert_leq(sorted, 2 * fresh, "%lu locks, and %lu for fresh slots", sorted, fresh);
    cr_assert_eq(counter_read(&pool->carved), carved);
    /* But no larger than what the thread has shown need of. */
    allocate(1);
    cr_assert_eq(counter_read(&pool->sorted_slots), carved - 8);
}

/* Loose slots come under the lock, too. */
Test(thread_cache, whatever_the_pool_gives_under_its_lock_counts_as_need)
{
    allocate(pool_rounds_after_startup() * 15 / 16);
    release((size_t)pool->rounds * 15 / 16);
    mbi_thread_cache_flush(mbi_thread_cache);
    uint64_t loose = counter_read(&pool->loose_rounds);
    uint64_t carved = counter_read(&pool->carved);
    cr_assert_eq(loose, carved);
    /* A few first runs more, and the next one is longer. */
    uint64_t got = loose + round_up(size_above((size_t)9 * 32, loose), 8);
    allocate(got + 1);
    uint64_t run = counter_read(&pool->carved) - got;
    cr_assert_eq(run, got / 32, "%lu of %lu", run, got);
    cr_assert_gt(run, 8, "longer than a first run");
}

/*
 * Bonwick's hysteresis: allocating and freeing across a magazine's border costs no transfer,
 * wherever the border lies.
 */
static void check_no_ping_pong(void)
{
    size_t rounds = pool_rounds_after_startup();
    allocate(3 * rounds);
    release(3 * rounds);
    for (size_t held = 0; held < rounds; held++) {
        allocate(2);
        release(2);
        uint64_t before = refills() + flushes();
        for (size_t turn = 0; turn < 100; turn++) {
            allocate(2);
            release(2);
        }
        cr_assert_eq(refills() + flushes(), before, "%lu transfers",
                     refills() + flushes() - before);
        allocate(1); /* the border moves on; this one stays with the program */
    }
}

Test(thread_cache, no_ping_pong_at_the_border)
{
    check_no_ping_pong();
}

Test(thread_cache, no_ping_pong_when_another_class_has_used_up_the_bound)
{
    cr_assert_eq(mbi_startup(), 0);
    mbi_config.extra_bytes_max = 0;
    check_no_ping_pong();
}

/* Another thread asks for what is cached: the owner gives it up and goes on. */
Test(thread_cache, who_is_asked_gives_everything_up)
{
    size_t rounds = pool_rounds_after_startup();
    allocate(rounds + 20);
    release(20);
    struct magazine *loaded = &mbi_thread_cache->loaded[CLASS];
    size_t held = chain_rounds(magazine_chain(loaded));
    mbi_thread_cache_ask(mbi_thread_cache);
    free_of(objects[30], CLASS);
    cr_assert_eq(chain_rounds(magazine_chain(loaded)), 1);
    cr_assert_eq(magazine_rounds_max(loaded), rounds);
    cr_assert_eq(mbi_pool_check(pool) + counter_read(&pool->loose_rounds), held);
}

/* Fresh slots side by side, and some behind them that nothing uses. */
static char *obtain_apart(size_t rounds)
{
    uint64_t chain;
    struct fresh_run run = mbi_pool_obtain(pool, rounds, &chain);
    cr_assert_eq(run.rounds, rounds);
    cr_assert_eq(mbi_pool_obtain(pool, 8, &chain).rounds, 8);
    return run.first;
}

enum { BEFORE = 40, BYTES = 64 };

/* Objects that another thread could have allocated: 40, and as many as a batch has, apart from those. */
struct handed_over {
    char *before;
    char *batch;
};

/* The 40 are freed, and then `rounds` of the batch: those come together, and in their order. */
static struct handed_over free_in_two_orders(size_t rounds)
{
    struct handed_over freed = { .before = obtain_apart(BEFORE), .batch = NULL };
    freed.batch = obtain_apart(pool->rounds);
    for (size_t i = 0; i < BEFORE; i++) {
        free_of(freed.before + i * BYTES, CLASS);
    }
    for (size_t i = 0; i < rounds; i++) {
        free_of(freed.batch + i * BYTES, CLASS);
    }
    return freed;
}

Test(thread_cache, a_thread_that_only_frees_cuts_where_the_order_breaks)
{
    size_t rounds = pool_rounds_after_startup();
    cr_assert_not_null(mbi_thread_cache_ensure());
    char *after = obtain_apart(8);
    char *batch = free_in_two_orders(rounds).batch;
    cr_assert_eq(counter_read(&pool->loose_rounds), BEFORE);
    uint64_t chain = magazine_chain(&mbi_thread_cache->loaded[CLASS]);
    cr_assert_eq(chain_rounds(chain), rounds);
    for (size_t i = rounds; i-- > 0; chain = chain_first(chain)->rest) {
        cr_assert_eq((char *)chain_first(chain), batch + i * BYTES, "slot %zu", i);
        cr_assert_eq(chain_rounds(chain), i + 1);
    }
    free_of(after, CLASS);
    cr_assert_eq(counter_read(&pool->loose_rounds), BEFORE, "it is kept whole");
    cr_assert_eq(kept_depth(&mbi_thread_cache->kept[CLASS]), 1);
}

static sem_t change_gate, gate_changed;

/* A fork without the fork: the gate belongs to the thread that closes it. */
static void *fork_beside(void *argument)
{
    mbi_lock_close_gate(mbi_lock_defer_cancel());
    sem_post(&gate_changed);
    sem_wait(&change_gate);
    mbi_lock_restore_cancel(mbi_lock_open_gate());
    return argument;
}

/* Then nothing can become loose: the magazine is kept whole, and no slot gets lost or is there twice. */
Test(thread_cache, a_magazine_is_not_cut_while_another_thread_forks)
{
    size_t rounds = pool_rounds_after_startup();
    cr_assert_not_null(mbi_thread_cache_ensure());
    struct handed_over freed = free_in_two_orders(rounds - BEFORE);
    pthread_t forker;
    sem_init(&change_gate, 0, 0);
    sem_init(&gate_changed, 0, 0);
    cr_assert_eq(pthread_create(&forker, NULL, fork_beside, NULL), 0);
    sem_wait(&gate_changed);
    free_of(freed.batch + (rounds - BEFORE) * BYTES, CLASS); /* beside the last one */
    sem_post(&change_gate);
    pthread_join(forker, NULL);
    cr_assert_eq(counter_read(&pool->loose_rounds), 0);
    cr_assert_eq(mbi_thread_cache_rounds(mbi_thread_cache, CLASS), rounds + 1);
    static bool seen[2][MAGAZINE_ROUNDS_MAX];
    for (size_t i = 0; i < rounds + 1; i++) {
        char *object = allocate_of(CLASS);
        bool is_before = (size_t)(object - freed.before) < BEFORE * BYTES;
        size_t number = (size_t)(object - (is_before ? freed.before : freed.batch)) / BYTES;
        cr_assert(number < rounds && !seen[is_before][number], "%p", (void *)object);
        seen[is_before][number] = true;
    }
}

/* Only the mailbox was seen: the owner has complied, and the asker's last stores come late. */
Test(thread_cache, a_lowered_maximum_is_restored)
{
    size_t rounds = pool_rounds_after_startup();
    allocate(rounds);
    release(20);
    struct magazine *loaded = &mbi_thread_cache->loaded[CLASS];
    size_t held = chain_rounds(magazine_chain(loaded));
    magazine_set_rounds_max(loaded, 0);
    free_of(objects[30], CLASS);
    cr_assert_eq(chain_rounds(magazine_chain(loaded)), held + 1);
    cr_assert_eq(magazine_rounds_max(loaded), rounds);
}

/* A window of decay ends, and the thread takes its slow path: somebody lowered a maximum. */
static void end_window(size_t used)
{
    /* relaxed [TEST]: there is one thread. */
    atomic_fetch_add_explicit(&mbi_decay_hints.windows, 1, memory_order_relaxed); /* [TEST] */
    allocate(used);
    magazine_set_rounds_max(&mbi_thread_cache->loaded[CLASS], 0);
    release(used);
}

Test(thread_cache, what_a_window_saw_no_use_of_is_given_up)
{
    enum { OTHER = 3 };
    size_t rounds = pool_rounds_after_startup();
    allocate(3 * rounds);
    release(3 * rounds);
    free_of(allocate_of(OTHER), OTHER);
    size_t held = mbi_thread_cache_rounds(mbi_thread_cache, CLASS);
    size_t held_other = mbi_thread_cache_rounds(mbi_thread_cache, OTHER);
    cr_assert_gt(held_other, 0);

    end_window(1); /* both were used while it lasted */
    cr_assert_eq(mbi_thread_cache_rounds(mbi_thread_cache, CLASS), held);
    cr_assert_eq(mbi_thread_cache_rounds(mbi_thread_cache, OTHER), held_other);
    end_window(2);
    cr_assert_eq(mbi_thread_cache_rounds(mbi_thread_cache, CLASS), held, "this one was used");
    cr_assert_eq(mbi_thread_cache_rounds(mbi_thread_cache, OTHER), 0, "that one was not");
    cr_assert_eq(mbi_thread_cache->capacity[OTHER], 0);
}

/* Bytes of free slots that this thread holds. */
static size_t cached_bytes(void)
{
    size_t bytes = 0;
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        bytes += mbi_thread_cache_rounds(mbi_thread_cache, class) * size_class_slot_bytes(class);
    }
    return bytes;
}

/* Every class, many objects, under a budget for a fraction of that; all of it works. */
static void use_all_classes(size_t budget_bytes)
{
    setenv("MB_DECAY_MS", "-1", 1); /* what decay sorts is in none of the terms below */
    cr_assert_eq(mbi_startup(), 0);
    bounded_set_most(&mbi_budget, budget_bytes);
    for (int turn = 0; turn < 3; turn++) {
        for (size_t class = 0; class < SMALL_CLASS_COUNT; class++) {
            for (size_t i = 0; i < 1000; i++) {
                objects[class * 1000 + i] = allocate_of(class);
                cr_assert_not_null(objects[class * 1000 + i]);
            }
            cr_assert_leq(cached_bytes(), budget_bytes);
        }
        for (size_t i = 0; i < SMALL_CLASS_COUNT * 1000; i++) {
            free_of(objects[i], i / 1000);
            if (i % 100 == 0) {
                cr_assert_leq(cached_bytes(), budget_bytes);
            }
        }
        cr_assert_leq(bounded_taken(&mbi_budget), budget_bytes);
    }
    mbi_thread_cache_flush(mbi_thread_cache);
    cr_assert_eq(bounded_taken(&mbi_budget), 0);
    for (size_t class = 0; class < SMALL_CLASS_COUNT; class++) {
        size_t held = mbi_pool_check(pool_at(class));
        cr_assert_eq(held + counter_read(&pool_at(class)->loose_rounds),
                     counter_read(&pool_at(class)->carved));
    }
}

Test(thread_cache, keeps_within_a_small_budget)
{
    use_all_classes(200000);
}

Test(thread_cache, works_with_next_to_no_budget)
{
    use_all_classes(1000);
}

Test(thread_cache, works_with_no_budget)
{
    use_all_classes(0);
}

/* Keeps and uses up 100 batches; returns what of the budget is then taken, and not used. */
static size_t taken_in_vain_after_a_swing(size_t budget_bytes)
{
    size_t swing = 100 * pool_rounds_after_startup();
    bounded_set_most(&mbi_budget, budget_bytes);
    for (int turn = 0; turn < 3; turn++) {
        allocate(swing);
        release(swing);
    }
    allocate(swing);
    cr_assert_eq(bounded_taken(&mbi_budget), mbi_thread_cache->taken_bytes);
    return mbi_thread_cache->taken_bytes - mbi_thread_cache->used_bytes;
}

/* So no swap writes the number that all threads share. */
Test(thread_cache, the_budget_is_kept_until_the_window_ends)
{
    cr_assert_geq(taken_in_vain_after_a_swing(64 << 20), 50 * pool_batch_bytes(pool));
    atomic_fetch_add_explicit(&mbi_decay_hints.windows, 1, memory_order_relaxed);
    mbi_thread_cache_give_up_due(mbi_thread_cache);
    cr_assert_lt(bounded_taken(&mbi_budget),
                 mbi_thread_cache->used_bytes + 4 * (size_t)BUDGET_PIECE_BYTES);
}

Test(thread_cache, the_budget_is_given_back_where_the_process_is_crowded)
{
    cr_assert_lt(taken_in_vain_after_a_swing(2 << 20), (2 << 20) / 2);
}

Test(thread_cache, depth_grows_until_a_swing_fits)
{
    size_t swing = 20 * pool_rounds_after_startup();
    for (size_t turn = 0; turn < 4; turn++) {
        allocate(swing);
        release(swing);
    }
    uint64_t before = refills() + flushes();
    for (size_t turn = 0; turn < 20; turn++) {
        allocate(swing);
        release(swing);
    }
    cr_assert_leq(refills() + flushes() - before, 4, "%lu transfers in 20 swings",
                  refills() + flushes() - before);
}

Test(thread_cache, the_bound_on_bytes_holds)
{
    for (size_t turn = 0; turn < 6; turn++) {
        allocate(100000);
        release(100000);
        size_t kept = mbi_thread_cache_rounds(mbi_thread_cache, CLASS) * pool->slot_bytes;
        cr_assert_leq(kept, mbi_config.thread_cache_bytes_max);
        cr_assert_leq(mbi_thread_cache->extra_bytes, mbi_config.extra_bytes_max);
    }
    cr_assert_gt(mbi_pool_check(pool), 0, "the rest is in the centre");
}

Test(thread_cache, flush_gives_everything_back)
{
    allocate(5000);
    release(5000);
    mbi_thread_cache_flush(mbi_thread_cache);
    cr_assert_eq(mbi_thread_cache_rounds(mbi_thread_cache, CLASS), 0);
    cr_assert_eq(mbi_thread_cache->extra_bytes, 0);
    cr_assert_eq(mbi_pool_check(pool) + counter_read(&pool->loose_rounds),
                 counter_read(&pool->carved));
}

Test(thread_cache, take_many_takes_whole_magazines)
{
    size_t rounds = pool_rounds_after_startup();
    allocate(4 * rounds);
    release(4 * rounds);
    size_t loaded = chain_rounds(magazine_chain(&mbi_thread_cache->loaded[CLASS]));
    size_t whole = (10 * rounds + 5 - loaded) / rounds;
    size_t taken = mbi_thread_cache_take_many(CLASS, 10 * rounds + 5, objects);
    cr_assert_eq(taken, loaded + whole * rounds, "%zu were taken", taken);
    for (size_t i = 0; i < taken; i++) {
        cr_assert_eq(region_class_of(objects[i]), CLASS);
    }
}

Test(thread_cache, spill_goes_to_the_next_larger_aligned_pool)
{
    (void)pool_rounds_after_startup();
    pool->carving = SPAN_COUNT - 1;
    pool_carved_span(pool)->map.slots_max = 0; /* 64 bytes: exhausted */
    void *object = allocate_of(CLASS);
    cr_assert_eq(region_class_of(object), CLASS + 2, "80 bytes: 16-byte aligned like 64");
    cr_assert_eq(region_class_of(mbi_thread_cache_spill(CLASS, 64)), 15, "128 bytes");
    cr_assert_eq(region_class_of(mbi_thread_cache_spill(6, 8)), CLASS + 1, "72 bytes for 56");
}
