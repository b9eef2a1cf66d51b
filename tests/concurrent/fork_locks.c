/*
 * fork_locks: at the moment of a fork no other thread holds any lock of the library, and after it the
 * child can take each of them.
 *
 * A thread takes one lock after the other and says so in a variable as long as it holds it. In a
 * child the variable must be clear: prepare waited for the lock. How long it is held only decides
 * how surely a missing lock is found. The first child is forked before the library has come up.
 */
#include "testing.h"

#include "core/trim.h"
#include "tcache/background.h"
#include "tcache/out_of_memory.h"
#include "tcache/registry.h"
#include "tcache/startup.h"

#include <sys/wait.h>
#include <unistd.h>

/* A child that hangs is ended by its alarm. */
enum { FORKS_PER_LOCK = 3, HOLD_MS = 20, CHILD_SECONDS = 10 };

/* In the order of fork's prepare; of the pools the first and the last one. */
enum stage { BACKGROUND, INIT, TRIM, REGISTRY, FIRST_POOL, LAST_POOL, HANDLER, STAGES };

static enum stage stage;                /* written while the holder does not run */
static const char *volatile held;       /* written under the lock in question */
static _Atomic bool holding, stop;

static void take(enum stage which)
{
    switch (which) {
    case BACKGROUND: mbi_background_lock(); break;
    case INIT: mbi_startup_lock(); break;
    case TRIM: mbi_trim_lock(); break;
    case REGISTRY: mbi_registry_lock_all(); break;
    case FIRST_POOL: mbi_lock_acquire(&mbi_pools[0].lock); break;
    case LAST_POOL: mbi_lock_acquire(&mbi_pools[SIZE_CLASS_COUNT - 1].lock); break;
    default: mbi_out_of_memory_lock(); break;
    }
}

static void give_back(enum stage which)
{
    switch (which) {
    case BACKGROUND: mbi_background_unlock(); break;
    case INIT: mbi_startup_unlock(); break;
    case TRIM: mbi_trim_unlock(); break;
    case REGISTRY: mbi_registry_unlock_all(); break;
    case FIRST_POOL: mbi_lock_release(&mbi_pools[0].lock); break;
    case LAST_POOL: mbi_lock_release(&mbi_pools[SIZE_CLASS_COUNT - 1].lock); break;
    default: mbi_out_of_memory_unlock(); break;
    }
}

/* Locks keep threads out again, the one that forked too. */
static void check_locks_lock(void)
{
    mbi_trim_lock();
    CHECK(!mbi_trim_try_lock(), "who forked passes through the locks for ever");
    mbi_trim_unlock();
}

static pid_t fork_and_check_child(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        CHECK(held == NULL, "a thread held the lock: %s", held);
        alarm(CHILD_SECONDS);
        for (enum stage each = BACKGROUND; each < STAGES; each++) {
            take(each);
            give_back(each);
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
    static const char *const names[STAGES] = {
        "background", "init", "trim", "registry", "first pool", "last pool", "handler",
    };
    while (!atomic_load_explicit(&stop, memory_order_acquire)) { /* [TEST] */
        take(stage);
        held = names[stage];
        atomic_store_explicit(&holding, true, memory_order_release); /* [TEST] */
        usleep(HOLD_MS * 1000);
        held = NULL;
        give_back(stage);
        atomic_store_explicit(&holding, false, memory_order_release); /* [TEST] */
        usleep(1000);
    }
    return argument;
}

int main(void)
{
    wait_for_child(fork_and_check_child());
    mb_free(mb_alloc(1));
    for (stage = BACKGROUND; stage < STAGES; stage++) {
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
