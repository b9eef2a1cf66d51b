/*
 * background: a thread of the library that returns unused memory, when the program asks for it.
 * Without it only slow paths do, and a process that sleeps returns none.
 *
 * Ladder: above core/decay. Callers: the API, its constructor under MB_BACKGROUND=1, and in a
 * forked child the first request that takes a slow path. Never a free: the C library frees ended
 * threads' memory under a lock that pthread_create takes.
 *
 * It calls mbi_decay_poll and sleeps, with no lock of ours, for as long as that returns. While
 * nothing is pending it looks once a window: a wake-up would cost each flush.
 *
 * fork: the gate of the library's locks is closed (core/lock.h), so the thread has none of them
 * while the process is copied. The child starts its own at a request, and not in the fork handler:
 * most children only call exec, and the handlers of others are still to run.
 */
#ifndef MEMORYBUCKET_TCACHE_BACKGROUND_H
#define MEMORYBUCKET_TCACHE_BACKGROUND_H

#include "core/base.h"

/* 0, also when it runs already; -EINVAL without decay; or pthread_create's error, negative. */
int mbi_background_start(void);

/* Ends the thread, if it runs, and waits for its end. Not from it. No cancellation point. */
void mbi_background_stop(void);

/* For the child of a fork, which has lost the thread if there was one. */
void mbi_background_reset_in_child(void);

/*
 * The thread is wanted and not there: in a forked child, and where the program asked for it
 * (mb_option_set) before the library was up. mbi_background_stop clears this, and so does a start.
 */
extern MBI_HIDDEN _Atomic bool mbi_background_lost;

static inline bool background_is_lost(void)
{
    return MBI_UNLIKELY(flag_is_set(&mbi_background_lost));
}

/*
 * Starts a lost thread, once, at the beginning of a slow path: pthread_create allocates, and so
 * takes that path again. It does not try again what pthread_create refuses. Preserves errno.
 */
void mbi_background_come_back(void);

#endif
