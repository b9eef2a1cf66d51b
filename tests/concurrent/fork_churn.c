/*
 * fork_churn: 200 forks while other threads allocate, free, start and exit.
 *
 * No child hangs, each can allocate, start threads and walk the statistics; what it allocates and
 * frees adds up. The runner's time limit tells a hang. A handler of fork that was registered
 * before the library's own allocates while the library holds every lock for the fork.
 */
#include "testing.h"

#include "tcache/registry.h"

#include <sys/wait.h>
#include <unistd.h>

enum { FORKS = 200, CHURNERS = 3, OBJECTS = 2000 };

/*
 * The sanitizers of gcc 12 are not safe across the fork of a threaded process: AddressSanitizer's
 * malloc may hang in the child, ThreadSanitizer has no threads there. With them the child keeps
 * to the pools.
 */
enum { SIZE_MAX_HERE = TEST_IS_SANITIZED ? MB_SMALL_MAX : 600 };

static _Atomic bool stop;

static void churn(uint64_t seed, unsigned turns)
{
    void *objects[64] = { NULL };
    uint64_t random = seed;
    for (unsigned turn = 0; turn < turns; turn++) {
        void **place = &objects[random_below(&random, 64)];
        mb_free(*place);
        *place = mb_alloc(1 + random_below(&random, SIZE_MAX_HERE));
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

static uint64_t live_slots(void)
{
    static struct mb_stats stats;
    uint64_t live = 0;
    CHECK(mb_stats_get(&stats) == 0, "no statistics");
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        live += stats.pool[class].live;
    }
    return live;
}

static void *walk_until_stopped(void *argument)
{
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) { /* [TEST] */
        (void)live_slots();
    }
    return argument;
}

static void child(void)
{
    uint64_t live_before = live_slots();
    void *objects[OBJECTS];
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = mb_alloc(1 + i % SIZE_MAX_HERE);
        CHECK(objects[i] != NULL, "no memory");
        memset(objects[i], 0x77, 1 + i % SIZE_MAX_HERE);
    }
    mb_free_batch(OBJECTS, objects);
    for (uintptr_t i = 0; i < 2 * RETIRE_BATCH && !TEST_IS_SANITIZED; i++) {
        pthread_join(start_thread(churn_once, (void *)(i + 1)), NULL);
    }
    uint64_t live_after = live_slots();
    CHECK(live_after == live_before, "%llu slots were live before, %llu after",
          (unsigned long long)live_before, (unsigned long long)live_after);
    _exit(0);
}

/* Other sizes than the churners use first, so that slow paths are taken. */
static void allocating_handler(void)
{
    for (size_t size = 1; size <= 512; size += 8) {
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

int main(void)
{
    pthread_t threads[CHURNERS + 2];
    for (uintptr_t i = 0; i < CHURNERS; i++) {
        threads[i] = start_thread(churn_until_stopped, (void *)(i + 1));
    }
    threads[CHURNERS] = start_thread(start_threads_until_stopped, NULL);
    threads[CHURNERS + 1] = start_thread(walk_until_stopped, NULL);

    for (int forks = 0; forks < FORKS; forks++) {
        pid_t pid = fork();
        CHECK(pid >= 0, "fork");
        if (pid == 0) {
            child();
        }
        int status;
        CHECK(waitpid(pid, &status, 0) == pid, "waitpid");
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child %d: status %x", forks,
              (unsigned)status);
    }
    atomic_store_explicit(&stop, true, memory_order_relaxed); /* [TEST] */
    for (size_t i = 0; i < CHURNERS + 2; i++) {
        pthread_join(threads[i], NULL);
    }
    check_accounting(0);
    return 0;
}
