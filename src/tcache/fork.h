/*
 * fork: the library across fork(2).
 *
 * Ladder: above startup and registry. Caller: the constructor in api.c.
 *
 * prepare takes every lock, outermost first: so no transfer under a lock, no walk and no grace
 * period of ours is under way when the address space is copied. Exchanges with the central free
 * lists are single atomic instructions and need no lock: the copy has the head before or after. A
 * batch that another thread had in its hands at that moment is lost to the child, and so is what
 * is in that thread's cache.
 *
 * The parent gives the locks back; the child, whose only thread holds them, makes them anew and
 * writes the other threads' caches off.
 */
#ifndef MEMORYBUCKET_TCACHE_FORK_H
#define MEMORYBUCKET_TCACHE_FORK_H

/*
 * Registers the handlers. Called once, from a constructor, before threads can exist.
 *
 * They must be registered before anybody else's: prepare handlers run in the opposite order, so
 * ours then runs last, when no other handler can wait any more for a thread that waits for us. The
 * library is initialised before the libraries and programs that depend on it; the drop-in, on which
 * nothing depends, is linked with -z initfirst. A handler that was registered even earlier may
 * allocate while we hold the locks (core/lock.h), but must not wait for a thread that does.
 *
 * pthread_atfork may allocate; the library comes up on demand.
 */
void mbi_fork_register(void);

#endif
