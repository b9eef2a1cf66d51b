/*
 * startup: brings the library up, once, and arranges for fork.
 *
 * Ladder: above config, region, pool and the registry. Callers: a thread's first slow path,
 * mb_init, the constructor.
 */
#ifndef MEMORYBUCKET_TCACHE_STARTUP_H
#define MEMORYBUCKET_TCACHE_STARTUP_H

#include "core/base.h"

/*
 * Reads the environment, finds a place for the region. Idempotent and thread safe; allocates
 * nothing, so that it may run inside the process's first malloc. 0; -ENOMEM when no address space
 * could be had; or -EAGAIN when the library is not up and its lock is refused, as another thread
 * forks (core/lock.h), or a signal handler interrupted this very function.
 */
int mbi_startup(void);

/* The same, but waits for a fork to end: for public calls that cannot do without. */
int mbi_startup_patiently(void);

/* Whether the library is up: a process that never used it need not bring it up to report that. */
bool mbi_startup_was_made(void);

/*
 * For the second thread and each further one. The second reads what matters to several threads, in
 * some 80 us that short programs do not pay (the control groups' files). Later threads read only
 * their own processors, with one system call, or none once all processors are known or all central
 * stacks in use. No allocation, no lock.
 */
void mbi_startup_another_thread(void);

/*
 * Registers the fork handlers (fork.c). Called once, from a constructor, before threads can exist.
 *
 * They shall be the first: prepare handlers run in the opposite order, so ours closes the gate
 * last, for as short a time as may be. The library is initialised before the libraries and programs
 * that depend on it; the drop-in, on which nothing depends, is linked with -z initfirst. A handler
 * that was registered even earlier may allocate while the gate is closed, and wait for others.
 *
 * pthread_atfork may allocate; the library comes up on demand.
 */
void mbi_fork_register(void);

#endif
