/* many: slots in one call, from a magazine and the pool into an array, and back into magazines. */
#include "core/region.h"
#include "tcache/sampling.h"
#include "tcache/thread_cache.h"
#include "tcache/transfer.h"

#include <errno.h>

/* Moves up to `count` slots of the loaded magazine to `out`. */
static size_t thread_cache_unload_into(struct magazine *loaded, size_t count, void **out)
{
    uint64_t chain = magazine_chain(loaded);
    size_t taken = 0;
    while (taken < count && chain != 0) {
        struct slot *slot = chain_first(chain);
        chain = slot->rest;
        out[taken++] = slot;
    }
    magazine_set_chain(loaded, chain);
    return taken;
}

/* A magazine's slots, kept ones or a batch of the centre, or what the pool obtains; how many. */
static size_t thread_cache_take_magazine(struct thread_cache *cache, struct pool *pool, void **out)
{
    struct magazine *loaded = &cache->loaded[pool->class];
    struct fresh_run run = { .first = NULL, .rounds = 0 };
    /* Each time: a parked cache may have a batch, which spares a block. */
    if (!mbi_transfer_refill_whole(cache, pool)) {
        uint64_t chain;
        run = mbi_pool_obtain(pool, pool->rounds, &chain);
        magazine_set_chain(loaded, chain);
    }
    size_t taken = thread_cache_unload_into(loaded, pool->rounds, out);
    /* Beside a chain the run is empty. */
    mbi_pool_touch_run(pool, run);
    for (size_t round = 0; round < run.rounds; round++) {
        struct slot *slot = (struct slot *)(void *)(run.first + round * pool->slot_bytes);
        pool_expect_fresh(pool, slot->rest);
        out[taken++] = slot;
    }
    return taken;
}

static size_t thread_cache_take_ready(struct thread_cache *cache, size_t class, size_t count,
                                      void **out)
{
    struct pool *pool = pool_for_use(class);
    if (pool == NULL || cache->sampling.counted) { /* singly, as any may be a sample */
        return 0;
    }
    size_t done = thread_cache_unload_into(&cache->loaded[class], count, out);
    bool more = !sampling_concerns(cache); /* else a single request begins the next stretch */
    while (more && count - done >= pool->rounds) {
        size_t taken = thread_cache_take_magazine(cache, pool, out + done);
        done += taken;
        more = taken != 0;
    }
    return done;
}

size_t mbi_thread_cache_take_many(size_t class, size_t count, void **out)
{
    int saved_errno = errno; /* the kernel may refuse a part, as to populate pages */
    struct thread_cache *cache = mbi_thread_cache_begin_slow();
    size_t done = 0;
    if (cache != NULL) {
        done = thread_cache_take_ready(cache, class, count, out);
        thread_cache_end_slow(cache);
    }
    errno = saved_errno;
    return done;
}

/* Of the slots side by side in the array that belong to the first one's pool. */
static size_t thread_cache_push_run(struct thread_cache *cache, size_t count,
                                    void *const *pointers)
{
    size_t class = region_dense_class_of(pointers[0], cache->dense_base);
    if (class >= SIZE_CLASS_COUNT) {
        return 0;
    }
    struct magazine *loaded = &cache->loaded[class];
    uint64_t chain = magazine_chain(loaded);
    size_t room = size_above(magazine_rounds_max(loaded), chain_rounds(chain));
    size_t wanted = size_min(count, room);
    size_t done = 0;
    while (done < wanted && region_dense_class_of(pointers[done], cache->dense_base) == class) {
        chain = chain_push(chain, pointers[done++]);
    }
    magazine_set_chain(loaded, chain);
    return done;
}

size_t mbi_thread_cache_put_many(size_t count, void *const *pointers)
{
    struct thread_cache *cache = mbi_thread_cache->active ? mbi_thread_cache_begin_slow() : NULL;
    if (cache == NULL) {
        return 0;
    }
    size_t done = 0;
    size_t more = 1;
    while (more != 0 && done < count) {
        more = thread_cache_push_run(cache, count - done, pointers + done);
        done += more;
    }
    thread_cache_end_slow(cache);
    return done;
}
