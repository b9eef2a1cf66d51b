/*
 * fork_locks: at the moment of a fork no other thread holds any lock of the library.
 *
 * A thread takes one lock after the other and says so in a variable as long as it holds it. In a
 * child the variable must be clear: prepare waited for the lock. How long it is held only decides
 * how surely a missing lock is found.
 */
#include "testing.h"

#include "tcache/registry.h"
#include "tcache/startup.h"

#include <sys/wait.h>
#include <unistd.h>

enum { FORKS_PER_LOCK = 3, HOLD_MS = 20 };

/* Stages: the init lock, the registry's three, the first pool's and the last one's. */
enum stage { INIT, REGISTRY, FIRST_POOL, LAST_POOL, STAGES };

static enum stage stage;                /* written while the holder does not run */
static const char *volatile held;       /* written under the lock in question */
static _Atomic bool holding, stop;

static void take(void)
{
    switch (stage) {
    case INIT: mbi_startup_lock(); break;
    case REGISTRY: mbi_registry_lock_all(); break;
    case FIRST_POOL: mbi_lock_acquire(&mbi_pools[0].lock); break;
    default: mbi_lock_acquire(&mbi_pools[SIZE_CLASS_COUNT - 1].lock); break;
    }
}

static void give_back(void)
{
    switch (stage) {
    case INIT: mbi_startup_unlock(); break;
    case REGISTRY: mbi_registry_unlock_all(); break;
    case FIRST_POOL: mbi_lock_release(&mbi_pools[0].lock); break;
    default: mbi_lock_release(&mbi_pools[SIZE_CLASS_COUNT - 1].lock); break;
    }
}

static void *hold(void *argument)
{
    static const char *const names[STAGES] = { "init", "registry", "first pool", "last pool" };
    while (!atomic_load_explicit(&stop, memory_order_acquire)) { /* [TEST] */
        take();
        held = names[stage];
        atomic_store_explicit(&holding, true, memory_order_release); /* [TEST] */
        usleep(HOLD_MS * 1000);
        held = NULL;
        give_back();
        atomic_store_explicit(&holding, false, memory_order_release); /* [TEST] */
        usleep(1000);
    }
    return argument;
}

int main(void)
{
    mb_free(mb_alloc(1));
    for (stage = INIT; stage < STAGES; stage++) {
        atomic_store_explicit(&stop, false, memory_order_release); /* [TEST] */
        pthread_t holder = start_thread(hold, NULL);
        for (int forks = 0; forks < FORKS_PER_LOCK; forks++) {
            while (!atomic_load_explicit(&holding, memory_order_acquire)) { /* [TEST] */
                usleep(100);
            }
            pid_t pid = fork();
            CHECK(pid >= 0, "fork");
            if (pid == 0) {
                CHECK(held == NULL, "a thread held the lock: %s", held);
                _exit(0);
            }
            int status;
            CHECK(waitpid(pid, &status, 0) == pid && status == 0, "child: status %x",
                  (unsigned)status);
        }
        atomic_store_explicit(&stop, true, memory_order_release); /* [TEST] */
        pthread_join(holder, NULL);
    }
    check_accounting(0);
    return 0;
}
