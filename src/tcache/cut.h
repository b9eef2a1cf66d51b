/*
 * cut: where a thread that only frees ends its magazines.
 *
 * Ladder: above thread_cache.h. Callers: transfer.
 */
#ifndef MEMORYBUCKET_TCACHE_CUT_H
#define MEMORYBUCKET_TCACHE_CUT_H

#include "tcache/thread_cache.h"

/*
 * Cuts the loaded magazine, which is full, where the order of its slots breaks, if `next`, the slot
 * that is freed now, goes on where the last one ended. Whether it was cut: then it has room.
 */
MBI_COLD bool mbi_cut_magazine(struct thread_cache *cache, struct pool *pool,
                               const struct slot *next);

#endif
