/*
 * registry: every thread cache there is: the active ones, the retired and the reusable.
 *
 * Ladder: above thread_cache. Callers: thread_exit, fork, statistics.
 *
 *   take -> active (RCU list) -> reuse list -> take ...
 *                 └─> retire list ─┘       while somebody walks: when no walk is left that could
 *                                          have seen the cache, or a grace period has ended
 *
 * active + retired + reusable = caches ever mapped, and the first; the memory of a cache is never unmapped and
 * never becomes anything else.
 *
 * Walkers read the active list inside an RCU read-side section (liburcu, bp flavour). They take no
 * lock, and neither lock, allocate nor call the system there. They are counted, so that who takes a
 * cache off the list knows whether anybody may look at it: if nobody does, it is reusable at once.
 * Otherwise it goes on the retire list, and becomes reusable when a moment without any walk has
 * been seen, or, if walks overlap for long, after a grace period: with RETIRE_BATCH caches on the
 * list one exiting thread waits for that on behalf of all. With RETIRE_MAX of them an exiting
 * thread waits for room first, and walks that would begin wait, too, so that there comes a moment
 * without any.
 *
 *   retired <= RETIRE_MAX at any moment, however many threads exit during one walk
 *
 * No lock of ours is held while liburcu is called, and the thread cannot be cancelled there: so a
 * program may use liburcu itself, with its fork handlers, and a fork waits for no grace period. In
 * a forked child this library does not call liburcu any more: a thread that fork left behind may
 * have held its internal locks. Nor does it where membarrier(2), on which liburcu relies, has come
 * to be refused, nor in a namespace of dlmopen, as liburcu sets a key there. There counting the walks
 * has to do.
 */
#ifndef MEMORYBUCKET_TCACHE_REGISTRY_H
#define MEMORYBUCKET_TCACHE_REGISTRY_H

#include "tcache/thread_cache.h"

enum { RETIRE_BATCH = 64, RETIRE_MAX = 4 * RETIRE_BATCH };

/* liburcu is not called from now on. Before the first walk and the first cache. */
void mbi_registry_do_without_rcu(void);

/* A cache that needs no mapping; in first_cache.c. */
extern MBI_HIDDEN struct thread_cache mbi_first_cache;

struct registry_totals {
    uint64_t threads_active;
    uint64_t caches_retired;
    uint64_t caches_reusable;
};

/* Of threads that have exited. Written under the registry's lock. */
extern MBI_HIDDEN struct thread_counts mbi_departed_counts;

/*
 * A reusable or fresh cache, initialised, on no list; NULL when the kernel gives no memory or the
 * registry's lock is refused (core/lock.h).
 */
struct thread_cache *mbi_registry_take_cache(void);
/* Puts a cache that was never added back on the reuse list; false when the lock is refused. */
bool mbi_registry_put_back(struct thread_cache *cache);

/* The cache becomes visible to walkers. Returns how many there are now; 0 when the lock is refused. */
uint64_t mbi_registry_add(struct thread_cache *cache);

/*
 * The cache, flushed, leaves: its counts are folded into the pools and totals, and it is reused
 * when no walker can see it any more, for which retire may wait, on behalf of others or for room;
 * try_retire does not. Otherwise nothing has changed: there is no room, or another thread forks.
 */
enum retirement { RETIRED, RETIRE_NO_ROOM, RETIRE_REFUSED };
enum retirement mbi_registry_retire(struct thread_cache *cache);
enum retirement mbi_registry_try_retire(struct thread_cache *cache);

/*
 * Calls visit(cache, argument) for every active cache, in a read-side section: visit must not
 * lock, allocate or call the system. `before` runs first, and both again when the registry
 * changed meanwhile, so that what they add up counts a departing cache once; after a few such
 * turns the result is taken as it is. Takes no lock, and is no cancellation point.
 */
void mbi_registry_walk(void (*before)(void *argument),
                       void (*visit)(const struct thread_cache *cache, void *argument),
                       void *argument);

/*
 * Asks every thread but the caller for what it has cached (mbi_thread_cache_ask); nothing when the
 * registry's lock is refused.
 */
void mbi_registry_ask_all(void);

struct registry_totals mbi_registry_totals(void);

/*
 * In the child of a fork, with the gate closed: the caches of all other threads are emptied on paper
 * (their slots become the pools' orphans) and reused; `survivor`, which may be NULL, is the only
 * active one.
 */
void mbi_registry_reset_in_child(struct thread_cache *survivor);

#endif
