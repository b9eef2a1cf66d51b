/*
 * budget: how much memory items may take, so that the server stays within -m.
 *
 * Two things keep the bound. The allocator refuses to commit more than -m, gives back what is free,
 * and then asks budget_out_of_memory, which evicts: that is exact, and slow. So that it is rare,
 * items have an allowance, the sum of what they may cost, and an allocation beyond it evicts as
 * much as it takes. Where memory is short the allowance is what items cost now; where there is room
 * again it grows. With malloc, which has no limit, the allowance is -m itself.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct item;
struct worker;

/* A worker's share of the account, which it adds to the sum now and then; the worker's own. */
struct budget_share {
    int64_t cost;      /* not yet in the sum */
    size_t since_look; /* bytes allocated since it last looked at what is committed */
};

void budget_start(void);

/* Memory for an item, or NULL: evicts before it is allocated, and accounts for it. */
struct item *budget_alloc(struct worker *worker, size_t bytes);

/* The item's cost is no longer an item's: it is about to be freed, or retired. */
void budget_give_back(struct worker *worker, const struct item *item);

/* What items cost, without what workers have not yet added; and what they may. */
size_t budget_cost(void);
size_t budget_allowance(void);

/* MemoryBucket's out-of-memory handler: evicts, when it is an item that is being allocated. */
int budget_out_of_memory(size_t size, void *unused);
