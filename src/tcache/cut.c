/* cut: finds where the order of a magazine's slots breaks. */
#include "tcache/cut.h"

/*
 * A thread that only frees what another one allocates cuts its magazines elsewhere than that one
 * began them, and each round splits what lay side by side once more: then nothing tells where the
 * lines of a batch are (batch_fetch, transfer.c). So where `next` lies beside the slot freed last,
 * a full magazine is cut where the order breaks, a few times a class until that is flushed: the
 * older slots become loose, and the next magazine ends where the allocating thread's did. How many
 * slots stay; 0 if none break.
 */
enum { CUTS_MAX = 32 };

static uint32_t chain_leading(const struct pool *pool, uint64_t chain, const struct slot *next)
{
    const struct slot *slot = chain_first(chain);
    const intptr_t step = (intptr_t)slot - (intptr_t)next;
    const intptr_t slot_bytes = (intptr_t)pool->slot_bytes;
    if (step != slot_bytes && step != -slot_bytes) {
        return 0;
    }
    for (uint32_t leading = 1; leading < chain_rounds(chain); leading++) {
        const struct slot *older = chain_first(slot->rest);
        if ((intptr_t)older - (intptr_t)slot != step) {
            return leading;
        }
        slot = older;
    }
    return 0;
}

bool mbi_cut_magazine(struct thread_cache *cache, struct pool *pool,
                      const struct slot *next)
{
    struct magazine *loaded = &cache->loaded[pool->class];
    uint32_t *cuts = &cache->obtained[pool->class];
    /* Slots obtained count as cuts: a thread that got some also frees its own. */
    if (*cuts >= CUTS_MAX || counter_read(&cache->transfers[pool->class].refills) != 0) {
        return false;
    }
    uint64_t chain = magazine_chain(loaded);
    uint32_t leading = chain_rounds(chain) == pool->rounds ? chain_leading(pool, chain, next) : 0;
    if (leading == 0) {
        return false;
    }
    ++*cuts;
    magazine_set_chain(loaded, mbi_pool_keep_first(pool, magazine_unload(loaded), leading));
    return chain_rounds(magazine_chain(loaded)) < pool->rounds;
}
