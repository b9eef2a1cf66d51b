/*
 * transfer: moves whole magazines of one class between a thread's cache and the centre.
 *
 * Ladder: above thread_cache.h, whose slow paths call it, and budget. Only the cache's owner calls.
 *
 *   transfer  a batch between thread and centre, one CAS: refill (to the thread), flush (from it)
 *   swap      the loaded magazine and a kept one, inside the thread
 *
 *   loaded empty -> refill     a kept one, else a batch of the centre, else what the pool obtains
 *   loaded full  -> make_room  it is kept, or goes to the centre
 *
 * What may be cached is counted here, before it is cached, but for what a refill brings to an upper
 * class, whose magazine grows to what has come:
 *   used_bytes = sum over the classes of capacity and of what is kept <= taken_bytes
 */
#ifndef MEMORYBUCKET_TCACHE_TRANSFER_H
#define MEMORYBUCKET_TCACHE_TRANSFER_H

#include "tcache/thread_cache.h"

/* Gives the empty loaded magazine slots: at least one; false when the pool has none. */
bool mbi_transfer_refill(struct thread_cache *cache, struct pool *pool);

/* The same, but only with a whole magazine, a kept one or a batch of the centre. */
bool mbi_transfer_refill_whole(struct thread_cache *cache, struct pool *pool);

/*
 * The same for a request of zeros: where a refill would carve fresh slots, returns one that is all
 * zeros instead. NULL where the magazine got slots, and where the other calls have to try.
 */
struct slot *mbi_transfer_take_zeroed(struct thread_cache *cache, struct pool *pool);

/*
 * Makes room in the loaded magazine, which has reached rounds_max: restores rounds_max if another
 * thread lowered it, else raises it, else empties the magazine, or cuts it. `next` is the slot that
 * it is for. False when the thread may not hold a single slot of the class.
 */
bool mbi_transfer_make_room(struct thread_cache *cache, struct pool *pool,
                            const struct slot *next);

/* Gives the budget pieces that the cache does not use, but for one or a few. O(1). */
void mbi_transfer_give_back_unused(struct thread_cache *cache);

/*
 * Gives back all that the cache holds of a class, and its part of the budget. False where the
 * pool's lock is refused (core/lock.h): then the loaded magazine and its part stay.
 */
bool mbi_transfer_flush_class(struct thread_cache *cache, size_t class);

#endif
