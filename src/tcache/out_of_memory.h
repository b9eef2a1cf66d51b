/*
 * out_of_memory: what happens when a request's own pool has nothing to give.
 *
 * Ladder: above registry. Callers: the thread caches' slow paths, through mbi_thread_cache_spill.
 *
 * In this order, until something serves the request:
 *   0. when the kernel refused to commit memory: released memory is uncharged, or some pending
 *      memory is released and uncharged, and the pool tries again
 *   1. the next larger pools with slots aligned alike
 *   2. the system allocator; not when the memory limit was reached, which it would evade. While
 *      another thread forks the pools are closed (core/lock.h), and it comes first, limit or not
 *   3. pending free memory goes back to the kernel, and so below the limit, step by step until 1 or
 *      2 serves the request. Where a lock was refused for that, the system allocator, limit or not
 *   4. the program's handler, as long as it asks for another try: then 1 to 3 again
 */
#ifndef MEMORYBUCKET_TCACHE_OUT_OF_MEMORY_H
#define MEMORYBUCKET_TCACHE_OUT_OF_MEMORY_H

#include "tcache/thread_cache.h"

typedef int out_of_memory_handler(size_t size_bytes, void *argument);

void mbi_out_of_memory_set_handler(out_of_memory_handler *handler, void *argument);

/*
 * Does mb_trim: flushes the caller's cache, asks the other threads for theirs, trims the pools.
 * Preserves errno.
 */
size_t mbi_out_of_memory_trim(size_t keep_bytes);

#endif
