/*
 * parked: a thread that ends leaves its cache, with all that is in it, to the next one that starts.
 *
 * The next thread gets the slots that the last one freed. What no thread wants goes back: when two
 * windows have ended, which the test says, as no clock is to decide, by mb_trim, and before a pool
 * commits more memory. However many threads end, few caches are parked, and little of the budget. A
 * child of fork keeps them.
 */
#include "border.h"
#include "testing.h"

#include "core/centre.h"
#include "core/decay.h"
#include "core/upcalls.h"
#include "tcache/budget.h"
#include "tcache/registry.h"

#include <sys/wait.h>

enum {
    OBJECTS = 100,
    ENDS = TEST_IS_SANITIZED ? 1000 : 10000,
    AT_ONCE = 3 * PARKED_MAX,
    CHILD_SECONDS = 60,
    BLOCK_BYTES = 65536,
    MANY_MAX = 4 * BLOCK_BYTES / 208,
    TIMES = 30
};

/* Of two sizes: a hundred objects, or with upper pools a magazine; and four blocks. */
static size_t size;
static size_t pool_number;
static size_t count;
static size_t block_size;
static size_t block_pool;
static size_t many;

static void choose_sizes(void)
{
    size = small_or_upper(48, 1000);
    block_size = small_or_upper(208, 3072);
    pool_number = size_class_of(size);
    block_pool = size_class_of(block_size);
    count = size_min(OBJECTS, mbi_config.magazine_rounds[pool_number]);
    many = 4 * (size_t)BLOCK_BYTES / block_size;
}

static void *freed_last;

/* Returns what was freed last. */
static void *use(void)
{
    void *objects[OBJECTS];
    for (size_t i = 0; i < count; i++) {
        objects[i] = mb_alloc(size);
        CHECK(objects[i] != NULL, "no memory");
    }
    for (size_t i = 0; i < count; i++) {
        mb_free(objects[i]);
    }
    return objects[count - 1];
}

static void *use_and_end(void *argument)
{
    freed_last = use();
    return argument;
}

static void *find_what_was_freed_last(void *argument)
{
    void *object = mb_alloc(size);
    CHECK(object == freed_last, "%p is not the %p that was freed last", object, freed_last);
    CHECK(check_accounting(1)->parked_caches == 0, "the cache is still parked");
    mb_free(object);
    return argument;
}

static void run(void *(*function)(void *argument), void *argument)
{
    pthread_join(start_thread(function, argument), NULL);
}

static uint64_t parked_slots(const struct mb_stats *stats)
{
    uint64_t slots = 0;
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        slots += stats->pool[class].parked;
    }
    return slots;
}

static void the_next_thread_goes_on(void)
{
    run(use_and_end, NULL);
    const struct mb_stats *now = check_accounting(0);
    CHECK(now->threads == 1 && now->parked_caches == 1 && now->pool[pool_number].parked >= count,
          "%llu threads, %llu parked, with %llu slots", (unsigned long long)now->threads,
          (unsigned long long)now->parked_caches, (unsigned long long)now->pool[pool_number].parked);
    run(find_what_was_freed_last, NULL);
}

/* A slow path, and with it this thread's chores. */
static void do_chores(void)
{
    mb_thread_flush();
    mb_free(mb_alloc(size));
}

static void end_window(void)
{
    atomic_fetch_add_explicit(&mbi_decay_hints.windows, 1, memory_order_relaxed); /* [TEST] */
    do_chores();
}

static void what_no_thread_wants_goes_back(void)
{
    run(use_and_end, NULL);
    (void)mbi_decay_poll(); /* the first window begins, and lasts longer than this test */
    do_chores();
    run(use_and_end, NULL);
    uint64_t slots = parked_slots(check_accounting(0));
    CHECK(slots >= count, "%llu slots are parked", (unsigned long long)slots);
    end_window();
    CHECK(parked_slots(check_accounting(0)) == slots, "not a whole window has passed");
    CHECK(pools_pending(), "no window ends any more");
    end_window();
    CHECK(parked_slots(check_accounting(0)) == 0, "a window has passed");
    CHECK(check_accounting(0)->parked_caches == 1, "the cache itself stays");

    run(use_and_end, NULL);
    (void)mb_trim(0);
    CHECK(parked_slots(check_accounting(0)) == 0, "mb_trim leaves something");
    run(use_and_end, NULL);
    the_next_thread_goes_on();
}

/* Often enough that the thread keeps all of it. */
static void *use_blocks(void *argument)
{
    static void *objects[MANY_MAX];
    for (int i = 0; i < TIMES; i++) {
        for (size_t object = 0; object < many; object++) {
            objects[object] = mb_alloc(block_size);
            CHECK(objects[object] != NULL, "no memory");
        }
        mb_free_batch(many, objects);
    }
    return argument;
}

static void *use_a_block(void *argument)
{
    static void *objects[MANY_MAX / 4];
    for (size_t i = 0; i < many / 4; i++) {
        objects[i] = mb_alloc(block_size);
        CHECK(objects[i] != NULL, "no memory");
    }
    mb_free_batch(many / 4, objects);
    return argument;
}

static uint64_t blocks_committed(void)
{
    const struct mb_pool_stats *pool = &check_accounting(0)->pool[block_pool];
    return pool->committed_bytes + pool->released_bytes;
}

static uint64_t central_bytes(const struct mb_stats *stats)
{
    uint64_t bytes = 0;
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        bytes += stats->pool[class].central * stats->pool[class].slot_bytes;
    }
    return bytes;
}

/* What the other thread left is used by this one, which had nothing of the size. */
static void memory_is_used_before_more_is_committed(void)
{
    (void)mb_trim(0);
    run(use_blocks, NULL);
    CHECK(parked_slots(check_accounting(0)) > many / 2, "little is parked");
    uint64_t committed = blocks_committed();
    run(use_and_end, NULL); /* has the same cache, and leaves what it does not use there */
    (void)use_blocks(NULL);
    uint64_t more = blocks_committed() - committed;
    CHECK(more <= BLOCK_BYTES, "%llu more bytes were committed", (unsigned long long)more);
    CHECK(parked_slots(check_accounting(0)) != 0, "another size's slots were taken, too");
}

/* Both sizes, and then the first alone: by then no request of it takes a slow path. */
static void *use_two_sizes(void *argument)
{
    void *object = mb_alloc(block_size);
    freed_last = use();
    mb_free(object);
    return argument;
}

static uint64_t other_slots(void)
{
    return check_accounting(0)->pool[block_pool].parked;
}

/* Threads come and go so fast that no cache stays parked for a window. */
static void what_the_next_threads_do_not_use_goes_back(void)
{
    (void)mb_trim(0);
    run(use_two_sizes, NULL);
    CHECK(other_slots() != 0, "nothing is parked");
    for (int i = 0; i < 4; i++) {
        atomic_fetch_add_explicit(&mbi_decay_hints.windows, 1, memory_order_relaxed); /* [TEST] */
        run(use_and_end, NULL);
    }
    CHECK(other_slots() == 0, "what no thread used for windows is parked");
    CHECK(parked_slots(check_accounting(0)) >= count, "what each thread used is not");
}

static void *end_when_told(void *argument)
{
    freed_last = use();
    pthread_barrier_wait(argument);
    pthread_barrier_wait(argument);
    return NULL;
}

/* Its thread is asked for the cache, and ends without another slow path. */
static void what_was_asked_for_goes_back(void)
{
    pthread_barrier_t turn;
    pthread_barrier_init(&turn, NULL, 2);
    pthread_t thread = start_thread(end_when_told, &turn);
    pthread_barrier_wait(&turn);
    (void)mb_trim(0);
    pthread_barrier_wait(&turn);
    pthread_join(thread, NULL);
    const struct mb_stats *now = check_accounting(0);
    CHECK(now->parked_caches == 1 && parked_slots(now) == 0, "%llu caches hold %llu slots",
          (unsigned long long)now->parked_caches, (unsigned long long)parked_slots(now));
    run(use_and_end, NULL);
    CHECK(parked_slots(check_accounting(0)) >= count, "it is asked for still");
    the_next_thread_goes_on();
}

static void batches_use_it_too(void)
{
    static void *objects[MANY_MAX];
    (void)mb_trim(0);
    run(use_blocks, NULL);
    CHECK(parked_slots(check_accounting(0)) > many / 2, "little is parked");
    uint64_t committed = blocks_committed();
    CHECK(mb_alloc_batch(block_size, many, objects) == many, "no memory");
    mb_free_batch(many, objects);
    uint64_t more = blocks_committed() - committed;
    CHECK(more <= BLOCK_BYTES, "%llu more bytes were committed", (unsigned long long)more);
}

static void *use_blocks_without_a_cache(void *argument)
{
    thread_use_cache(&mbi_cache_direct);
    return use_blocks(argument);
}

static void *run_without_a_cache(void *argument)
{
    run(use_blocks_without_a_cache, argument);
    return argument;
}

static void *use_blocks_in_a_crowd(void *argument)
{
    size_t most = bounded_set_most(&mbi_budget, 0);
    (void)use_blocks(argument);
    (void)bounded_set_most(&mbi_budget, most);
    return argument;
}

/* Neither a thread that may cache nothing nor one without a cache has more memory committed. */
static void threads_that_take_few_use_it_too(void *(*use_few)(void *argument))
{
    (void)mb_trim(0);
    run(use_blocks, NULL);
    CHECK(parked_slots(check_accounting(0)) > many / 2, "little is parked");
    uint64_t committed = blocks_committed();
    mb_thread_flush();
    (void)use_few(NULL);
    uint64_t more = blocks_committed() - committed;
    CHECK(more <= BLOCK_BYTES, "%llu more bytes were committed", (unsigned long long)more);
}

/* Only what is parked makes the process crowded. */
static void a_crowd_of_parked_caches_goes_back(void)
{
    (void)mb_trim(0);
    run(use_blocks, NULL);
    CHECK(parked_slots(check_accounting(0)) != 0, "nothing is parked");
    size_t most = bounded_set_most(&mbi_budget, bounded_taken(&mbi_budget) * 3 / 2);
    CHECK(budget_is_crowded(), "the process is not crowded");
    mb_free(mb_alloc(size));
    size_t least = small_or_upper(pool_at(pool_number)->rounds, 1); /* upper ones grow with need */
    CHECK(mbi_thread_cache->capacity[pool_number] >= least,
          "the thread may have %u slots", mbi_thread_cache->capacity[pool_number]);
    CHECK(parked_slots(check_accounting(0)) == 0, "the parked cache has its slots still");
    (void)bounded_set_most(&mbi_budget, most);
}

/* Gives up what it used before, at its end. */
static void *use_early_and_end(void *argument)
{
    for (size_t i = 0; i < 3; i++) {
        mb_free(mb_alloc(border_bytes() - 8 * i));
    }
    for (size_t i = 0; i < 2; i++) {
        atomic_fetch_add_explicit(&mbi_decay_hints.windows, 1, memory_order_relaxed); /* [TEST] */
        struct thread_cache *cache = mbi_thread_cache_begin_slow();
        mbi_thread_cache_give_up_due(cache);
        thread_cache_end_slow(cache);
    }
    CHECK(mbi_thread_cache->taken_bytes > mbi_thread_cache->used_bytes, "the budget has it back");
    return argument;
}

static void unused_budget_is_not_parked(void)
{
    (void)mb_trim(0);
    run(use_early_and_end, NULL);
    const struct mb_stats *now = check_accounting(0);
    CHECK(now->parked_caches == 1 && now->cache_bytes == 0, "%llu parked, with %llu bytes",
          (unsigned long long)now->parked_caches, (unsigned long long)now->cache_bytes);
}

static void what_is_given_is_told(void)
{
    (void)mb_trim(0);
    run(use_and_end, NULL);
    for (int i = 0; i < TIMES; i++) {
        run(use_a_block, NULL);
    }
    CHECK(mbi_parked_give_block(block_pool), "nothing of the size is parked");
    CHECK(parked_slots(check_accounting(0)) != 0, "another size's slots were given, too");
    uint64_t central = central_bytes(check_accounting(0));
    CHECK(centre_bytes() == central, "%zu bytes were told, and %llu are in the centre",
          centre_bytes(), (unsigned long long)central);
}

static void *end_together(void *argument)
{
    (void)use();
    pthread_barrier_wait(argument);
    return NULL;
}

static void few_are_parked(void)
{
    for (size_t i = 0; i < ENDS; i++) {
        run(use_and_end, NULL);
    }
    CHECK(check_accounting(0)->parked_caches == 1, "a thread did not take the parked one");
    static pthread_t threads[AT_ONCE];
    pthread_barrier_t all_ready;
    pthread_barrier_init(&all_ready, NULL, AT_ONCE);
    for (size_t i = 0; i < AT_ONCE; i++) {
        threads[i] = start_thread(end_together, &all_ready);
    }
    for (size_t i = 0; i < AT_ONCE; i++) {
        pthread_join(threads[i], NULL);
    }
    const struct mb_stats *now = check_accounting(0);
    CHECK(now->threads == 1 && now->parked_caches == PARKED_MAX, "%llu threads, %llu parked",
          (unsigned long long)now->threads, (unsigned long long)now->parked_caches);
    (void)mb_trim(0);
    CHECK(check_accounting(0)->cache_bytes == 0, "parked caches have some of the budget still");
}

static void *sleep_with_a_cache(void *argument)
{
    mb_free(mb_alloc(size));
    pthread_barrier_wait(argument);
    pthread_barrier_wait(argument);
    return NULL;
}

static void a_child_keeps_them(void)
{
    pthread_barrier_t turn;
    pthread_barrier_init(&turn, NULL, 2);
    (void)mb_trim(0);
    run(use_and_end, NULL);
    void *last = freed_last;
    pthread_t sleeper = start_thread(sleep_with_a_cache, &turn); /* has the cache of that one */
    pthread_barrier_wait(&turn);
    freed_last = NULL;
    run(use_and_end, NULL);
    CHECK(freed_last != last, "two threads have one cache");
    uint64_t parked = check_accounting(0)->parked_caches;
    uint64_t slots = parked_slots(check_accounting(0));
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        alarm(CHILD_SECONDS);
        const struct mb_stats *now = check_accounting(0);
        CHECK(now->threads == 1 && now->parked_caches == parked && parked_slots(now) == slots,
              "%llu threads, %llu parked, with %llu slots", (unsigned long long)now->threads,
              (unsigned long long)now->parked_caches, (unsigned long long)parked_slots(now));
        CHECK(now->pool[pool_number].orphaned != 0, "the sleeper's slots are lost");
        if (!TEST_IS_SANITIZED) {
            run(use_and_end, NULL);
        }
        (void)mb_trim(0);
        CHECK(check_accounting(0)->cache_bytes == 0, "the budget is not what caches took");
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "child: status %x", (unsigned)status);
    pthread_barrier_wait(&turn);
    pthread_join(sleeper, NULL);
}

static void not_with_much_of_the_budget(void)
{
    (void)mb_trim(0);
    (void)bounded_set_most(&mbi_budget, 3 * many * block_size); /* less than MB_CACHE_MAX may be */
    uint64_t before = check_accounting(0)->parked_caches;
    for (size_t i = 0; i < 8; i++) {
        run(use_blocks, NULL);
        const struct mb_stats *now = check_accounting(0);
        CHECK(now->parked_caches < before && now->cache_bytes <= now->cache_bytes_max / 4,
              "%llu parked, with %llu bytes", (unsigned long long)now->parked_caches,
              (unsigned long long)now->cache_bytes);
    }
}

int main(void)
{
    setenv("MB_DECAY_MS", "1000000", 1);
    choose_sizes();
    mb_free(mb_alloc(size));
    the_next_thread_goes_on();
    what_no_thread_wants_goes_back();
    memory_is_used_before_more_is_committed();
    batches_use_it_too();
    threads_that_take_few_use_it_too(run_without_a_cache);
    threads_that_take_few_use_it_too(use_blocks_in_a_crowd);
    a_crowd_of_parked_caches_goes_back();
    unused_budget_is_not_parked();
    what_is_given_is_told();
    what_the_next_threads_do_not_use_goes_back();
    what_was_asked_for_goes_back();
    few_are_parked();
    a_child_keeps_them();
    not_with_much_of_the_budget();
    check_accounting(0);
    return 0;
}
