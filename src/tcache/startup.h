/*
 * startup: brings the library up, once.
 *
 * Ladder: above config, region, pool and thread_exit. Callers: a thread's first slow path,
 * mb_init, the constructor.
 */
#ifndef MEMORYBUCKET_TCACHE_STARTUP_H
#define MEMORYBUCKET_TCACHE_STARTUP_H

/*
 * Reads the environment, reserves the region, lays out the pools. Idempotent and thread safe;
 * allocates nothing, so that it may run inside the process's first malloc. 0, or -ENOMEM when no
 * address space could be had.
 */
int mbi_startup(void);

/* For fork. */
void mbi_startup_lock(void);
void mbi_startup_unlock(void);
void mbi_startup_reset_in_child(void);

#endif
