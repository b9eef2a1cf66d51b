/*
 * pool_sort: a pool's free memory on its way back to the operating system, and from there into use.
 *
 * Ladder: beside pool. Callers: trim, decay, excess; pool, for what is taken again.
 *
 *   central ──mbi_pool_age──> aged ──again──> surplus ──sort──> sorted ──release──> the kernel
 *      │                         │                               │ ^
 *      │                         └── any thread, under the lock ─┘ │ mbi_pool_age, again
 *      └── any thread, by CAS, and core/order.h ──sort──> ordered ─┘
 *
 * Ordered slots are sorted, too, and any thread takes them as such. But they grow old as batches do
 * before their pages may go: the fewest that a pool had in a window were not needed in it.
 *
 * Functions that do not end in _locked take the pool's lock. All but the takers are called with the
 * trim lock, and so only a signal handler is refused (core/lock.h).
 */
#ifndef MEMORYBUCKET_CORE_POOL_SORT_H
#define MEMORYBUCKET_CORE_POOL_SORT_H

#include "core/pool.h"

/* Sorted slots in the caller's hands, as numbers: as many as a kilobyte of stack holds. */
enum { SORTED_SLOTS_MAX = 256 };
struct sorted_slots {
    const struct free_map *from;
    size_t pages; /* that come back into memory with them */
    size_t count;
    uint32_t numbers[SORTED_SLOTS_MAX];
};

/* Up to `rounds_wanted` of the lowest sorted slots; none when there are none. */
void mbi_pool_take_sorted_locked(struct pool *pool, size_t rounds_wanted,
                                 struct sorted_slots *taken);

/* Links them in address order. Writes to them, which may fault: link many without the lock. */
uint64_t mbi_pool_link_sorted(const struct sorted_slots *taken);

/* An aged or surplus batch, as a chain; 0 when there is none. */
uint64_t mbi_pool_take_old_batch_locked(struct pool *pool);

/* Whether there is one. */
bool mbi_pool_has_old_batch_locked(const struct pool *pool);

/*
 * If no surplus is left, the aged batches become surplus and, with `central`, those on the stacks
 * become aged, as when a window has ended. Ordered slots that were ordered since the last time
 * count as sorted only. True when there was any of these, or a loose slot.
 */
bool mbi_pool_age(struct pool *pool, bool central);

/*
 * Sorts up to `slots_max` of the slots that lie in lanes or in the rest of a huge page, which are
 * free, too; a part at a time under the lock. Returns how many; 0 also where there is no memory
 * for the bits.
 */
size_t mbi_pool_sort_lanes(struct pool *pool, size_t slots_max);

/*
 * Takes up to `count` chains: the loose slots, and surplus batches. Returns how many; 0 also where
 * there is no memory for the bits.
 */
size_t mbi_pool_take_surplus(struct pool *pool, size_t count, uint64_t chains[]);

/*
 * Takes up to `count` of the batches that were pushed last, on the stack that is in use where
 * threads run on one processor, as chains. Returns how many; 0 also where there is no memory for
 * the bits. Return pushes them again, as they were.
 */
size_t mbi_pool_take_recent(struct pool *pool, size_t count, uint64_t chains[]);
void mbi_pool_return_recent(struct pool *pool, size_t count, const uint64_t chains[]);

/* These slots, by number, become sorted; or also ordered. */
void mbi_pool_sort(struct pool *pool, const uint32_t *numbers, size_t count, bool ordered);

/* The sorted slots that are not ordered: nothing needed them for a window. No lock. */
static inline uint64_t pool_settled_slots(const struct pool *pool)
{
    return size_above(counter_read(&pool->sorted_slots), counter_read(&pool->ordered));
}

/* Bytes of these that are in memory. No lock. */
size_t mbi_pool_sorted_bytes(const struct pool *pool);

/*
 * Around the system calls that give pages back. Begin finds the span's next run, as
 * mbi_free_map_begin_release does. End is told which of its pages went, a bit each, and how many.
 */
struct page_run mbi_pool_begin_release(struct pool *pool, struct span *span, size_t *tiles_max,
                                       size_t pages_max, bool any_huge);
void mbi_pool_end_release(struct pool *pool, struct span *span, struct page_run run,
                          const uint64_t gone[], size_t pages_gone);

/* Lets the pages be tried again that the kernel refused. */
void mbi_pool_retry_refused(struct pool *pool);

#endif
