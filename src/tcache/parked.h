/*
 * parked: caches of threads that have ended, with all that is in them, for the threads that start.
 *
 * Ladder: above vacant, below registry, in whose list they stay. Callers: thread_exit parks and
 * adopts; registry and chores have what is in them given back.
 *
 *   active ──thread ends──> parked ──thread starts──> active
 *                              └──a window, mb_trim──> parked, and empty
 *
 *   parked <= PARKED_MAX, and what they took of the budget <= a quarter of it
 *
 * So a thread that ends and one that starts move no slot, and the next thread finds memory that is
 * in the processor's caches. A thread that ends where there is no room flushes its cache and
 * retires it (vacant.h). The thread that starts gets the cache that was parked last.
 *
 * A parked cache belongs to the thread that holds LOCK_REGISTRY. A child of fork keeps the parked
 * caches as they are: no thread was in them.
 */
#ifndef MEMORYBUCKET_TCACHE_PARKED_H
#define MEMORYBUCKET_TCACHE_PARKED_H

#include "tcache/vacant.h"

enum { PARKED_MAX = 64 };

/*
 * The calling thread's cache, or one that was left behind. False, and nothing done, when there is
 * no room, or the registry's lock is refused.
 */
bool mbi_parked_add(struct thread_cache *cache);

/*
 * The cache that was parked last, ready for the calling thread, stored to *owner; NULL without
 * one. A fork in a signal handler finds it parked or there.
 */
struct thread_cache *mbi_parked_adopt(struct thread_cache *volatile *owner);

/* Gives back what is in a cache, if it is a parked one; under the registry's lock. */
void mbi_parked_drain_locked(struct thread_cache *cache);

/*
 * What the parked caches took of the budget; in the child of a fork. Added up: the fork may be a
 * handler's that interrupted a drain.
 */
size_t mbi_parked_bytes(void);

#endif
