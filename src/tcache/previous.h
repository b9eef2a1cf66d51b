/*
 * previous: the full magazines that a thread keeps of one class, and how many it may keep.
 *
 * Ladder: above core/batch_stack; pure. Callers: the thread cache's slow paths.
 *
 *   top ─> batch ─> batch ─> ...      depth batches, linked in the form they have in the centre
 *
 *   low <= depth <= depth_max         depth_max starts at 1: Bonwick's loaded/previous pair
 *
 * Adaptive depth. A thread that flushes a batch and later refills one would have been spared both
 * by one more place: each such round trip adds one to depth_max. Batches that were not touched
 * during a whole window of exchanges are not needed: `low` counts them, and half of them become
 * surplus, which goes to the centre one batch an exchange, so that no exchange moves more than
 * two. The window is several times as long as it takes to use the depth up and fill it again.
 *
 * Owner only, but for `depth`, which walkers read.
 */
#ifndef MEMORYBUCKET_TCACHE_PREVIOUS_H
#define MEMORYBUCKET_TCACHE_PREVIOUS_H

#include "core/batch_stack.h"

struct previous {
    uint32_t top; /* slot number of the first batch; 0 when there is none */
    _Atomic uint16_t depth;
    uint16_t depth_max;
    uint16_t low;       /* lowest depth since the window began */
    uint16_t exchanges; /* left until the window ends */
    uint16_t surplus;   /* batches still to be given up */
    uint16_t flushed;   /* batches that went to the centre and were not asked back yet */
};

enum { PREVIOUS_DEPTH_LIMIT = 4096, PREVIOUS_WINDOW_DEPTHS = 8 };
_Static_assert(PREVIOUS_DEPTH_LIMIT * PREVIOUS_WINDOW_DEPTHS <= UINT16_MAX, "the window fits");

/* relaxed [DEPTH]: one writer, the owner; a walker takes the number as it finds it. */
MBI_HOT_INLINE uint16_t previous_depth(const struct previous *previous)
{
    return atomic_load_explicit(&previous->depth, memory_order_relaxed); /* [DEPTH] */
}

static inline void previous_set_depth(struct previous *previous, uint16_t depth)
{
    atomic_store_explicit(&previous->depth, depth, memory_order_relaxed); /* [DEPTH] */
}

static inline void previous_open_window(struct previous *previous)
{
    previous->low = previous_depth(previous);
    previous->exchanges = (uint16_t)(PREVIOUS_WINDOW_DEPTHS * previous->depth_max);
}

/* Empty, as at a thread's start. */
static inline void previous_init(struct previous *previous)
{
    previous->top = 0;
    previous->depth_max = 1;
    previous->flushed = 0;
    previous->surplus = 0;
    previous_set_depth(previous, 0);
    previous_open_window(previous);
}

static inline void previous_push(struct previous *previous, const struct slot_space *space,
                                 uint64_t chain)
{
    previous->top = (uint32_t)batch_pack(space, chain, previous->top);
    previous_set_depth(previous, (uint16_t)(previous_depth(previous) + 1));
}

/* The chain of the batch kept last; there is one. */
static inline uint64_t previous_pop(struct previous *previous, const struct slot_space *space,
                                    uint32_t rounds)
{
    struct slot *first = slot_space_slot(space, previous->top);
    uint64_t packed = batch_read_packed(first);
    uint16_t depth = (uint16_t)(previous_depth(previous) - 1);
    previous->top = (uint32_t)(packed >> SLOT_NUMBER_BITS);
    previous_set_depth(previous, depth);
    if (depth < previous->low) {
        previous->low = depth;
    }
    /* The line that the next pop waits for; nothing else would have asked for it by then. */
    __builtin_prefetch(slot_space_slot(space, previous->top), 1);
    return batch_unpack(space, first, packed, rounds);
}

/* A batch went to the centre for want of room. */
static inline void previous_note_flush(struct previous *previous)
{
    if (previous->flushed < PREVIOUS_DEPTH_LIMIT) {
        previous->flushed++;
    }
}

/* A batch came from the centre because none was kept. */
static inline void previous_note_refill(struct previous *previous)
{
    if (previous->flushed != 0 && previous->depth_max < PREVIOUS_DEPTH_LIMIT) {
        previous->flushed--;
        previous->depth_max++;
        previous_open_window(previous);
    }
}

/* Counts one exchange of magazines; true when one of the kept batches should go to the centre. */
static inline bool previous_count_exchange(struct previous *previous)
{
    if (MBI_UNLIKELY(--previous->exchanges == 0)) {
        previous->surplus = (uint16_t)((previous->low + 1) / 2);
        if (previous->depth_max > previous->surplus) {
            previous->depth_max = (uint16_t)(previous->depth_max - previous->surplus);
        }
        previous_open_window(previous);
    }
    if (MBI_LIKELY(previous->surplus == 0)) {
        return false;
    }
    previous->surplus--;
    return previous_depth(previous) != 0;
}

#endif
