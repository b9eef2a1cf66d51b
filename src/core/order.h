/*
 * order: free slots in the order of their addresses again, ahead of decay.
 *
 * Ladder: above trim. Callers: decay, which does the steps.
 *
 * Objects that a program allocates one after the other and uses together lie side by side while
 * their slots are fresh. Freed in another order, their slots are linked in that order, and the next
 * objects lie here and there: each link waits for memory, and the program waits again, wherever it
 * goes through its objects. With each turn of a program this becomes worse.
 *
 * So where much lies in the centre, and out of order, its slots are sorted, and threads get them
 * lowest address first (core/free_map.h). These slots are ordered: they are sorted, but count as
 * the centre's, and their pages stay until they have grown old as batches do (core/pool_sort.h).
 *
 * A pass goes through the pools, step by step (core/trim.h), once the lists hold ORDER_FLOOR_BYTES,
 * and each time they have grown by ORDER_GROWTH_BYTES. Pools of slots above LINEAR_BYTES_MAX are
 * left out, whose objects are many lines each. So is a pool that has less than ORDER_POOL_BYTES
 * there, or if most of its batches are in order; and then also in the next passes, twice as many
 * each time. To sort a slot and to take it again costs some 20 ns, about what a link out of order
 * waits for: it pays where the program goes through its objects, too.
 *
 * Only while threads run on one processor: two that take sorted slots in turn would each get every
 * other run of them, and what lay in one processor's caches.
 */
#ifndef MEMORYBUCKET_CORE_ORDER_H
#define MEMORYBUCKET_CORE_ORDER_H

#include "core/centre.h"

#define ORDER_FLOOR_BYTES ((size_t)512 << 10)
#define ORDER_GROWTH_BYTES ((size_t)256 << 10)
#define ORDER_POOL_BYTES ((size_t)128 << 10)

/* The same for lists that hold ORDER_FLOOR_BYTES. */
bool mbi_order_is_due(size_t list_bytes);

/* Whether a step should be done now. A load or two; any thread, no lock. */
MBI_HOT_INLINE bool order_is_due(void)
{
    size_t bytes = centre_list_bytes();
    return MBI_UNLIKELY(bytes >= ORDER_FLOOR_BYTES) && mbi_order_is_due(bytes);
}

/* With the trim lock: a step of about `slots_max` slots at most; whether there was any work. */
bool mbi_order_step(size_t slots_max);

#endif
