/*
 * fork: the library across fork(2).
 *
 * Ladder: above all of tcache; nothing calls it but the C library.
 *
 * prepare takes every lock, outermost first: so no transfer under a lock, no walk and no grace period of
 * ours is under way when the address space is copied. Exchanges with the central free lists are
 * single atomic instructions and need no lock: the copy has the head before or after. A batch
 * that another thread had in its hands at that moment is lost to the child, as what is in that thread's cache is.
 *
 * The parent gives the locks back; the child, whose only thread holds them, makes them anew and
 * writes the other threads' caches off.
 */
#include "core/lock.h"
#include "core/pool.h"
#include "tcache/registry.h"
#include "tcache/startup.h"

#include <pthread.h>

static void fork_prepare(void)
{
    mbi_startup_lock();
    mbi_registry_lock_all();
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        mbi_lock_acquire(&mbi_pools[class].lock);
    }
    mbi_lock_set_forking(true);
}

static void fork_parent(void)
{
    mbi_lock_set_forking(false);
    for (size_t class = SIZE_CLASS_COUNT; class-- > 0;) {
        mbi_lock_release(&mbi_pools[class].lock);
    }
    mbi_registry_unlock_all();
    mbi_startup_unlock();
}

static void fork_child(void)
{
    struct thread_cache *own = mbi_thread_cache->active ? mbi_thread_cache : NULL;
    mbi_registry_reset_in_child(own); /* with locks that are still ours */
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        mbi_lock_init(&mbi_pools[class].lock);
    }
    mbi_startup_reset_in_child();
    mbi_lock_set_forking(false);
}

/*
 * Before any thread can exist, hence before any can fork; earlier than the default priority, so that
 * our prepare runs after those of libraries which allocate in theirs. pthread_atfork may allocate: that works,
 * as all of the library comes up on demand. Should it fail, a fork of a busy process could hang its child; the
 * failure is reported once.
 */
__attribute__((constructor(101))) static void fork_register(void)
{
    (void)mbi_startup();
    if (pthread_atfork(fork_prepare, fork_parent, fork_child) != 0) {
        mbi_message("fork handlers could not be registered: children may hang");
    }
}
