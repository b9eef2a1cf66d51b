/* budget: the account of what items cost, and the allowance that follows from it. */
#include "budget.h"

#include "allocator.h"
#include "table.h"
#include "item.h"
#include "worker.h"

static _Atomic int64_t cost_sum;  /* [COST] relaxed: a sum that workers add to in any order */
static _Atomic int64_t large_sum; /* [COST] the part of it that is beyond the pools */
/* [ALLOWANCE] relaxed: a hint; of workers that change it at once, any may be the last. */
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

static size_t sum_read(const _Atomic int64_t *sum)
{
    int64_t bytes = atomic_load_explicit(sum, memory_order_relaxed); /* [COST] */
    return bytes > 0 ? (size_t)bytes : 0;
}

size_t budget_cost(void)
{
    return sum_read(&cost_sum);
}

size_t budget_allowance(void)
{
    return atomic_load_explicit(&allowance, memory_order_relaxed); /* [ALLOWANCE] */
}

static void allowance_set(size_t bytes)
{
    atomic_store_explicit(&allowance, bytes, memory_order_relaxed); /* [ALLOWANCE] */
}

static void account(struct budget_share *share, size_t bytes, int64_t cost)
{
    share->cost += cost;
    if (share->cost > share_max || share->cost < -share_max) {
        atomic_fetch_add_explicit(&cost_sum, share->cost, memory_order_relaxed); /* [COST] */
        share->cost = 0;
    }
    if (allocator_is_beyond_pools(bytes)) {
        atomic_fetch_add_explicit(&large_sum, cost, memory_order_relaxed); /* [COST] */
    }
}

/*
 * Compares what is really taken with -m. Between the two marks the allowance stays: committed
 * memory falls only as whole pages become free, so what was evicted shows late.
 */
static void look(struct budget_share *share)
{
    size_t cost = budget_cost();
    size_t allowed = budget_allowance();
    size_t margin = options.memory_bytes / 32;
    size_t large = sum_read(&large_sum) / margin * margin;
    size_t most = 28 * margin; /* the pools keep some */
    allocator_pools_limit(options.memory_bytes - (large < most ? large : most));
    size_t taken = allocator_committed() + large;
    if (taken > options.memory_bytes - margin) {
        allowance_set(cost < allowed ? cost : allowed);
    } else if (taken < options.memory_bytes - 2 * margin) {
        size_t grown = (cost > allowed ? cost : allowed) + 2 * share->since_look;
        allowance_set(grown < options.memory_bytes ? grown : options.memory_bytes);
    }
}

struct item *budget_alloc(struct worker *worker, size_t bytes)
{
    size_t after = budget_cost() + bytes;
    size_t allowed = budget_allowance();
    if (after > allowed) {
        /* Not all of it at once when the allowance has just been lowered: replies wait for this. */
        size_t excess = after - allowed;
        table_evict(worker, excess < 4 * bytes ? excess : 4 * bytes);
    }
    allocates = worker;
    struct item *item = allocator_item_alloc(bytes);
    allocates = NULL;
    if (item != NULL) {
        account(&worker->budget, bytes, (int64_t)allocator_item_cost(item, bytes));
        worker->budget.since_look += bytes;
        if (worker->budget.since_look > look_every && !options.use_malloc) {
            look(&worker->budget);
            worker->budget.since_look = 0;
        }
    }
    return item;
}

void budget_give_back(struct worker *worker, const struct item *item)
{
    size_t bytes = item_bytes(item);
    account(&worker->budget, bytes, -(int64_t)allocator_item_cost(item, bytes));
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
    worker_count(worker, COUNT_memory_waits, 1);
    if (reclaim_wait(&worker->retired)) {
        return 1;
    }
    size_t piece = options.memory_bytes / 64 + 16 * size;
    size_t cost = budget_cost();
    allowance_set(cost > piece ? cost - piece : 0);
    return table_evict(worker, piece) > 0 && reclaim_wait(&worker->retired);
}
