/*
 * lock: the mutexes of the library, and what fork does to them.
 *
 * Ladder: above base. Callers: config's users from region upward.
 *
 * Lock order, outermost first: background -> init -> trim -> reclaim -> walker -> registry ->
 * pool[0] .. pool[63] -> handler -> check.
 * No lock is held while the system allocator or a user's callback is called; only `background`,
 * which no allocation takes, is held while a thread is created.
 *
 * While a thread forks it holds every lock (see tcache/fork.c). A fork handler of somebody else
 * may run in that window, in the same thread, and allocate: for the forking thread lock and
 * unlock are then no-ops, since it owns them all already.
 */
#ifndef MEMORYBUCKET_CORE_LOCK_H
#define MEMORYBUCKET_CORE_LOCK_H

#include "core/base.h"

#include <pthread.h>

struct lock {
    pthread_mutex_t mutex;
};

#define LOCK_INITIALIZER { PTHREAD_MUTEX_INITIALIZER }

void mbi_lock_init(struct lock *lock);
void mbi_lock_acquire(struct lock *lock);
bool mbi_lock_try_acquire(struct lock *lock);
void mbi_lock_release(struct lock *lock);

/* The calling thread has taken every lock (true), or is about to give them up (false). */
void mbi_lock_set_forking(bool forking);

#endif
