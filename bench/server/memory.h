/*
 * memory: where all memory of the server comes from, MemoryBucket or malloc, as --allocator says,
 * and how much of it items may take, so that the server stays within -m. Only memory.c calls either
 * of the two, but for the begins of the rings (table.c), which are never freed.
 *
 * Items of more than a KiB are malloc's, which packs their sizes more tightly than pools with five
 * slots a doubling: they are few, and so is what a lock costs there. MB_POOL_MAX moves that border.
 *
 * Two things keep the bound. MemoryBucket refuses to commit more than -m has beside malloc's items,
 * gives back what is free, and then asks a handler, which evicts: that is exact, and slow. So that
 * it is rare, items have an allowance, the sum of what they may cost, and an allocation beyond it
 * evicts as much as it takes. Where memory is short the allowance is what items cost now; where
 * there is room again it grows. With --allocator=malloc it is -m itself.
 *
 * Connections, and all that libevent allocates, are buffers: they may go beyond the bound, as a
 * reply that is half written cannot be taken back.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stats.h"

struct item;
struct worker;

/*
 * Takes the allocator that the options name, sets its limit, and hands it to libevent. The first
 * thing that main does after it has read the options. Ends the process when that fails.
 */
void memory_start(void);

/* Memory for an item, or NULL. It evicts items first: item.h says what that means for callers. */
struct item *memory_item_alloc(struct worker *worker, size_t bytes);

/* The item's cost is no longer an item's: it is about to be freed, or retired. */
void memory_item_discount(const struct item *item, size_t bytes);

void memory_items_free(size_t count, void *const *items);

/* What an item of so many bytes really takes up. */
size_t memory_item_cost(const struct item *item, size_t bytes);

/* What items cost, and what they may. */
size_t memory_cost(void);
size_t memory_allowance(void);

/*
 * Values of which a part has yet to come may take half of -m together: no eviction gets at them.
 * Whether so many bytes more may begin; and their end. 0: a value that is there already. They crowd
 * when half of that is taken: then those that take long end, so that others get their turn.
 */
bool memory_upload_begin(size_t bytes);
void memory_upload_end(size_t bytes);
bool memory_uploads_crowd(void);

void *memory_buffer_alloc(size_t bytes);
void memory_buffer_free(void *buffer);

/* What `stats allocator` and /metrics show of the allocator: calls `each` for every figure. */
void memory_figures(stats_figure *each, void *argument);

/* A thread that found nothing to do for a while gives up what it has cached. */
void memory_thread_idle(void);

/* Gives free memory back to the operating system. */
void memory_trim(void);
