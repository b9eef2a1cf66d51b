/*
 * background: the one thread that the library starts when asked to, for decay in a process that
 * sleeps.
 *
 * Ladder: above core/decay. Callers: the API, and its constructor under MB_BACKGROUND=1. Never an
 * allocation or a free: these may be the C library's own, under locks that pthread_create takes.
 *
 * It calls mbi_decay_poll, sleeps until that says, and holds none of our locks while it sleeps. It
 * sleeps for good while nothing is pending, but for a look every window: who makes something
 * pending does not wake it, which would cost every flush.
 *
 * fork: the gate of the library's locks is closed (core/lock.h), so the thread has none of them
 * while the process is copied. The parent's goes on; the child has none, and may start one.
 */
#ifndef MEMORYBUCKET_TCACHE_BACKGROUND_H
#define MEMORYBUCKET_TCACHE_BACKGROUND_H

#include "core/base.h"

/* 0, also when it runs already; -EINVAL without decay; or pthread_create's error, negative. */
int mbi_background_start(void);

/* Ends it and waits for that; nothing without one. Not from its own thread. No cancellation point. */
void mbi_background_stop(void);

/* For the child of a fork, which has no such thread. */
void mbi_background_reset_in_child(void);

#endif
