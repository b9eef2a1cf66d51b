/*
 * allocator: where all memory of the server comes from, MemoryBucket or malloc, as --allocator
 * says. Only this file and allocator.c call either of them.
 *
 * Items are allocated inline and freed with their size, or in batches. Connections, and all that
 * libevent allocates, are buffers: they may be larger than the pools' limit allows, as a reply that
 * is half written cannot be taken back.
 */
#pragma once

#include "options.h"
#include "stats.h"

#include <memorybucket/inline.h>
#include <stdlib.h>

/*
 * Takes the allocator that the options name, sets its limit, and hands it to libevent. The first
 * thing that main does after it has read the options. Ends the process when that fails.
 */
void allocator_start(void);

/* Memory of an item, or NULL. It may evict items first: item.h says what that means for callers. */
static inline void *allocator_item_alloc(size_t bytes)
{
    return options.use_malloc ? malloc(bytes) : mb_alloc(bytes);
}

static inline void allocator_item_free(void *item, size_t bytes)
{
    if (options.use_malloc) {
        free(item);
    } else {
        mb_free_sized(item, bytes);
    }
}

void allocator_item_free_batch(size_t count, void *const *items);

/* What an item of so many bytes really takes up. */
size_t allocator_item_cost(const void *item, size_t bytes);

/* Whether the pools do not serve so many bytes, so that their limit does not bound them. */
bool allocator_is_beyond_pools(size_t bytes);

void *allocator_buffer_alloc(size_t bytes);
void allocator_buffer_free(void *buffer);

/* What the pools may commit: -m, less what items beyond the pools take. */
void allocator_pools_limit(size_t bytes);

/* Bytes that the pools have committed; 0 with malloc. */
size_t allocator_committed(void);

/* What `stats allocator` and /metrics show of the allocator: calls `each` for every figure. */
void allocator_figures(stats_figure *each, void *argument);

/* A thread that found nothing to do for a while gives up what it has cached. */
void allocator_thread_idle(void);

/* Gives free memory back to the operating system. */
void allocator_trim(void);
