/*
 * workload: one pass through the whole public API, in parts.
 *
 * Callers: library.c, once while calls fail and once afterwards. The order of calls, also those of
 * threads, is the same each time, so that the nth call is: threads work in turn.
 */
#ifndef MEMORYBUCKET_TESTS_FAULT_WORKLOAD_H
#define MEMORYBUCKET_TESTS_FAULT_WORKLOAD_H

/* Sizes of every class and large ones, each call, batches; many of the objects stay. */
void workload_sizes(void);

/* Frees what workload_sizes left. */
void workload_free_sizes(void);

/* More objects of a class than its span has room for, where that is 1 MiB: others serve them. */
void workload_fill_narrow_pools(void);

/* The same for a dense span of 64 MiB, so that the wide one is carved, sorted and released. */
void workload_fill_dense_pool(void);

/* A memory limit, and the handler that is asked when it is reached. */
void workload_limit(void);

/* Trim, statistics, idling, the background thread. */
void workload_memory(void);

/*
 * More threads than one mapping has caches for, which free each other's objects and exit; a fork
 * while they live; then so many that caches are reclaimed.
 */
void workload_threads(void);

#endif
