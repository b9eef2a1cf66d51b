/*
 * exchange: magazines of one class come to a thread's cache and leave it, whole.
 *
 * Ladder: above thread_cache.h, whose slow paths call it, and budget. Only the cache's owner calls.
 *
 *   loaded empty -> refill     one that was kept, a batch of the centre, or what the pool obtains
 *   loaded full  -> make_room  it is kept, or goes to the centre
 *
 * What may be cached is counted here, before it is cached:
 *   used_bytes = sum over the classes of capacity and of what is kept <= taken_bytes
 */
#ifndef MEMORYBUCKET_TCACHE_EXCHANGE_H
#define MEMORYBUCKET_TCACHE_EXCHANGE_H

#include "tcache/thread_cache.h"

/* Gives the empty loaded magazine slots: at least one; false when the pool has none. */
bool mbi_exchange_refill(struct thread_cache *cache, struct pool *pool);

/* The same, but only with a whole magazine that was kept or is in the centre. */
bool mbi_exchange_refill_whole(struct thread_cache *cache, struct pool *pool);

/*
 * Makes room in the loaded magazine, which looks full. It may only look so, as somebody asked for
 * it; it may be allowed to hold more; or it is emptied. False when the thread may not hold a single
 * slot of the class.
 */
bool mbi_exchange_make_room(struct thread_cache *cache, struct pool *pool);

/*
 * All that the cache holds of a class goes back, and so does its part of the budget. Where the
 * pool's lock is refused (core/lock.h) the loaded magazine stays, and so does its part: then it
 * returns false.
 */
bool mbi_exchange_flush_class(struct thread_cache *cache, size_t class);

#endif
