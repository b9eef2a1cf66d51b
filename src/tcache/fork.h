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
 * Registers the handlers. Called once, from a constructor: before threads can exist, hence before
 * any can fork, and earlier than most, so that our prepare runs after those of libraries which
 * allocate in theirs. pthread_atfork may allocate; the library comes up on demand.
 */
void mbi_fork_register(void);

#endif
