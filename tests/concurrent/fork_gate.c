/*
 * fork_gate: while a thread forks, no other thread waits for it.
 *
 * The C library takes locks of its own after all fork handlers have run (stdio's, the name
 * services', the handlers' list), and their owners may be inside malloc: if these waited for the
 * thread that forks, both would wait for ever. Here that moment is a fork handler which runs last
 * of all, when the library's gate is closed, and waits until other threads have made every call:
 * one that has a cache, one that has none yet, and one that begins only then; and until some have
 * ended, with a cache and without. The runner's time limit tells a wait.
 *
 * Afterwards, in parent and child, what was freed meanwhile has come back to the pools.
 */
#include "testing.h"

#include "tcache/registry.h"

#include <sys/wait.h>

enum { OBJECTS = 4000, EARLY = 20, CHILD_SECONDS = 60 };
enum { FORKS = 20, FEWER = TEST_IS_SANITIZED ? 3 : FORKS };

static unsigned forks_wanted;
/* A moment that others wait for; a counter, so that it can come again. */
static _Atomic unsigned closed_count, done_count, started_count, checked_count;

static void *early[FORKS][2][EARLY]; /* allocated before the gate closes, freed meanwhile */
static FILE *nowhere;

static void wait_for(_Atomic unsigned *count, unsigned wanted)
{
    while (atomic_load_explicit(count, memory_order_acquire) < wanted) { /* [TEST] */
        usleep(100);
    }
}

static void note(_Atomic unsigned *count)
{
    atomic_fetch_add_explicit(count, 1, memory_order_release); /* [TEST] */
}

static void use_every_call(void)
{
    static _Thread_local void *objects[OBJECTS];
    static _Thread_local struct mb_stats stats;
    use_objects(objects, OBJECTS, 600);
    for (size_t size = 8; size <= 512; size += 8) {
        size_t count = mb_alloc_batch(size, 300, objects);
        CHECK(count == 300, "%zu objects of %zu bytes", count, size);
        mb_free_batch(count, objects);
    }
    char *text = mb_calloc(30, 10);
    CHECK(text != NULL && text[299] == 0, "no memory");
    text = mb_realloc(text, 40);
    text = mb_realloc(text, 4000);
    CHECK(text != NULL && mb_usable_size(text) >= 4000, "no memory");
    mb_free_sized(text, 4000);
    void *aligned = mb_aligned_alloc(256, 200);
    CHECK(aligned != NULL && (uintptr_t)aligned % 256 == 0, "no memory");
    mb_free(aligned);
    mb_thread_idle();
    mb_thread_busy();
    mb_thread_flush();
    (void)mb_trim(0);
    CHECK(mb_stats_get(&stats, sizeof stats) == 0, "no statistics");
    mb_stats_print(nowhere);
    CHECK(mb_background_start() == 0, "no background thread");
    mb_background_stop();
    (void)mb_check_heap();
}

/* Frees on a thread that never allocated: these have no magazine to go to. */
static void *free_without_cache(void *argument)
{
    void **objects = argument;
    for (size_t i = 0; i < EARLY; i++) {
        mb_free(objects[i]);
    }
    CHECK(mbi_thread_cache == &mbi_cache_none, "this thread has a cache");
    note(&done_count);
    return NULL;
}

static void *begin_now(void *argument)
{
    use_every_call();
    note(&done_count);
    return argument;
}

/* Begins before the fork, and ends during it. */
static void *end_now(void *argument)
{
    use_every_call();
    CHECK(mbi_thread_cache->active, "this thread has no cache");
    unsigned round = atomic_load_explicit(&closed_count, memory_order_acquire); /* [TEST] */
    note(&started_count);
    wait_for(&closed_count, round + 1);
    return argument;
}
static pthread_t ender;

/* In each round once before the fork and once during it; and not while the process is looked at after it. */
static void *use_before_and_meanwhile(void *argument)
{
    for (unsigned round = 1; round <= forks_wanted; round++) {
        use_every_call();
        note(&started_count);
        wait_for(&closed_count, round);
        use_every_call();
        note(&done_count);
        wait_for(&checked_count, round); /* for ThreadSanitizer also in the child: it has not ended there */
    }
    return argument;
}

static bool waits; /* this thread's fork is the test's */

static void wait_for_the_others(void)
{
    static unsigned forks;
    if (!waits) {
        return;
    }
    note(&closed_count);
    pthread_t beginner = start_thread(begin_now, NULL);
    pthread_t freers[2];
    for (size_t i = 0; i < 2; i++) {
        freers[i] = start_thread(free_without_cache, early[forks][i]);
    }
    forks++;
    wait_for(&done_count, 4 * forks);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(freers[i], NULL); /* has no cache, and so no end to wait for */
    }
    pthread_join(beginner, NULL);
    pthread_join(ender, NULL); /* its cache is left behind */
    CHECK(counter_read(&mbi_cache_counts.in_use) > 2, "nobody left a cache behind");
    int type;
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
    CHECK(type == PTHREAD_CANCEL_DEFERRED, "a thread that forks can be cancelled");
    use_every_call(); /* this thread passes */
}

static void register_handler(void)
{
    pthread_atfork(wait_for_the_others, NULL, NULL);
}
/* Registered first: its prepare runs last. */
__attribute__((section(".preinit_array"), used)) static void (*const preinit)(void) =
    register_handler;

static uint64_t live_objects(void)
{
    static struct mb_stats stats;
    uint64_t live = 0;
    CHECK(mb_stats_get(&stats, sizeof stats) == 0, "no statistics");
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        live += stats.pool[class].live;
    }
    return live;
}

/* Its end looks for caches that were left behind; in the child these are written off. */
static void *live_in_child(void *argument)
{
    mb_free(mb_alloc(8));
    CHECK(mbi_thread_cache->active, "this thread has no cache");
    return argument;
}

static void fork_once(unsigned round)
{
    for (size_t i = 0; i < 2; i++) {
        for (size_t object = 0; object < EARLY; object++) {
            early[round][i][object] = mb_alloc(1 + (7 * object + i) * 13 % 512);
            CHECK(early[round][i][object] != NULL, "no memory");
        }
    }
    ender = start_thread(end_now, NULL);
    wait_for(&started_count, 2 * (round + 1));
    int type;
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    pid_t pid = fork();
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
    CHECK(type == PTHREAD_CANCEL_ASYNCHRONOUS, "fork has changed the cancellation's type");
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        waits = false;
        alarm(CHILD_SECONDS);
        CHECK(!pools_have_deferred(), "freed objects still wait in the child");
        if (!TEST_IS_SANITIZED) {
            use_every_call();
            pthread_join(start_thread(live_in_child, NULL), NULL);
            CHECK(mbi_registry_threads() == 1, "the child has one thread");
        }
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "child: status %x", (unsigned)status);
    CHECK(!pools_have_deferred(), "freed objects still wait");
    CHECK(mbi_registry_threads() <= 2, "a cache is still left behind");
    note(&checked_count);
}

int main(void)
{
    nowhere = fopen("/dev/null", "w");
    CHECK(nowhere != NULL && mb_init() == 0, "no region");
    waits = true;
    forks_wanted = test_times(FORKS, FEWER);
    pthread_t other = start_thread(use_before_and_meanwhile, NULL);
    for (unsigned round = 0; round < forks_wanted; round++) {
        fork_once(round);
    }
    pthread_join(other, NULL);
    CHECK(live_objects() == 0, "%llu objects are live", (unsigned long long)live_objects());
    check_accounting(0);
    return 0;
}
