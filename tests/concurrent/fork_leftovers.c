/*
 * fork_leftovers: what other threads were in the middle of when a thread forked is over in the
 * child, and the gate is open again.
 *
 * A word that a thread took for an instant, and would have given back as it was refused, is free
 * (here the test takes it, when the gate is closed). Another thread's walk is not counted any more:
 * caches that are retired can be reused. The walk that the forking thread itself is in the middle
 * of, as a signal handler forked, is still counted until it ends; and nobody waits for liburcu
 * there. What was freed while the gate was closed has come back on either side, and the background
 * thread, which the child does not have, can be started there.
 */
#include "standing_walker.h"

#include <dirent.h>
#include <sys/wait.h>

enum { CHILD_SECONDS = 60 };

static _Atomic bool stop;
static bool takes_word;
static void *object;

static void *free_object(void *argument)
{
    mb_free(object); /* a thread without a cache: to the pool */
    CHECK(pools_have_deferred(), "it was not deferred");
    return argument;
}

static void take_word(void)
{
    if (takes_word) {
        pthread_join(start_thread(free_object, NULL), NULL);
        atomic_store_explicit(&mbi_locks[LOCK_POOLS].word, 1, memory_order_relaxed); /* [TEST] */
    }
}

static void give_word(void)
{
    if (takes_word) {
        atomic_store_explicit(&mbi_locks[LOCK_POOLS].word, 0, memory_order_relaxed); /* [TEST] */
    }
}

static void register_handlers(void)
{
    pthread_atfork(take_word, give_word, NULL);
}
/* Registered first: its prepare runs last, when the gate is closed. */
__attribute__((section(".preinit_array"), used)) static void (*const preinit)(void) =
    register_handlers;

static bool is_stopped(void)
{
    return atomic_load_explicit(&stop, memory_order_acquire); /* [TEST] */
}

static uint64_t retired_after_one_more(void)
{
    struct thread_cache *cache = mbi_vacant_take();
    CHECK(cache != NULL && mbi_registry_add(cache) != 0, "no cache");
    mbi_registry_retire(cache);
    return counter_read(&mbi_cache_counts.retired);
}

static pid_t fork_here(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        alarm(CHILD_SECONDS);
    }
    return pid;
}

static void wait_for_child(pid_t pid)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "child: status %x", (unsigned)status);
}

static void *take_lock(void *argument)
{
    CHECK(mbi_lock_acquire(LOCK_POOLS), "nobody forks");
    mbi_lock_release(LOCK_POOLS);
    return argument;
}

static size_t threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL, "/proc/self/task");
    size_t count = 0;
    struct dirent *entry;
    while ((entry = readdir(tasks)) != NULL) {
        count += entry->d_name[0] != '.';
    }
    closedir(tasks);
    return count;
}

static void start_threads(void)
{
    pthread_join(start_thread(take_lock, NULL), NULL);
    for (int turn = 0; threads() != 1; turn++) { /* the kernel lists a thread for a moment after its join */
        CHECK(turn < 120000, "%zu threads", threads());
        usleep(1000);
    }
    CHECK(mb_background_start() == 0, "no background thread");
    CHECK(threads() == 2, "the background thread is not there");
    mb_background_stop();
}

static void others_are_over(void)
{
    object = mb_alloc(100);
    CHECK(object != NULL && mb_background_start() == 0, "no memory or thread");
    takes_word = true;
    pid_t pid = fork_here();
    CHECK(!pools_have_deferred(), "what was freed while a thread forked still waits");
    if (pid == 0) {
        take_lock(NULL);
        CHECK(retired_after_one_more() == 0, "another thread's walk is still counted");
        if (TEST_CHILD_STARTS_THREADS) {
            start_threads();
        }
        _exit(0);
    }
    takes_word = false;
    mb_background_stop();
    wait_for_child(pid);
    CHECK(retired_after_one_more() == 1, "the walk is not counted here");
}

static pid_t forked;

/* As a signal handler may. The walk is repeated if the registry changes: once is enough. */
static void fork_inside(const struct thread_cache *cache, void *argument)
{
    (void)cache;
    (void)argument;
    if (forked != 0) {
        return;
    }
    forked = fork_here();
    if (forked == 0) {
        forked = -1;
        for (uint64_t i = 1; i <= RETIRE_BATCH; i++) {
            CHECK(retired_after_one_more() == i, "a walk's cache is reused under it");
        }
    }
}

int main(void)
{
    mb_free(mb_alloc(1)); /* one active cache to walk over */
    pthread_t walker = start_standing_walker(is_stopped);
    others_are_over();
    atomic_store_explicit(&stop, true, memory_order_release); /* [TEST] */
    pthread_join(walker, NULL);
    CHECK(retired_after_one_more() == 0, "a walk that has ended is still counted");

    mbi_registry_walk(walker_begin, fork_inside, NULL);
    CHECK(retired_after_one_more() == 0, "a walk that has ended is still counted");
    if (forked > 0) {
        wait_for_child(forked);
    }
    check_accounting(0);
    return 0;
}
