/* allocator: the two ways to allocate; and libevent's, which goes the same way. */
#include "allocator.h"
#include "budget.h"
#include "options.h"

#include <event2/event.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

bool allocator_is_malloc;

/* The largest request that the pools serve: MB_POOL_MAX, as the environment has it or as set here. */
static size_t pool_max;

/*
 * The pools first, then malloc: the limit is for items, and a buffer that is needed to answer must
 * not fail for it. mb_free takes both kinds.
 */
void *allocator_buffer_alloc(size_t bytes)
{
    if (allocator_is_malloc) {
        return malloc(bytes);
    }
    void *buffer = mb_alloc(bytes);
    return buffer != NULL ? buffer : malloc(bytes);
}

void allocator_buffer_free(void *buffer)
{
    if (allocator_is_malloc) {
        free(buffer);
    } else {
        mb_free(buffer);
    }
}

static void *buffer_realloc(void *buffer, size_t bytes)
{
    if (allocator_is_malloc) {
        return realloc(buffer, bytes);
    }
    void *moved = mb_realloc(buffer, bytes);
    if (moved == NULL && bytes > 0 && (moved = malloc(bytes)) != NULL && buffer != NULL) {
        size_t old_bytes = mb_usable_size(buffer);
        memcpy(moved, buffer, old_bytes < bytes ? old_bytes : bytes);
        mb_free(buffer);
    }
    return moved;
}

static void option_set(const char *name, const char *value)
{
    int error = mb_option_set(name, value);
    if (error != 0) {
        fprintf(stderr, "mbcached: MemoryBucket does not take %s=%s: %s\n", name, value,
                strerror(-error));
        exit(1);
    }
}

void allocator_start(void)
{
    allocator_is_malloc = options.use_malloc;
    if (!allocator_is_malloc) {
        option_set("MB_POOL_MAX", "32K"); /* what the environment says goes before */
        struct mb_stats sums;
        if (mb_init() != 0 || mb_stats_get_quick(&sums, offsetof(struct mb_stats, pool)) != 0) {
            fputs("mbcached: MemoryBucket found no address space for its pools\n", stderr);
            exit(1);
        }
        pool_max = sums.pool_max;
        mb_memory_limit_set(options.memory_bytes);
        mb_out_of_memory_handler_set(budget_out_of_memory, NULL);
    }
    event_set_mem_functions(allocator_buffer_alloc, buffer_realloc, allocator_buffer_free);
}

void allocator_item_free_batch(size_t count, void *const *items)
{
    if (!allocator_is_malloc) {
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
    if (allocator_is_malloc) {
        return malloc_usable_size((void *)(uintptr_t)item) + MALLOC_HEADER_BYTES;
    }
    return mb_good_size(bytes);
}

bool allocator_item_is_large(size_t bytes)
{
    return bytes > pool_max;
}

size_t allocator_committed(void)
{
    struct mb_stats sums;
    if (allocator_is_malloc
        || mb_stats_get_quick(&sums, offsetof(struct mb_stats, pool)) != 0) {
        return 0;
    }
    return sums.committed_bytes;
}

void allocator_thread_idle(void)
{
    if (!allocator_is_malloc) {
        mb_thread_idle();
    }
}

void allocator_trim(void)
{
    if (!allocator_is_malloc) {
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
    if (allocator_is_malloc || mb_stats_get(&stats, sizeof stats) != 0) {
        return;
    }
    struct mb_pool_stats sum = { 0 };
    for (size_t i = 0; i < MB_POOL_COUNT; i++) {
        const struct mb_pool_stats *pool = &stats.pool[i];
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
    each("mb_threads", stats.threads, argument);
    each("mb_threads_idle", stats.threads_idle, argument);
    each("mb_large_allocs", stats.large_allocs, argument);
    each("mb_large_frees", stats.large_frees, argument);
    each("mb_decay_steps", stats.decay_steps, argument);
    each("mb_pool_max", stats.pool_max, argument);
    each("mb_refills", sum.refills, argument);
    each("mb_flushes", sum.flushes, argument);
    each("mb_cas_retries", sum.cas_retries, argument);
}
