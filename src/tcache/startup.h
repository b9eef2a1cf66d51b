/*
 * startup: brings the library up, once.
 *
 * Ladder: above config, region, pool and thread_exit. Callers: a thread's first slow path,
 * mb_init, the constructor.
 */
#ifndef MEMORYBUCKET_TCACHE_STARTUP_H
#define MEMORYBUCKET_TCACHE_STARTUP_H

/*
 * Reads the environment, finds a place for the region, lays out the pools. Idempotent, thread
 * safe; allocates nothing, so that it may run inside the process's first malloc. 0, or -ENOMEM when no
 * address space could be had.
 */
int mbi_startup(void);

/*
 * The process has a second thread: only now what depends on there being many is looked up, which
 * costs some 80 us (the control groups' files) that short programs need not pay. Does nothing the
 * next time. Allocates nothing and takes no lock.
 */
void mbi_startup_many_threads(void);

/* For fork. */
void mbi_startup_lock(void);
void mbi_startup_unlock(void);
void mbi_startup_reset_in_child(void);

#endif
