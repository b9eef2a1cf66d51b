/* pool_defer: frees while a pool's lock is refused, and one slot at a time. */
#include "core/pool.h"
#include "core/region.h"

struct slot *mbi_pool_alloc_direct(struct pool *pool)
{
    return chain_first(mbi_pool_take_up_to(pool, 1));
}

_Atomic(struct slot *) mbi_pools_deferred;

static void defer_free(struct slot *slot)
{
    struct slot *head = atomic_load_explicit(&mbi_pools_deferred,
                                             memory_order_relaxed); /* [DEFER-HINT] */
    do {
        slot->rest = (uintptr_t)head;
        /* seq_cst [DEFER-PUSH]: pairs with [DEFER-TAKE], and stands before [GATE-LOOK]. */
    } while (!atomic_compare_exchange_weak_explicit(&mbi_pools_deferred, &head, slot,
                                                    memory_order_seq_cst, memory_order_relaxed));
}

/* False when a slot was refused again, for another fork, and so is deferred again. */
static bool free_all_deferred(void)
{
    bool all = true;
    /* seq_cst [DEFER-TAKE]: pairs with [DEFER-PUSH], and stands after [GATE-OPEN]. */
    struct slot *slot = atomic_exchange_explicit(&mbi_pools_deferred, NULL, memory_order_seq_cst);
    while (slot != NULL) {
        struct slot *next = (struct slot *)(uintptr_t)slot->rest;
        struct pool *pool = &mbi_pools[region_class_of(slot)];
        if (!mbi_pool_return_loose(pool, chain_push(0, slot))) {
            defer_free(slot);
            all = false;
        }
        slot = next;
    }
    return all;
}

void mbi_pools_free_deferred(void)
{
    bool all;
    do {
        all = free_all_deferred();
    } while (!all && mbi_lock_is_available());
}

void mbi_pool_free_direct(struct pool *pool, struct slot *slot)
{
    if (MBI_UNLIKELY(!mbi_pool_return_loose(pool, chain_push(0, slot)))) {
        defer_free(slot);
        if (mbi_lock_is_available()) {
            mbi_pools_free_deferred();
        }
    }
}
