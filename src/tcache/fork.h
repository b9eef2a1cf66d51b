/*
 * fork: the library across fork(2).
 *
 * Ladder: above startup and registry. Caller: the constructor in api.c.
 *
 * prepare closes the gate of all locks (core/lock.h), and so waits until none is held: nothing is
 * half done under a lock when the address space is copied. A transfer is one atomic instruction:
 * the copy has the central stack's head before or after it. A batch that another thread had in its
 * hands is lost to the child, and so is what is in that thread's cache. Walks and grace periods
 * hold no lock, and are not waited for.
 *
 * While the gate is closed no other thread waits for the one that forks, but for the few that
 * core/lock.h names; docs/architecture.md, "Fork", says what the others do without. Parent and
 * child open the gate again; the child writes the other threads' caches off.
 *
 * In checked mode, which knows every object, allocations and frees wait for the fork. There prepare
 * takes stdio's list lock first, as fflush(NULL) holds it and may wait for a stream whose owner is
 * in malloc. Not covered: a thread that reads nsswitch.conf (a first getpwnam) just then.
 */
#ifndef MEMORYBUCKET_TCACHE_FORK_H
#define MEMORYBUCKET_TCACHE_FORK_H

/*
 * Registers the handlers. Called once, from a constructor, before threads can exist.
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
