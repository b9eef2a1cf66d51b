/*
 * fork_churn VARIANT: forks while other threads allocate, free, start, exit and walk statistics.
 *
 * No child hangs. Each serves 100,000 requests, can start threads, and walks the statistics; the
 * accounting equation holds in it, and what it allocates and frees adds up. The runner's time limit
 * tells a hang. 100 forks in all, 1,000 with TEST_LONG; the table of variants says who forks, how
 * deep, and what the others do meanwhile.
 */
#include "border.h"
#include "testing.h"

#include "tcache/registry.h"

#include <sys/wait.h>
#include <unistd.h>

enum { OTHERS_MAX = 8, OBJECTS = 2000, ROUNDS = 50, HELD = 1000 };
_Static_assert(OBJECTS * ROUNDS == 100000, "as it says above");

/*
 * The sanitizers of gcc 12 are not safe across the fork of a threaded process: AddressSanitizer's
 * malloc may hang in the child, ThreadSanitizer has no threads there. With them the child keeps
 * to the pools and to itself, and there are fewer, as each takes longer. So there are under qemu.
 */
enum {
    SIZE_MAX_SMALL = TEST_IS_SANITIZED ? MB_SMALL_MAX : 600,
    SIZE_MAX_UPPER = 6000,
    UPPER_SHARE = 3, /* of the forks, where objects are so large */
    /* Of it a tenth, without TEST_LONG. */
    FORKS_SHARE = TEST_IS_SANITIZED || TEST_IS_EMULATED ? 2 : 1,
};

static size_t size_max_here;
static _Atomic bool stop;

static void churn(uint64_t seed, unsigned turns)
{
    void *objects[64] = { NULL };
    uint64_t random = seed;
    for (unsigned turn = 0; turn < turns; turn++) {
        void **place = &objects[random_below(&random, 64)];
        mb_free(*place);
        *place = mb_alloc(1 + random_below(&random, size_max_here));
        CHECK(*place != NULL, "no memory");
    }
    mb_free_batch(64, objects);
}

static void *churn_until_stopped(void *argument)
{
    uint64_t seed = (uintptr_t)argument;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) { /* [TEST] */
        churn(seed++, 1000);
    }
    return NULL;
}

static void *churn_once(void *argument)
{
    churn((uintptr_t)argument, 200);
    return NULL;
}

/* Threads that come and go, so that forks meet exits, retirements and grace periods. */
static void *start_threads_until_stopped(void *argument)
{
    uintptr_t seed = 1000;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) { /* [TEST] */
        pthread_join(start_thread(churn_once, (void *)seed++), NULL);
    }
    return argument;
}

static void *walk_until_stopped(void *argument)
{
    struct mb_stats stats;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) { /* [TEST] */
        CHECK(mb_stats_get(&stats, sizeof stats) == 0, "no statistics");
    }
    return argument;
}

static void *trim_until_stopped(void *argument)
{
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) { /* [TEST] */
        (void)mb_trim(0);
    }
    return argument;
}

static _Atomic unsigned resting;

/* Holds a known number of objects, with as many freed ones in its magazines, and does nothing. */
static void *rest_until_stopped(void *argument)
{
    void *objects[2 * HELD];
    for (size_t i = 0; i < 2 * HELD; i++) {
        objects[i] = mb_alloc(1 + i % MB_SMALL_MAX);
        CHECK(objects[i] != NULL, "no memory");
    }
    mb_free_batch(HELD, objects + HELD);
    atomic_fetch_add_explicit(&resting, 1, memory_order_release); /* [TEST] */
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) { /* [TEST] */
        usleep(1000);
    }
    mb_free_batch(HELD, objects);
    return argument;
}

/*
 * What may be under way in other threads when a fork comes: a thread runs each function, with a
 * number from 1 for its argument, until `stop`. With a decay_ms of "0" every slow path gives memory
 * back.
 */
struct variant {
    const char *name;
    unsigned forks;         /* by the first process; each child forks `levels` - 1 times deeper */
    unsigned levels;
    bool from_fresh_thread; /* that has never allocated, and so has no cache */
    bool handler_allocates; /* one of somebody else, while the library holds every lock */
    const char *decay_ms;
    bool background;        /* with the library's own thread */
    unsigned resting;       /* so many of the others rest; if all, a child's numbers are known */
    void *(*others[OTHERS_MAX])(void *);
};
#define CHURN churn_until_stopped, churn_until_stopped, churn_until_stopped
static const struct variant variants[] = {
    { "main", 280, 1, false, true, "1000", false, 0,
      { CHURN, start_threads_until_stopped, walk_until_stopped } },
    { "fresh_thread", 200, 1, true, false, "1000", false, 0,
      { CHURN, start_threads_until_stopped, walk_until_stopped } },
    { "cache_from_handler", 100, 1, true, true, "1000", false, 0,
      { CHURN, start_threads_until_stopped, walk_until_stopped } },
    { "three_levels", 40, 3, false, true, "0", false, 0,
      { CHURN, start_threads_until_stopped, walk_until_stopped } },
    { "trim", 100, 1, false, true, "-1", false, 0,
      { CHURN, start_threads_until_stopped, trim_until_stopped } },
    { "decay", 100, 1, false, true, "0", false, 0,
      { CHURN, start_threads_until_stopped, walk_until_stopped } },
    { "background", 50, 1, false, true, "1", true, 0, /* the child has its thread again at once */
      { CHURN, TEST_IS_EMULATED ? NULL : start_threads_until_stopped } },
    { "at_rest", 50, 1, false, false, "1000", false, 2,
      { rest_until_stopped, rest_until_stopped } },
};
static const struct variant *variant;

static _Atomic size_t begun;

static void *begin_work(void *number)
{
    atomic_fetch_add_explicit(&begun, 1, memory_order_relaxed); /* [TEST] */
    return variant->others[(uintptr_t)number - 1](number);
}

/* Returns when all are at work: none of them is about to begin when the fork comes. */
static size_t start_others(pthread_t *threads)
{
    size_t count = 0;
    atomic_store_explicit(&begun, 0, memory_order_relaxed); /* [TEST] */
    atomic_store_explicit(&stop, false, memory_order_relaxed); /* [TEST] */
    while (count < OTHERS_MAX && variant->others[count] != NULL) {
        uintptr_t number = count + 1;
        threads[count] = start_thread(begin_work, (void *)number);
        count++;
    }
    /* [TEST], both */
    while (atomic_load_explicit(&begun, memory_order_relaxed) < count
           || atomic_load_explicit(&resting, memory_order_acquire) < variant->resting) {
        usleep(1000);
    }
    return count;
}

static void stop_others(const pthread_t *threads, size_t count)
{
    atomic_store_explicit(&stop, true, memory_order_relaxed); /* [TEST] */
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* What a child finds, and must find again after its work. */
struct balance {
    uint64_t live;
    uint64_t in_transit; /* batches that other threads had in hand: the centre's, and not there */
    uint64_t orphaned;
};

static struct balance check_balance(void)
{
    struct mb_stats stats;
    struct balance balance = { 0, 0, 0 };
    CHECK(mb_stats_get(&stats, sizeof stats) == 0, "no statistics");
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        const struct mb_pool_stats *pool = &stats.pool[class];
        uint64_t held = held_slots(pool);
        size_t walked = mbi_pool_check(pool_at(class));
        CHECK(walked <= pool->central, "pool %zu: the centre holds %zu slots, and counts say %llu",
              class, walked, (unsigned long long)pool->central);
        CHECK(pool->carved == pool->live + held, "pool %zu: carved %llu, live %llu, held %llu",
              class, (unsigned long long)pool->carved, (unsigned long long)pool->live,
              (unsigned long long)held);
        balance.live += pool->live;
        balance.in_transit += pool->central - walked;
        balance.orphaned += pool->orphaned;
    }
    return balance;
}

static void serve(void)
{
    static unsigned char *objects[OBJECTS];
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < OBJECTS; i++) {
            size_t size = 1 + i % size_max_here;
            objects[i] = mb_alloc(size);
            CHECK(objects[i] != NULL, "no memory");
            memset(objects[i], (int)(i & 0xff), size);
        }
        for (size_t i = 0; i < OBJECTS; i++) {
            unsigned char last = objects[i][i % size_max_here];
            CHECK(objects[i][0] == (i & 0xff) && last == (i & 0xff), "object %zu has changed", i);
        }
        mb_free_batch(OBJECTS, (void **)objects);
    }
}

/* More exits than it takes for a grace period. */
static void start_threads(void)
{
    pthread_t threads[RETIRE_BATCH + 1];
    for (uintptr_t i = 0; i <= RETIRE_BATCH; i++) {
        threads[i] = start_thread(churn_once, (void *)(i + 1));
    }
    for (size_t i = 0; i <= RETIRE_BATCH; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void fork_levels(unsigned levels, unsigned forks);

static void child(unsigned levels_below)
{
    bool starts_threads = TEST_CHILD_STARTS_THREADS
                          || (TEST_IS_EMULATED && variant->resting != 0);
    struct balance before = check_balance();
    CHECK(variant->resting == 0
              || (before.live == (uint64_t)variant->resting * HELD && before.in_transit == 0
                  && before.orphaned >= (uint64_t)variant->resting * HELD / 2),
          "with all others at rest %llu slots are live, %llu in transit, %llu orphaned",
          (unsigned long long)before.live, (unsigned long long)before.in_transit,
          (unsigned long long)before.orphaned);
    serve();
    if (starts_threads) {
        start_threads();
    }
    if (levels_below != 0) {
        pthread_t threads[OTHERS_MAX];
        size_t others = starts_threads ? start_others(threads) : 0;
        fork_levels(levels_below, 1);
        stop_others(threads, others);
    }
    mb_background_stop(); /* the child has it again, and the walk is for one thread alone */
    struct balance after = check_balance();
    CHECK(after.live == before.live, "%llu slots were live before, %llu after",
          (unsigned long long)before.live, (unsigned long long)after.live);
    CHECK(after.in_transit == before.in_transit, "%llu slots were in transit before, %llu after",
          (unsigned long long)before.in_transit, (unsigned long long)after.in_transit);
    _exit(0);
}

static void fork_and_wait(unsigned levels)
{
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        child(levels - 1);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid, "waitpid");
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: child: status %x", variant->name,
          (unsigned)status);
}

static void *fork_from_fresh_thread(void *argument)
{
    CHECK(mbi_thread_cache == &mbi_cache_none, "this thread has a cache already");
    fork_and_wait((unsigned)(uintptr_t)argument);
    return NULL;
}

static void fork_levels(unsigned levels, unsigned forks)
{
    for (unsigned i = 0; i < forks; i++) {
        if (variant->from_fresh_thread) {
            void *argument = (void *)(uintptr_t)levels;
            pthread_join(start_thread(fork_from_fresh_thread, argument), NULL);
        } else {
            fork_and_wait(levels);
        }
    }
}

/* Other sizes than the churners use first, so that slow paths are taken. */
static void allocating_handler(void)
{
    for (size_t size = 1; size <= 512 && variant->handler_allocates; size += 8) {
        void *objects[40];
        size_t count = mb_alloc_batch(size, 40, objects);
        mb_free_batch(count, objects);
    }
    mb_thread_flush();
}

static void register_handler(void)
{
    pthread_atfork(allocating_handler, allocating_handler, allocating_handler);
}
/* Registered first: its prepare runs last, when the library holds its locks. */
__attribute__((section(".preinit_array"), used)) static void (*const preinit)(void) =
    register_handler;

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < sizeof variants / sizeof variants[0]; i++) {
        if (strcmp(argv[1], variants[i].name) == 0) {
            variant = &variants[i];
        }
    }
    CHECK(variant != NULL, "usage: fork_churn VARIANT");
    setenv("MB_DECAY_MS", variant->decay_ms, 1);
    if (variant->resting == 0) { /* more passes through the centre then */
        setenv("MB_MAGAZINE_SIZE", "16", 1);
    }
    size_max_here = small_or_upper(SIZE_MAX_SMALL, SIZE_MAX_UPPER);
    CHECK(!variant->background || mb_background_start() == 0, "no background thread");
    pthread_t threads[OTHERS_MAX];
    size_t others = start_others(threads);
    unsigned share = FORKS_SHARE * test_times(1, 10);
    share *= size_max_here > SIZE_MAX_SMALL ? UPPER_SHARE : 1;
    fork_levels(variant->levels, variant->forks / share);
    stop_others(threads, others);
    mb_background_stop();
    check_accounting(0);
    return 0;
}
