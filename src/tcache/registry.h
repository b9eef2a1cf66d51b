/*
 * registry: every thread cache there is: the active ones, the retired and the reusable.
 *
 * Ladder: above thread_cache. Callers: thread_exit, fork, statistics.
 *
 *   take -> active (RCU list) -> retire list --grace period--> reuse list -> take ...
 *
 * active + retired + reusable = caches ever mapped, and the first; the memory of a cache is never unmapped and
 * never becomes anything else.
 *
 * Walkers read the active list inside an RCU read-side section (liburcu, bp flavour), one walker
 * at a time (walker lock), and neither lock, allocate nor call the system there. A cache that
 * leaves the list is reused only after a grace period, so a walker never sees one change hands
 * under its eyes. Exiting threads do not wait for walkers, with two exceptions: every
 * RETIRE_BATCH-th retirement, whoever gets the reclaim lock waits for one grace period on behalf
 * of all; and with RETIRE_MAX caches on the retire list a thread waits for room first.
 *
 *   retired <= RETIRE_MAX at any moment, however many threads exit during one grace period
 *
 * In a forked child this library does not call liburcu any more: a thread that fork left behind
 * may have held its internal locks. Nor does it where membarrier(2), on which liburcu relies, has
 * come to be refused. There the walker lock alone keeps walkers and reclaimers apart.
 */
#ifndef MEMORYBUCKET_TCACHE_REGISTRY_H
#define MEMORYBUCKET_TCACHE_REGISTRY_H

#include "tcache/thread_cache.h"

enum { RETIRE_BATCH = 64, RETIRE_MAX = 4 * RETIRE_BATCH };

/* A cache that needs no mapping; in arrays.c. */
extern MBI_HIDDEN struct thread_cache mbi_first_cache;

struct registry_totals {
    uint64_t threads_active;
    uint64_t caches_retired;
    uint64_t caches_reusable;
    uint64_t departed_large_allocs; /* of threads that have exited */
    uint64_t departed_large_frees;
};

/* A reusable or fresh cache, initialised, on no list; NULL when the kernel gives no memory. */
struct thread_cache *mbi_registry_take_cache(void);
/* Puts a cache that was never added back on the reuse list. */
void mbi_registry_put_back(struct thread_cache *cache);

/* The cache becomes visible to walkers. Returns how many there are now. */
uint64_t mbi_registry_add(struct thread_cache *cache);

/*
 * The cache, flushed, leaves: its counts are folded into the pools and totals, and it is reused
 * after a grace period, for which this call may wait on behalf of others or for room.
 */
void mbi_registry_retire(struct thread_cache *cache);

/*
 * Calls visit(cache, argument) for every active cache, in a read-side section: visit must not
 * lock, allocate or call the system. `before` runs first, and both again when the registry
 * changed meanwhile, so that what they add up counts a departing cache once; after a few such
 * turns the result is taken as it is.
 */
void mbi_registry_walk(void (*before)(void *argument),
                       void (*visit)(const struct thread_cache *cache, void *argument),
                       void *argument);

/* Asks every thread but the caller for what it has cached (mbi_thread_cache_ask). */
void mbi_registry_ask_all(void);

struct registry_totals mbi_registry_totals(void);

/* For fork: every lock of the registry, outermost first. */
void mbi_registry_lock_all(void);
void mbi_registry_unlock_all(void);
/*
 * In the child, all locks held: the caches of all other threads are emptied on paper (their slots
 * become the pools' orphans) and reused; `survivor`, which may be NULL, is the only active one.
 * Locks are made anew.
 */
void mbi_registry_reset_in_child(struct thread_cache *survivor);

#endif
