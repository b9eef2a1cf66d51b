/* allocator: the two ways to allocate; and libevent's, which goes the same way. */
#include "allocator.h"

#include "budget.h"

#include <event2/event.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

/* The largest request that the pools serve, as MB_POOL_MAX says or as set here; all with malloc. */
static size_t pool_max = SIZE_MAX;

/*
 * The pools first, then malloc: the limit is for items, and a buffer that is needed to answer must
 * not fail for it. mb_free takes both kinds.
 */
void *allocator_buffer_alloc(size_t bytes)
{
    void *buffer = options.use_malloc ? NULL : mb_alloc(bytes);
    return buffer != NULL ? buffer : malloc(bytes);
}

void allocator_buffer_free(void *buffer)
{
    allocator_item_free(buffer, 0); /* the size is a hint */
}

static void *buffer_realloc(void *buffer, size_t bytes)
{
    if (options.use_malloc) {
        return realloc(buffer, bytes);
    }
    void *moved = allocator_buffer_alloc(bytes);
    if (moved != NULL && buffer != NULL) {
        size_t old_bytes = mb_usable_size(buffer);
        memcpy(moved, buffer, old_bytes < bytes ? old_bytes : bytes);
        mb_free(buffer);
    }
    return moved;
}

void allocator_pools_limit(size_t bytes)
{
    /* [POOLS-LIMIT] relaxed: the limit in force; of threads that set it at once any may be last. */
    static _Atomic size_t limit;
    if (atomic_exchange_explicit(&limit, bytes, memory_order_relaxed) != bytes) {
        mb_memory_limit_set(bytes); /* which gives memory back, so not each time */
    }
}

void allocator_start(void)
{
    if (!options.use_malloc) {
        struct mb_stats sums;
        if (mb_option_set("MB_POOL_MAX", "32K") != 0 /* what the environment says goes before */
            || mb_init() != 0 || mb_stats_get_quick(&sums, offsetof(struct mb_stats, pool)) != 0) {
            fputs("mbcached: MemoryBucket does not start\n", stderr);
            exit(1);
        }
        pool_max = sums.pool_max;
        allocator_pools_limit(options.memory_bytes);
        mallopt(M_MMAP_THRESHOLD, 64 << 10); /* what is beyond the pools goes back when freed */
        mb_out_of_memory_handler_set(budget_out_of_memory, NULL);
    }
    event_set_mem_functions(allocator_buffer_alloc, buffer_realloc, allocator_buffer_free);
}

void allocator_item_free_batch(size_t count, void *const *items)
{
    if (!options.use_malloc) {
        mb_free_batch(count, items);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        free(items[i]);
    }
}

size_t allocator_item_cost(const void *item, size_t bytes)
{
    enum { MALLOC_HEADER_BYTES = 8 }; /* glibc's; peers have about as much */
    return options.use_malloc ? malloc_usable_size((void *)(uintptr_t)item) + MALLOC_HEADER_BYTES
                              : mb_good_size(bytes);
}

bool allocator_is_beyond_pools(size_t bytes)
{
    return bytes > pool_max;
}

size_t allocator_committed(void)
{
    struct mb_stats sums = { 0 };
    if (!options.use_malloc) {
        mb_stats_get_quick(&sums, offsetof(struct mb_stats, pool));
    }
    return sums.committed_bytes;
}

void allocator_thread_idle(void)
{
    if (!options.use_malloc) {
        mb_thread_idle();
    }
}

void allocator_trim(void)
{
    if (!options.use_malloc) {
        mb_trim(0);
    }
    malloc_trim(0); /* items beyond the pools; a preloaded malloc may have none of its own */
}

void allocator_figures(stats_figure *each, void *argument)
{
    struct mallinfo2 info = mallinfo2(); /* the C library's, also under a preloaded malloc */
    each("malloc_used_bytes", info.uordblks + info.hblkhd, argument);
    each("malloc_free_bytes", info.fordblks, argument);
    struct mb_stats stats;
    if (options.use_malloc || mb_stats_get(&stats, sizeof stats) != 0) {
        return;
    }
    struct mb_pool_stats sum = { 0 };
    for (const struct mb_pool_stats *pool = stats.pool; pool < stats.pool + MB_POOL_COUNT; pool++) {
        sum.live += pool->live * pool->slot_bytes;
        sum.magazines += pool->magazines * pool->slot_bytes;
        sum.refills += pool->refills;
        sum.flushes += pool->flushes;
        sum.cas_retries += pool->cas_retries;
    }
    each("mb_committed_bytes", stats.committed_bytes, argument);
    each("mb_resident_bytes", stats.resident_bytes, argument);
    each("mb_released_bytes", stats.released_bytes, argument);
    each("mb_memory_limit", stats.memory_limit, argument);
    each("mb_live_bytes", sum.live, argument);
    each("mb_magazine_bytes", sum.magazines, argument);
    each("mb_large_allocs", stats.large_allocs, argument);
    each("mb_large_frees", stats.large_frees, argument);
    each("mb_pool_max", stats.pool_max, argument);
    each("mb_refills", sum.refills, argument);
    each("mb_flushes", sum.flushes, argument);
    each("mb_cas_retries", sum.cas_retries, argument);
}
