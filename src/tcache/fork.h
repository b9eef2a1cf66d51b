/*
 * fork: the library across fork(2).
 *
 * Ladder: above startup and registry. Caller: the constructor in api.c.
 *
 * prepare closes the gate of all locks (core/lock.h), which waits until nobody holds one: so no
 * transfer under a lock is under way when the address space is copied. Exchanges with the central
 * free lists are single atomic instructions and need no lock: the copy has the head before or after.
 * A batch that another thread had in its hands at that moment is lost to the child, and so is what
 * is in that thread's cache. Walks and grace periods hold no lock, and are not waited for.
 *
 * While the gate is closed no other thread waits for the one that forks, whatever locks it holds
 * itself: allocations that find no slot in their thread or in the centre go to the system
 * allocator, frees are deferred, threads begin without a cache and leave theirs behind, trim and decay
 * end early. Only another fork waits, and a few calls that are made once (core/lock.h).
 *
 * Parent and child open the gate again; the child writes the other threads' caches off.
 *
 * In checked mode, which knows every object, allocations and frees wait for the fork. There prepare
 * takes stdio's list lock first, as fflush(NULL) holds it and may wait for a stream whose owner is
 * in malloc. What is left: a thread that reads nsswitch.conf (getpwnam for the first time) just then.
 */
#ifndef MEMORYBUCKET_TCACHE_FORK_H
#define MEMORYBUCKET_TCACHE_FORK_H

/*
 * Registers the handlers. Called once, from a constructor, before threads can exist.
 *
 * They shall be registered before anybody else's: prepare handlers run in the opposite order, so
 * that ours runs last, and the gate is closed for as short a time as may be. The library is
 * initialised before the libraries and programs that depend on it; the drop-in, on which nothing
 * depends, is linked with -z initfirst. A handler that was registered even earlier may allocate
 * while the gate is closed, and wait for others.
 *
 * pthread_atfork may allocate; the library comes up on demand.
 */
void mbi_fork_register(void);

#endif
