/* pool_defer: frees while a pool's lock is refused, and one slot at a time. */
#include "core/pool.h"
#include "core/region.h"

struct left_behind mbi_pools_deferred;

/* False when the lock is refused and the free is deferred. */
static bool free_or_defer(struct pool *pool, struct slot *slot)
{
    bool freed = mbi_pool_return_loose(pool, chain_push(0, slot));
    if (MBI_UNLIKELY(!freed)) {
        left_behind_push(&mbi_pools_deferred, (struct left_item *)(void *)slot);
    }
    return freed;
}

static bool free_deferred(struct left_item *item)
{
    return free_or_defer(pool_at(region_class_of(item)), (struct slot *)(void *)item);
}

void mbi_pools_free_deferred(void)
{
    left_behind_give_back(&mbi_pools_deferred, free_deferred);
}

void mbi_pool_free_direct(struct pool *pool, struct slot *slot)
{
    if (MBI_UNLIKELY(!free_or_defer(pool, slot) && mbi_lock_is_available())) {
        mbi_pools_free_deferred();
    }
}
