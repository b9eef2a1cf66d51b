/*
 * trim: the steps that give the pools' free memory back to the operating system.
 *
 * Ladder: above pool. Callers: decay and excess (a step at a time), the API (all of it).
 *
 * One trimmer at a time: it holds the trim lock, which stands before the pools' locks. A step takes
 * a pool's lock for as long as it moves some hundred slots or marks the pages of one run, and never
 * while it follows chains or gives pages back; like carving, it may commit memory under it, for its
 * bits. fork takes the trim lock, and so waits for one step.
 *
 * What one step does at most, whoever calls it:
 *   TRIM_SLOTS_MAX slots are sorted, and what it takes to make whole magazines of them, and
 *   TRIM_TILES_MAX tiles looked through and TRIM_PAGES_MAX pages tried, with at most two system
 *   calls each: the kernel may refuse a run of pages, and then each of its pages.
 *
 * No slot that anybody holds is ever given back. Batches are taken out of the centre by a pop like
 * any other (the whole stack at once, batch_stack_detach); a page goes only when all slots that
 * overlap it are sorted, and these are taken out of the sorted, under the lock, for the time of the
 * system call. A popper that still looks at a batch of before reads its first word, which may have
 * become 0 meanwhile, and throws it away, as its CAS fails: the head's tag has gone on. What was
 * given back may be sealed later, in the same way (core/uncharge.h).
 */
#ifndef MEMORYBUCKET_CORE_TRIM_H
#define MEMORYBUCKET_CORE_TRIM_H

#include "core/pool_sort.h"

enum { TRIM_SLOTS_MAX = 16384, TRIM_TILES_MAX = 256, TRIM_PAGES_MAX = 1024 };

/* Both false where the lock is refused, as core/lock.h says; the second one does not wait. */
bool mbi_trim_lock(void);
bool mbi_trim_try_lock(void);
void mbi_trim_unlock(void);

/* The steps: with the trim lock. */

/*
 * Moves up to `slots_max` slots from the surplus, and all loose ones, to the sorted. Returns how
 * many; 0 when nothing is left, or there is no memory for the bits.
 */
size_t mbi_trim_sort(struct pool *pool, size_t slots_max);

/*
 * Tries to give back up to *pages_max pages (at most TRIM_PAGES_MAX) that only sorted slots
 * overlap, after looking through at most *tiles_max tiles; what was tried and looked through is
 * subtracted there. Adds what went to *bytes. False when the pool has no more of them.
 */
bool mbi_trim_release(struct pool *pool, size_t *tiles_max, size_t *pages_max, size_t *bytes);

/*
 * All of it, for all pools, step by step, without the trim lock: takes it for each step. Keeps
 * `keep_bytes` of free memory. Returns the bytes given back. A fork by another thread ends it.
 */
size_t mbi_trim_pools(size_t keep_bytes);

/*
 * For a request that nothing serves otherwise: one step of what is pending, so that it can be tried
 * again as soon as pages have gone. Batches and loose slots are sorted, whatever their age, and
 * pages that got slots are looked at; what the kernel refused before is not. Without the trim lock.
 * Adds what went to *bytes. False when nothing is left that was there when the turn began.
 */
struct trim_turn {
    size_t class;        /* whose turn it is */
    unsigned ages;       /* that have ended for it meanwhile */
    uint64_t slots_left; /* threads may bring loose slots all the time: no more than these */
};
void mbi_trim_begin_turn(struct trim_turn *turn);
bool mbi_trim_step_turn(struct trim_turn *turn, size_t *bytes);

#endif
