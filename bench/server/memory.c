/* memory: the two ways to allocate, the account of what items cost, and the allowance. */
#include "memory.h"

#include "table.h"
#include "worker.h"

#include <event2/event.h>
#include <malloc.h>
#include <memorybucket/inline.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

/* The largest request that the pools serve, as MB_POOL_MAX says. Constant after the start. */
static size_t pool_max = SIZE_MAX;

static _Atomic size_t cost_sum;  /* [COST] relaxed: a sum that workers change in any order */
static _Atomic size_t large_sum; /* [COST] the part of it that is beyond the pools */
static _Atomic size_t uploads;   /* [COST] bytes of values under way */
/* [ALLOWANCE] relaxed: a hint; of workers that change it at once, any may be the last. */
static _Atomic size_t allowance;

/* The worker whose item is being allocated in this thread; NULL: it is something else. */
static _Thread_local struct worker *allocates;

/* --- buffers --- */

/* mb_free takes both kinds. */
void *memory_buffer_alloc(size_t bytes)
{
    void *buffer = options.use_malloc ? NULL : mb_alloc(bytes);
    return buffer != NULL ? buffer : malloc(bytes);
}

void memory_buffer_free(void *buffer)
{
    options.use_malloc ? free(buffer) : mb_free(buffer);
}

static void *buffer_realloc(void *buffer, size_t bytes)
{
    if (options.use_malloc) {
        return realloc(buffer, bytes);
    }
    void *moved = memory_buffer_alloc(bytes);
    if (moved != NULL && buffer != NULL) {
        size_t old_bytes = mb_usable_size(buffer);
        memcpy(moved, buffer, old_bytes < bytes ? old_bytes : bytes);
        mb_free(buffer);
    }
    return moved;
}

/* --- the account of items --- */

size_t memory_cost(void)
{
    return atomic_load_explicit(&cost_sum, memory_order_relaxed); /* [COST] */
}

size_t memory_allowance(void)
{
    return atomic_load_explicit(&allowance, memory_order_relaxed); /* [ALLOWANCE] */
}

static void allowance_set(size_t bytes)
{
    atomic_store_explicit(&allowance, bytes, memory_order_relaxed); /* [ALLOWANCE] */
}

size_t memory_item_cost(const struct item *item, size_t bytes)
{
    enum { MALLOC_HEADER_BYTES = 8 }; /* glibc's; peers have about as much */
    return options.use_malloc ? malloc_usable_size((void *)(uintptr_t)item) + MALLOC_HEADER_BYTES
                              : mb_good_size(bytes);
}

static void account(size_t bytes, size_t cost)
{
    atomic_fetch_add_explicit(&cost_sum, cost, memory_order_relaxed); /* [COST] */
    if (bytes > pool_max) {
        atomic_fetch_add_explicit(&large_sum, cost, memory_order_relaxed); /* [COST] */
    }
}

void memory_item_discount(const struct item *item, size_t bytes)
{
    account(bytes, -memory_item_cost(item, bytes)); /* wraps round, as sums do */
}

bool memory_upload_begin(size_t bytes)
{
    size_t before = atomic_fetch_add_explicit(&uploads, bytes, memory_order_relaxed); /* [COST] */
    bool fits = bytes == 0 || before + bytes <= options.memory_bytes / 2;
    if (!fits) {
        memory_upload_end(bytes);
    }
    return fits;
}

void memory_upload_end(size_t bytes)
{
    atomic_fetch_sub_explicit(&uploads, bytes, memory_order_relaxed); /* [COST] */
}

bool memory_uploads_crowd(void)
{
    /* [COST] */
    return atomic_load_explicit(&uploads, memory_order_relaxed) > options.memory_bytes / 4;
}

/* --- the bound --- */

/*
 * Compares what is really taken with -m. Between the two marks the allowance stays: committed
 * memory falls only as whole pages become free, so what was evicted shows late. It also stays where
 * much lies free in slots of other sizes: at the limit the pools give that back by themselves, and
 * to evict instead would leave as much free of yet another size.
 */
static void look(struct worker *worker)
{
    size_t cost = memory_cost();
    size_t allowed = memory_allowance();
    size_t margin = options.memory_bytes / 32;
    struct mb_stats sums;
    mb_stats_get_quick(&sums, offsetof(struct mb_stats, pool));
    size_t large = atomic_load_explicit(&large_sum, memory_order_relaxed); /* [COST] */
    size_t taken = sums.committed_bytes + large;
    /* What is beyond the pools leaves them less; and where it shrinks, malloc keeps the room. */
    mb_memory_limit_set(options.memory_bytes - MIN(large, options.memory_bytes / 16 * 15));
    if (large + 2 * margin < worker->large_most) {
        malloc_trim(0);
        worker->large_most = 0;
    }
    worker->large_most = MAX(large, worker->large_most);
    if (taken > options.memory_bytes - margin) {
        bool much_is_free = taken > cost + 4 * margin;
        allowance_set(much_is_free || cost > allowed ? allowed : cost);
    } else if (taken < options.memory_bytes - 2 * margin) {
        allowance_set(MIN(MAX(cost, allowed) + 2 * worker->since_look_bytes, options.memory_bytes));
    }
}

struct item *memory_item_alloc(struct worker *worker, size_t bytes)
{
    size_t after = memory_cost() + bytes;
    size_t allowed = memory_allowance();
    if (after > allowed) {
        /* Not all of it at once when the allowance has just been lowered: replies wait for this. */
        table_evict(worker, MIN(after - allowed, 4 * bytes));
    }
    allocates = worker;
    struct item *item = options.use_malloc ? malloc(bytes) : mb_alloc(bytes);
    allocates = NULL;
    if (item != NULL) {
        account(bytes, memory_item_cost(item, bytes));
        worker->since_look_bytes += bytes;
        if (worker->since_look_bytes > options.memory_bytes / 256 && !options.use_malloc) {
            look(worker);
            worker->since_look_bytes = 0;
        }
    }
    return item;
}

void memory_items_free(size_t count, void *const *items)
{
    if (!options.use_malloc) {
        mb_free_batch(count, items);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        free(items[i]);
    }
}

/*
 * The pools' limit is reached. First what is retired already, which costs no item. Then a piece of
 * the cache that is large enough for whole pages to become free, as the sizes in demand may not be
 * those of what goes.
 */
static int out_of_memory(size_t size, void *unused)
{
    (void)unused;
    struct worker *worker = allocates;
    if (worker == NULL) {
        return 0; /* a buffer, whose caller may hold items; malloc serves it */
    }
    worker_count(worker, COUNT_memory_waits, 1);
    if (reclaim_wait(&worker->retired)) {
        return 1;
    }
    size_t piece = options.memory_bytes / 64 + 16 * size;
    size_t cost = memory_cost();
    allowance_set(cost > piece ? cost - piece : 0);
    return table_evict(worker, piece) > 0 && reclaim_wait(&worker->retired);
}

void memory_start(void)
{
    if (!options.use_malloc) {
        struct mb_stats sums;
        /* What the environment says goes before, and what has to be there before main, too. */
        mb_option_set("MB_POOL_MAX", "1K");
        if (mb_init() != 0
            || mb_stats_get_quick(&sums, offsetof(struct mb_stats, pool)) != 0) {
            fputs("mbcached: MemoryBucket does not start\n", stderr);
            exit(1);
        }
        pool_max = sums.pool_max;
        mb_memory_limit_set(options.memory_bytes);
        mallopt(M_MMAP_THRESHOLD, 64 << 10); /* what is beyond the pools goes back when freed */
        mb_out_of_memory_handler_set(out_of_memory, NULL);
    }
    allowance_set(options.memory_bytes);
    event_set_mem_functions(memory_buffer_alloc, buffer_realloc, memory_buffer_free);
}

/* --- the allocator's own --- */

void memory_thread_idle(void)
{
    if (!options.use_malloc) {
        mb_thread_idle();
    }
}

void memory_trim(void)
{
    if (!options.use_malloc) {
        mb_trim(0);
    }
    malloc_trim(0); /* items beyond the pools; a preloaded malloc may have none of its own */
}

void memory_figures(stats_figure *each, void *argument)
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
}
