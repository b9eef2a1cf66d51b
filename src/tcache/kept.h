/*
 * kept: the full magazines that a thread keeps of one class, and how many it may keep.
 *
 * Ladder: above core/batch_stack; pure. Callers: transfer.
 *
 *   top ─> batch ─> batch ─> ...      depth batches, linked in the form they have in the centre
 *
 *   low <= depth <= depth_max         depth_max starts at 1: Bonwick's loaded/previous pair
 *   depth_max = 1 + depth_more
 *
 * Adaptive depth. One more place would have spared a thread a flush and a later refill: each such
 * round trip adds one to depth_max. Batches that lay untouched for a whole period, a number of
 * swaps, are not needed: `low` counts them, and half of them become spare. One spare batch a swap
 * goes to the centre, so that no swap moves more than two. A period is several times as long as it
 * takes to use the depth up and fill it again.
 *
 * All zeros are the state at a thread's start: so nothing is written for a class before its use.
 *
 * Owner only, but for `depth`, which walkers read.
 */
#ifndef MEMORYBUCKET_TCACHE_KEPT_H
#define MEMORYBUCKET_TCACHE_KEPT_H

#include "core/batch_stack.h"

struct kept {
    uint32_t top; /* slot number of the first batch; 0 when there is none */
    _Atomic uint16_t depth;
    uint16_t depth_more; /* batches beyond the first that may be kept */
    uint16_t low;        /* lowest depth since the period began */
    int16_t swaps;       /* left until the period's last KEPT_PERIOD_DEPTHS; negative in these */
    uint16_t spare;      /* batches still to be given up */
    uint16_t flushed;    /* batches that went to the centre and were not asked back yet */
};

enum { KEPT_DEPTH_LIMIT = 4096, KEPT_PERIOD_DEPTHS = 8 };
_Static_assert((KEPT_DEPTH_LIMIT - 1) * KEPT_PERIOD_DEPTHS <= INT16_MAX, "a period's swaps fit");

/* relaxed [DEPTH]: one writer, the owner; any recent value is right for a walker. */
MBI_HOT_INLINE uint16_t kept_depth(const struct kept *kept)
{
    return atomic_load_explicit(&kept->depth, memory_order_relaxed); /* [DEPTH] */
}

static inline void kept_set_depth(struct kept *kept, uint16_t depth)
{
    atomic_store_explicit(&kept->depth, depth, memory_order_relaxed); /* [DEPTH] */
}

MBI_HOT_INLINE uint16_t kept_depth_max(const struct kept *kept)
{
    return (uint16_t)(1 + kept->depth_more);
}

static inline void kept_open_period(struct kept *kept)
{
    kept->low = kept_depth(kept);
    kept->swaps = (int16_t)(KEPT_PERIOD_DEPTHS * kept->depth_more);
}

/* Empty, as at a thread's start: all zeros. */
static inline void kept_init(struct kept *kept)
{
    kept->top = 0;
    kept->depth_more = 0;
    kept->flushed = 0;
    kept->spare = 0;
    kept_set_depth(kept, 0);
    kept_open_period(kept);
}

static inline void kept_push(struct kept *kept, const struct slot_space *space, uint64_t chain)
{
    kept->top = (uint32_t)batch_pack(space, chain, kept->top);
    kept_set_depth(kept, (uint16_t)(kept_depth(kept) + 1));
}

/* The chain of the batch kept last; there is one. */
static inline uint64_t kept_pop(struct kept *kept, const struct slot_space *space, uint32_t rounds)
{
    uint64_t chain = batch_list_pop(&kept->top, space, rounds);
    uint16_t depth = (uint16_t)(kept_depth(kept) - 1);
    kept_set_depth(kept, depth);
    if (depth < kept->low) {
        kept->low = depth;
    }
    /* The next pop reads this line; nothing else fetches it before. */
    __builtin_prefetch(slot_space_slot(space, kept->top), 1);
    return chain;
}

/* A batch went to the centre because there was no room. */
static inline void kept_note_flush(struct kept *kept)
{
    if (kept->flushed < KEPT_DEPTH_LIMIT) {
        kept->flushed++;
    }
}

/* A batch came from the centre because none was kept. */
static inline void kept_note_refill(struct kept *kept)
{
    if (kept->flushed != 0 && kept_depth_max(kept) < KEPT_DEPTH_LIMIT) {
        kept->flushed--;
        kept->depth_more++;
        kept_open_period(kept);
    }
}

/* Counts a swap; true when the caller shall give one of the kept batches to the centre. */
static inline bool kept_count_swap(struct kept *kept)
{
    if (MBI_UNLIKELY(--kept->swaps == -KEPT_PERIOD_DEPTHS)) {
        kept->spare = (uint16_t)((kept->low + 1) / 2);
        if (kept->depth_more >= kept->spare) {
            kept->depth_more = (uint16_t)(kept->depth_more - kept->spare);
        }
        kept_open_period(kept);
    }
    if (MBI_LIKELY(kept->spare == 0)) {
        return false;
    }
    kept->spare--;
    return kept_depth(kept) != 0;
}

#endif
