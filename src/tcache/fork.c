/*
 * fork: the library across fork(2).
 *
 * prepare closes the gate of all locks (core/lock.h), and so waits until none is held: nothing is
 * half done under a lock when the address space is copied. A transfer is one atomic instruction:
 * the copy has the central stack's head before or after it. A batch that another thread had in its
 * hands, or two (pool_pop_oldest), are lost to the child, and so is what is in that thread's cache.
 * Walks and grace periods hold no lock, and are not waited for.
 *
 * While the gate is closed no other thread waits for the one that forks, but for the few that
 * core/lock.h names; docs/architecture.md, "Fork", says what the others do without. Parent and
 * child open the gate again; the child writes the other threads' caches off.
 *
 * In checked mode, which knows every object, allocations and frees wait for the fork. There prepare
 * takes stdio's list lock first, as fflush(NULL) holds it and may wait for a stream whose owner is
 * in malloc. Not covered: a thread that reads nsswitch.conf (a first getpwnam) just then.
 */
#include "core/huge.h"
#include "core/lock.h"
#include "core/pool.h"
#include "tcache/background.h"
#include "tcache/checked.h"
#include "tcache/registry.h"
#include "tcache/startup.h"
#include "tcache/thread_exit.h"

#include <pthread.h>

/* glibc's recursive lock of its list of streams; other C libraries have none. */
/* NOLINTBEGIN(bugprone-reserved-identifier): the names are the C library's */
void _IO_list_lock(void) __attribute__((weak));
void _IO_list_unlock(void) __attribute__((weak));
void _IO_list_resetlock(void) __attribute__((weak));
/* NOLINTEND(bugprone-reserved-identifier) */

static void fork_prepare(void)
{
    int cancel_type = mbi_lock_defer_cancel(); /* until parent and child are done */
    if (checked_is_on() && _IO_list_lock != NULL) {
        _IO_list_lock();
    }
    huge_note_fork();
    mbi_lock_close_gate(cancel_type);
}

static void fork_parent(void)
{
    int cancel_type = mbi_lock_open_gate();
    mbi_pools_free_deferred();
    /* A signal handler's fork has to wait: its child would write off the caches in hand here. */
    sigset_t before = mbi_lock_block_signals();
    mbi_thread_take_back();
    mbi_lock_restore_signals(&before);
    if (checked_is_on() && _IO_list_unlock != NULL) {
        _IO_list_unlock();
    }
    mbi_lock_restore_cancel(cancel_type);
}

static void fork_child(void)
{
    mbi_lock_free_in_child();
    mbi_thread_forget_in_child();
    mbi_registry_reset_in_child(mbi_thread_listed_cache());
    mbi_check_note_child();
    mbi_background_reset_in_child();
    mbi_export_note_child();
    int cancel_type = mbi_lock_open_gate();
    mbi_pools_free_deferred();
    if (checked_is_on() && _IO_list_resetlock != NULL) {
        _IO_list_resetlock(); /* the C library does so where it has seen a second thread only */
    }
    mbi_lock_restore_cancel(cancel_type);
}

void mbi_fork_register(void)
{
    if (pthread_atfork(fork_prepare, fork_parent, fork_child) != 0) {
        mbi_message("fork handlers could not be registered: children may hang");
    }
}
