/*
 * decay: when free memory goes back by itself.
 *
 * Ladder: above trim, excess and config. Callers: slow paths; the background thread.
 *
 *   0 ────── window ────── 1 ────── window ────── 2 ── at most half a window ── memory is back
 *   batches lie in         aged: what is not         surplus: sorted, and whole pages
 *   the centre             needed until 2 ...        given back, a step at a time
 *
 * A window lasts MB_DECAY_MS. Batches that lie in the centre through a whole window were not needed
 * in that time. They are given back one to two and a half windows after they were last needed.
 *
 * The same steps sort what lies out of order (core/order.h), also where nothing goes back: with
 * MB_DECAY_MS=-1, but not with 0, where all of the centre goes at once.
 *
 * Slow paths call mbi_decay_poll_at while pools_pending() says that there may be something to do,
 * and not each of those that come in quick succession (tcache/chores.c). A thread does one step at
 * a time, which is as large as the time since the last step asks for, and for which its request
 * waits: so at most a short one (core/trim.h). Where that is too little, the next slow path goes
 * on.
 */
#ifndef MEMORYBUCKET_CORE_DECAY_H
#define MEMORYBUCKET_CORE_DECAY_H

#include "core/counters.h"

/* Reads the configuration. Called once, under the init lock. */
void mbi_decay_init(void);

/*
 * Does a step if one is due and no other thread does one. Takes locks and calls the kernel;
 * allocates nothing. Returns the nanoseconds until the next step is due, UINT64_MAX when nothing is
 * pending. Preserves errno.
 */
uint64_t mbi_decay_poll(void);

/* The same for a thread whose request waits: a short step. The coarse clock was read just now. */
uint64_t mbi_decay_poll_at(uint64_t coarse_ns);

/* A step that is due in less is not waited for by leaving looks at the clock out: some ticks. */
#define DECAY_SOON_NS UINT64_C(20000000)

/*
 * Has windows go on until threads are told that one has ended, also if nothing lies in the centre.
 * They are told of fewer windows where these are short.
 */
void mbi_decay_await_window(void);

/* What every slow path reads, in a line of its own. Steps write it, with the trim lock. */
struct decay_hints {
    _Alignas(ISOLATION_BYTES) _Atomic uint32_t windows; /* that have ended */
    /* Any thread sets it (mbi_decay_await_window); a step clears it as it tells of a window. */
    _Atomic bool awaited;
    _Atomic uint64_t due_ns; /* decay.c's */
};
extern MBI_HIDDEN struct decay_hints mbi_decay_hints;

/* relaxed [WINDOW]: a stale read delays that thread by one window. */
MBI_HOT_INLINE uint32_t decay_windows(void)
{
    return atomic_load_explicit(&mbi_decay_hints.windows, memory_order_relaxed); /* [WINDOW] */
}

/* For statistics. Shares no line with what slow paths read. */
struct decay_counts {
    _Alignas(ISOLATION_BYTES) DECAY_COUNTERS(COUNTER_FIELD)
};
extern MBI_HIDDEN struct decay_counts mbi_decay_counts;

#endif
