/*
 * thread_exit: the life of a thread as the library sees it: none -> active -> dead.
 *
 * Ladder: above registry. Callers: thread_cache's slow path (start), pthread (exit), startup.
 *
 *   none    mbi_cache_none    nothing allocated or freed yet
 *   active  a cache of its own
 *   dead    mbi_cache_direct  past our TSD destructor; allocation and free still work, straight on
 *                             the pools: later destructors, and glibc itself, use them
 *
 * A thread is dead from the start where the process has no TSD key left for us, and in a namespace
 * that dlmopen made: the C library there is another one, whose keys' values lie where those of the
 * program's are, and whose destructors do not run for the program's threads.
 */
#ifndef MEMORYBUCKET_TCACHE_THREAD_EXIT_H
#define MEMORYBUCKET_TCACHE_THREAD_EXIT_H

#include "tcache/registry.h"

/* Finds out about the namespace. From a constructor, before all others here; with no lock. */
void mbi_thread_exit_find_namespace(void);

/* Creates the TSD key whose destructor ends caches. Startup calls it, under the init lock. */
void mbi_thread_exit_init(void);

/*
 * For the thread that forked, when the gate is open again: takes back the caches that threads left
 * behind as they ended meanwhile (core/left_behind.h), without waiting for walkers.
 */
void mbi_thread_take_back(void);

/* For the child of a fork, which writes these caches off like other threads' (registry.h). */
void mbi_thread_forget_in_child(void);

/*
 * For the child of a fork: the calling thread's cache that is in the registry, also where a signal
 * handler forked before the thread could use it; NULL without one.
 */
struct thread_cache *mbi_thread_listed_cache(void);

#endif
