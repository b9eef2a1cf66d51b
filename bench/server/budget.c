/* budget: the account of what items cost, and the allowance that follows from it. */
#include "budget.h"
#include "allocator.h"
#include "clock.h"
#include "item.h"
#include "options.h"
#include "stats.h"
#include "worker.h"

#include <stdatomic.h>

/* [COST] relaxed: a sum that workers add to in any order. */
static _Atomic int64_t cost_sum;
/* [LARGE] relaxed: the part of it that is beyond the pools, and so not in what they committed. */
static _Atomic int64_t large_sum;
/* [ALLOWANCE] relaxed: a hint. Workers that lower and raise it at once leave one of their values. */
static _Atomic size_t allowance;

/* Constant after the start. */
static int64_t share_max; /* a worker's cost that is not in the sum yet */
static size_t look_every; /* bytes that a worker allocates between two looks */

/* The worker whose item is being allocated in this thread; NULL: it is something else. */
static _Thread_local struct worker *allocates;

void budget_start(void)
{
    size_t grain = options.memory_bytes / 1024;
    share_max = (int64_t)(grain < 65536 ? grain : 65536);
    look_every = 4 * (size_t)share_max;
    atomic_init(&allowance, options.memory_bytes);
}

size_t budget_cost(void)
{
    int64_t cost = atomic_load_explicit(&cost_sum, memory_order_relaxed); /* [COST] */
    return cost > 0 ? (size_t)cost : 0;
}

size_t budget_allowance(void)
{
    return atomic_load_explicit(&allowance, memory_order_relaxed); /* [ALLOWANCE] */
}

static void allowance_set(size_t bytes)
{
    atomic_store_explicit(&allowance, bytes, memory_order_relaxed); /* [ALLOWANCE] */
}

static void share_add(struct budget_share *share, int64_t cost)
{
    share->cost += cost;
    if (share->cost > share_max || share->cost < -share_max) {
        atomic_fetch_add_explicit(&cost_sum, share->cost, memory_order_relaxed); /* [COST] */
        share->cost = 0;
    }
}

static void large_add(size_t bytes, int64_t cost)
{
    if (allocator_item_is_large(bytes)) {
        atomic_fetch_add_explicit(&large_sum, cost, memory_order_relaxed); /* [LARGE] */
    }
}

/*
 * Compares what is really taken with -m. Between the two marks the allowance stays: committed
 * memory falls only as whole pages become free, so what was evicted shows late.
 */
static void look(struct budget_share *share)
{
    share->since_look = 0;
    if (allocator_is_malloc) {
        return;
    }
    int64_t large = atomic_load_explicit(&large_sum, memory_order_relaxed); /* [LARGE] */
    size_t taken = allocator_committed() + (large > 0 ? (size_t)large : 0);
    size_t cost = budget_cost();
    size_t allowed = budget_allowance();
    size_t margin = options.memory_bytes / 32;
    if (taken > options.memory_bytes - margin) {
        allowance_set(cost < allowed ? cost : allowed);
    } else if (taken < options.memory_bytes - 2 * margin) {
        size_t grown = (cost > allowed ? cost : allowed) + 2 * look_every;
        allowance_set(grown < options.memory_bytes ? grown : options.memory_bytes);
    }
}

void budget_begin(struct worker *worker, size_t bytes)
{
    size_t after = budget_cost() + bytes;
    size_t allowed = budget_allowance();
    if (after > allowed) {
        /* Not all of it at once when the allowance has just been lowered: replies wait for this. */
        size_t excess = after - allowed;
        clock_evict(worker, excess < 4 * bytes ? excess : 4 * bytes);
    }
    allocates = worker;
}

void budget_end(struct worker *worker, struct item *item, size_t bytes)
{
    allocates = NULL;
    if (item == NULL) {
        return;
    }
    int64_t cost = (int64_t)allocator_item_cost(item, bytes);
    share_add(&worker->budget, cost);
    large_add(bytes, cost);
    worker->budget.since_look += bytes;
    if (worker->budget.since_look > look_every) {
        look(&worker->budget);
    }
}

void budget_give_back(struct worker *worker, const struct item *item)
{
    size_t bytes = item_bytes(item);
    int64_t cost = (int64_t)allocator_item_cost(item, bytes);
    share_add(&worker->budget, -cost);
    large_add(bytes, -cost);
}

/*
 * First what is retired already, which costs no item. Then a piece of the cache that is large
 * enough for whole pages to become free, as the sizes in demand may not be those of what goes.
 */
int budget_out_of_memory(size_t size, void *unused)
{
    (void)unused;
    struct worker *worker = allocates;
    if (worker == NULL) {
        return 0; /* a buffer, whose caller may hold items; malloc serves it (allocator.c) */
    }
    counter_add(&worker->counters, COUNT_memory_waits, 1);
    if (reclaim_wait(&worker->retired)) {
        return 1;
    }
    size_t piece = options.memory_bytes / 64 + 16 * size;
    size_t cost = budget_cost();
    allowance_set(cost > piece ? cost - piece : 0);
    if (clock_evict(worker, piece) == 0) {
        return 0;
    }
    reclaim_wait(&worker->retired);
    return 1;
}
