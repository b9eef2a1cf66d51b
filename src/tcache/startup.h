/*
 * startup: brings the library up, once.
 *
 * Ladder: above config, region, pool and thread_exit. Callers: a thread's first slow path,
 * mb_init, the constructor.
 */
#ifndef MEMORYBUCKET_TCACHE_STARTUP_H
#define MEMORYBUCKET_TCACHE_STARTUP_H

#include "core/base.h"

/*
 * Reads the environment, finds a place for the region, lays out the pools. Idempotent and thread
 * safe; allocates nothing, so that it may run inside the process's first malloc. 0; -ENOMEM when no
 * address space could be had; or -EAGAIN when the library is not up and its lock is refused, as
 * another thread forks (core/lock.h), or a signal handler interrupted this very function.
 */
int mbi_startup(void);

/* The same, but waits for a fork to end: for public calls that cannot do without. */
int mbi_startup_patiently(void);

/* Whether the library is up: a process that never used it need not bring it up to report that. */
bool mbi_startup_was_made(void);

/*
 * The process has a second thread, or one more: only now what depends on there being many is looked
 * up, which costs some 80 us (the control groups' files) that short programs need not pay. From the
 * next one on only the processors of the calling thread are looked at, with one system call, and
 * none once all processors are known, or all central stacks in use. No allocation, no lock.
 */
void mbi_startup_another_thread(void);

#endif
