/*
 * vacant: thread caches without a thread, and when one of them may have its next thread.
 *
 * Ladder: above thread_cache, below registry, which has the caches in use. Callers: registry,
 * thread_exit. Under the registry's lock, which the functions without _locked take.
 *
 *   fresh ──take──> in use ──retire──> retired ──no walk──> reusable ──take──> in use ...
 *                                         └──> waiting ──grace period──┘
 *
 *   in use + retired (those that wait included) + reusable = caches ever mapped, and the first
 *   retired <= RETIRE_MAX at any moment, however many threads exit during one walk
 *
 * The memory of a cache is never unmapped and never becomes anything else.
 *
 * Walkers (registry.h) read caches without a lock, in an RCU read-side section (liburcu, bp
 * flavour). They are counted, so a retired cache is reusable at once where no walk is under way.
 * Otherwise it waits for a moment without any walk; or, if walks overlap for long, for a grace
 * period: with RETIRE_BATCH caches on the list one exiting thread waits for that on behalf of all.
 * With RETIRE_MAX of them an exiting thread waits for room first, and walks that would begin wait,
 * too, so that there comes a moment without any.
 *
 * No lock of ours is held while liburcu is called, and the thread cannot be cancelled there: so a
 * program may use liburcu itself, with its fork handlers, and a fork waits for no grace period.
 * Where liburcu cannot be called, counting the walks has to do:
 *   in a forked child          a thread that it does not have may have held liburcu's locks
 *   in a namespace of dlmopen  liburcu sets a key there
 *   without membarrier(2)      liburcu relies on it, and a sandbox may refuse it later
 *   in a thread's first walk   where there is no memory to register the thread; that walk only
 */
#ifndef MEMORYBUCKET_TCACHE_VACANT_H
#define MEMORYBUCKET_TCACHE_VACANT_H

#include "tcache/thread_cache.h"

enum { RETIRE_BATCH = 64, RETIRE_MAX = 4 * RETIRE_BATCH };

/* How many caches there are of each kind. Written under LOCK_REGISTRY, read without. */
struct cache_counts {
    _Atomic uint64_t in_use; /* in the registry: a thread's, or parked */
    _Atomic uint64_t parked;
    _Atomic uint64_t retired; /* those that wait included */
    _Atomic uint64_t reusable;
};
extern MBI_HIDDEN struct cache_counts mbi_cache_counts;

/* A cache that needs no mapping; in first_cache.c. */
extern MBI_HIDDEN struct thread_cache mbi_first_cache;

/* liburcu is not called from now on: at startup, or in the child of a fork. */
void mbi_vacant_do_without_rcu(void);

/*
 * A reusable or fresh cache, initialised, on no list; NULL when the kernel gives no memory or the
 * registry's lock is refused (core/lock.h).
 */
struct thread_cache *mbi_vacant_take(void);

/* Puts a cache that never was in the registry back; false when the lock is refused. */
bool mbi_vacant_put_back(struct thread_cache *cache);

/* Makes retired caches reusable where that is possible; whether one more may be retired. */
bool mbi_vacant_make_room_locked(void);

/* Retires a cache that has left the registry's list; there is room. */
void mbi_vacant_retire_locked(struct thread_cache *cache);

/* Makes a cache reusable that no walker can hold. */
void mbi_vacant_reuse_locked(struct thread_cache *cache);

/* Waits until there may be room: for a grace period, on behalf of all. */
void mbi_vacant_wait_for_room(void);

/* With a batch retired, waits for its grace period, unless another thread waits already. */
void mbi_vacant_reclaim_batch(void);

/*
 * Around a walk; pairs may nest. Begin returns whether there is a read-side section, and end gets
 * that. A process's first may allocate.
 */
bool mbi_vacant_begin_walk(void);
void mbi_vacant_end_walk(bool rcu);

/*
 * Begins a walk without liburcu, where a slow path may: it neither allocates nor waits. False, and
 * nothing begun, where threads wait for a moment without walks. mbi_vacant_end_walk(false) ends it.
 */
bool mbi_vacant_try_begin_walk(void);

/* In the child of a fork, with the gate closed: the other threads' walks ended with them. */
void mbi_vacant_reset_in_child(void);

#endif
