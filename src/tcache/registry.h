/*
 * registry: the thread caches that threads have, and those that are parked.
 *
 * Ladder: above vacant, where caches come from and go, and parked. Callers: thread_exit, fork,
 * statistics.
 *
 * Walkers read the list inside an RCU read-side section. They take no lock, and neither lock,
 * allocate nor call the system there.
 */
#ifndef MEMORYBUCKET_TCACHE_REGISTRY_H
#define MEMORYBUCKET_TCACHE_REGISTRY_H

#include "tcache/parked.h"

/* Of threads that have exited. Written under the registry's lock. */
extern MBI_HIDDEN struct thread_counts mbi_departed_counts;

/* How many threads have a cache. */
uint64_t mbi_registry_threads(void);

/* Makes the cache visible to walkers. Returns how many threads have one; 0: the lock is refused. */
uint64_t mbi_registry_add(struct thread_cache *cache);

/*
 * Removes a flushed cache: folds its counts into the pools and totals, and makes it vacant. retire
 * waits for room, and for a grace period on behalf of others; try_retire does not wait. Unless the
 * result is RETIRED nothing has changed: there is no room, or another thread forks.
 */
enum retirement { RETIRED, RETIRE_NO_ROOM, RETIRE_REFUSED };
enum retirement mbi_registry_retire(struct thread_cache *cache);
enum retirement mbi_registry_try_retire(struct thread_cache *cache);

/*
 * Calls visit(cache, argument) for every cache in the registry, in a read-side section: visit must
 * not lock, allocate or call the system. `before` runs first, and both again when the registry
 * changed meanwhile, so that what they add up counts a departing cache once; after a few such
 * turns the result is taken as it is. Takes no lock, and is no cancellation point.
 */
void mbi_registry_walk(void (*before)(void *argument),
                       void (*visit)(const struct thread_cache *cache, void *argument),
                       void *argument);

/*
 * The same where a slow path may, at the price of a looser result: without liburcu, without
 * waiting, and with two turns at most. False, and nothing called, where threads wait for walks.
 */
bool mbi_registry_try_walk(void (*before)(void *argument),
                           void (*visit)(const struct thread_cache *cache, void *argument),
                           void *argument);

/*
 * Asks every thread but the caller for what it has cached (mbi_thread_cache_ask), and drains parked
 * caches; nothing when the registry's lock is refused.
 */
void mbi_registry_ask_all(void);

/*
 * From now on large requests and frees of what is no slot are off the fast path, in each thread
 * (passes_on, large_turn). For ever, as samples may outlive the profile. False when the registry's
 * lock is refused.
 */
bool mbi_registry_watch(void);

/* Sends each thread that has a cache to the slow path at its next free of each class. */
void mbi_registry_interrupt_all(void);

/*
 * In the child of a fork, with the gate closed: the caches of all other threads count as empty
 * (their slots as orphaned) and are vacant; `survivor`, which may be NULL, and the parked ones
 * stay.
 */
void mbi_registry_reset_in_child(struct thread_cache *survivor);

#endif
