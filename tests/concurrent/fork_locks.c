/*
 * fork_locks: at the moment of a fork no other thread holds any lock of the library, and after it
 * the child can take each of them.
 *
 * A thread takes one lock after the other and says so in a variable as long as it holds it. In a
 * child the variable must be clear: prepare waited for the lock. How long it is held only decides
 * how surely a missing lock is found. The first child is forked before the library has come up.
 */
#include "testing.h"

#include "core/lock.h"

#include <sys/wait.h>
#include <unistd.h>

/* A child that hangs is ended by its alarm. */
enum { FORKS_PER_LOCK = 3, HOLD_MS = 20, CHILD_SECONDS = 60 };

/* Of the pools the first and the last one. */
static const struct {
    unsigned lock;
    const char *name;
} stages[] = {
    { LOCK_INIT, "init" },
    { LOCK_TRIM, "trim" },
    { LOCK_REGISTRY, "registry" },
    { LOCK_POOLS, "first pool" },
    { LOCK_HANDLER - 1, "last pool" },
    { LOCK_HANDLER, "handler" },
    { LOCK_CHECK, "check" },
};
enum { STAGES = sizeof stages / sizeof stages[0] };

static size_t stage;              /* written while the holder does not run */
static const char *volatile held; /* written under the lock in question */
static _Atomic bool holding, stop;
static bool in_child; /* where the sanitizers have no threads */

static void take(unsigned lock)
{
    CHECK(mbi_lock_acquire(lock), "lock %u is refused", lock);
}

static void *try_trim_lock(void *argument)
{
    CHECK(!mbi_lock_try_acquire(LOCK_TRIM), "who forked passes through the locks for ever");
    return argument;
}

/* Locks keep threads out again. */
static void check_locks_lock(void)
{
    take(LOCK_TRIM);
    if (!in_child || !TEST_IS_SANITIZED) {
        pthread_join(start_thread(try_trim_lock, NULL), NULL);
    }
    CHECK(!mbi_lock_try_acquire(LOCK_TRIM), "a thread takes a lock twice");
    mbi_lock_release(LOCK_TRIM);
}

static pid_t fork_and_check_child(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        CHECK(held == NULL, "a thread held the lock: %s", held);
        in_child = true;
        alarm(CHILD_SECONDS);
        for (size_t each = 0; each < STAGES; each++) {
            take(stages[each].lock);
            mbi_lock_release(stages[each].lock);
        }
        check_locks_lock();
        mb_free(mb_alloc(1));
        check_accounting(0);
        _exit(0);
    }
    return pid;
}

static void wait_for_child(pid_t pid)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "child: status %x", (unsigned)status);
}

static void *hold(void *argument)
{
    mbi_lock_set_patient(true); /* a fork may be under way */
    while (!atomic_load_explicit(&stop, memory_order_acquire)) { /* [TEST] */
        take(stages[stage].lock);
        held = stages[stage].name;
        atomic_store_explicit(&holding, true, memory_order_release); /* [TEST] */
        usleep(HOLD_MS * 1000);
        held = NULL;
        mbi_lock_release(stages[stage].lock);
        atomic_store_explicit(&holding, false, memory_order_release); /* [TEST] */
        usleep(1000);
    }
    return argument;
}

int main(void)
{
    wait_for_child(fork_and_check_child());
    mb_free(mb_alloc(1));
    for (stage = 0; stage < STAGES; stage++) {
        atomic_store_explicit(&stop, false, memory_order_release); /* [TEST] */
        pthread_t holder = start_thread(hold, NULL);
        for (int forks = 0; forks < FORKS_PER_LOCK; forks++) {
            while (!atomic_load_explicit(&holding, memory_order_acquire)) { /* [TEST] */
                usleep(100);
            }
            wait_for_child(fork_and_check_child());
            check_locks_lock();
        }
        atomic_store_explicit(&stop, true, memory_order_release); /* [TEST] */
        pthread_join(holder, NULL);
    }
    check_accounting(0);
    return 0;
}
