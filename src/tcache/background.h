/*
 * background: the one thread that the library starts when asked to, for decay in a process that
 * sleeps.
 *
 * Ladder: above core/decay. Callers: the API, its constructor under MB_BACKGROUND=1, and in the child of a
 * fork the first request that takes a slow path. No other: they may be the C library's own, and
 * pthread_create allocates. Never a free: the C library frees what ended threads had under a lock that
 * pthread_create takes.
 *
 * It calls mbi_decay_poll, sleeps until that says, and holds none of our locks while it sleeps. It
 * sleeps for good while nothing is pending, but for a look every window: who makes something
 * pending does not wake it, which would cost every flush.
 *
 * fork: the gate of the library's locks is closed (core/lock.h), so the thread has none of them
 * while the process is copied. The parent's goes on. The child has lost its own, and starts it anew at a
 * request: not in the fork handler, as most children only call exec, and others' handlers are still to run.
 */
#ifndef MEMORYBUCKET_TCACHE_BACKGROUND_H
#define MEMORYBUCKET_TCACHE_BACKGROUND_H

#include "core/base.h"

/* 0, also when it runs already; -EINVAL without decay; or pthread_create's error, negative. */
int mbi_background_start(void);

/* Ends it and waits for that; nothing without one. Not from its own thread. No cancellation point. */
void mbi_background_stop(void);

/* For the child of a fork, which has lost the thread if there was one. */
void mbi_background_reset_in_child(void);

/*
 * The thread is wanted and not there: in such a child, and where the program asked for it (mb_option_set)
 * before the library was up. Until it is started, or mbi_background_stop says that none is wanted.
 */
extern MBI_HIDDEN _Atomic bool mbi_background_lost;

static inline bool background_is_lost(void)
{
    return MBI_UNLIKELY(flag_is_set(&mbi_background_lost));
}

/*
 * Starts it again, once. At the beginning of a slow path, which the call may come back to: with no lock
 * of ours, and nothing in hand. What pthread_create refuses is not tried again. Preserves errno.
 */
void mbi_background_come_back(void);

#endif
