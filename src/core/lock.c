/* lock: mutexes that the forking thread passes through. */
#include "core/lock.h"

#include <stdlib.h>

/*
 * The thread that holds every lock for a fork, or 0.
 * Written by that thread only, while it holds every lock; read by every locker.
 * relaxed [FORKING]: the only value a thread acts upon is its own id, which it has written itself;
 * any other value, stale or not, sends it to the mutex, which orders everything.
 */
static _Atomic uintptr_t forking_thread;

_Static_assert(sizeof(pthread_t) == sizeof(uintptr_t), "a thread id fits a word");

static bool lock_is_ours_by_fork(void)
{
    uintptr_t forking = atomic_load_explicit(&forking_thread, memory_order_relaxed); /* [FORKING] */
    return MBI_UNLIKELY(forking != 0) && forking == (uintptr_t)pthread_self();
}

void mbi_lock_set_forking(bool forking)
{
    uintptr_t self = forking ? (uintptr_t)pthread_self() : 0;
    atomic_store_explicit(&forking_thread, self, memory_order_relaxed); /* [FORKING] */
}

void mbi_lock_init(struct lock *lock)
{
    /* Not pthread_mutex_init: this cannot fail, and makes a locked mutex anew in a forked child. */
    lock->mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

void mbi_lock_acquire(struct lock *lock)
{
    if (!lock_is_ours_by_fork() && pthread_mutex_lock(&lock->mutex) != 0) {
        mbi_message("internal error: a mutex cannot be locked");
        abort();
    }
}

bool mbi_lock_try_acquire(struct lock *lock)
{
    return lock_is_ours_by_fork() || pthread_mutex_trylock(&lock->mutex) == 0;
}

void mbi_lock_release(struct lock *lock)
{
    if (!lock_is_ours_by_fork()) {
        pthread_mutex_unlock(&lock->mutex);
    }
}
