/* thread_cache: the slow paths, where magazines are exchanged. */
#include "tcache/thread_cache.h"

#include "core/config.h"
#include "core/large.h"
#include "core/region.h"

#include <errno.h>

const struct thread_cache mbi_cache_none;
const struct thread_cache mbi_cache_direct;

_Thread_local struct thread_cache *mbi_thread_cache
    __attribute__((tls_model("initial-exec"))) = (struct thread_cache *)&mbi_cache_none;

void mbi_thread_cache_init(struct thread_cache *cache)
{
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        magazine_load(&cache->loaded[class], NULL, 0);
        magazine_set_rounds_max(&cache->loaded[class], mbi_pools[class].rounds);
        cache->carve_rounds[class] = MAGAZINE_ROUNDS_STEP;
    }
    cache->active = true;
    cache->exit_seen = false;
}

struct thread_cache *mbi_thread_cache_own(void)
{
    if (MBI_UNLIKELY(mbi_thread_cache == &mbi_cache_none)) {
        mbi_thread_start();
    }
    struct thread_cache *cache = mbi_thread_cache;
    return MBI_LIKELY(cache->active) ? cache : NULL;
}

/*
 * relaxed [PREVIOUS]: written and followed by the owner only; a walker looks whether there is
 * one and never follows it.
 */
static struct slot *previous_get(const struct thread_cache *cache, size_t class)
{
    return atomic_load_explicit(&cache->previous[class], memory_order_relaxed); /* [PREVIOUS] */
}

static void previous_set(struct thread_cache *cache, size_t class, struct slot *chain)
{
    atomic_store_explicit(&cache->previous[class], chain, memory_order_relaxed); /* [PREVIOUS] */
}

static size_t magazine_bytes(const struct pool *pool)
{
    return pool->rounds * pool->slot_bytes;
}

/*
 * Fresh slots come in growing runs, so that a thread which needs three objects does not touch the
 * memory of a whole magazine.
 */
static bool thread_cache_obtain(struct thread_cache *cache, struct pool *pool)
{
    size_t wanted = cache->carve_rounds[pool->class];
    struct slot_run run = mbi_pool_obtain(pool, wanted);
    if (run.rounds == 0) {
        return false;
    }
    struct slot *chain = run.first;
    if (!run.linked) {
        chain = mbi_pool_link_run(pool, run);
        wanted = 2 * wanted < pool->rounds ? 2 * wanted : pool->rounds;
        cache->carve_rounds[pool->class] = (uint16_t)wanted;
    }
    magazine_load(&cache->loaded[pool->class], chain, (uint32_t)run.rounds);
    return true;
}

/* Fills the empty loaded magazine to the brim: from previous or from the centre. */
static bool thread_cache_refill_whole(struct thread_cache *cache, struct pool *pool)
{
    size_t class = pool->class;
    struct slot *chain = previous_get(cache, class);
    if (chain != NULL) {
        previous_set(cache, class, NULL);
        cache->previous_bytes -= magazine_bytes(pool);
    } else {
        chain = mbi_pool_pop_batch(pool, &cache->transfers[class]);
        if (chain == NULL) {
            return false;
        }
    }
    magazine_load(&cache->loaded[class], chain, pool->rounds);
    return true;
}

static bool thread_cache_refill(struct thread_cache *cache, struct pool *pool)
{
    return thread_cache_refill_whole(cache, pool) || thread_cache_obtain(cache, pool);
}

/* Empties the full loaded magazine: it becomes previous, whose place is made free in the centre. */
static void thread_cache_make_room(struct thread_cache *cache, struct pool *pool)
{
    size_t class = pool->class;
    size_t bytes = magazine_bytes(pool);
    struct slot *chain = magazine_unload(&cache->loaded[class]);
    struct slot *previous = previous_get(cache, class);
    if (previous != NULL) {
        previous_set(cache, class, chain);
        mbi_pool_push_batch(pool, previous, &cache->transfers[class]);
    } else if (cache->previous_bytes + bytes <= mbi_config.previous_bytes_max) {
        previous_set(cache, class, chain);
        cache->previous_bytes += bytes;
    } else {
        mbi_pool_push_batch(pool, chain, &cache->transfers[class]);
    }
}

MBI_COLD struct slot *mbi_thread_cache_take(size_t class)
{
    struct thread_cache *cache = mbi_thread_cache_own();
    struct slot *slot;
    if (MBI_UNLIKELY(cache == NULL)) {
        slot = mbi_pool_alloc_direct(&mbi_pools[class]);
    } else {
        struct magazine *loaded = &cache->loaded[class];
        bool ready = loaded->head != NULL || thread_cache_refill(cache, &mbi_pools[class]);
        slot = ready ? magazine_pop(loaded) : NULL;
    }
    if (slot == NULL) {
        errno = ENOMEM;
    }
    return slot;
}

/* Moves up to `count` slots of the loaded magazine to `out`. */
static size_t thread_cache_unload_into(struct magazine *loaded, size_t count, void **out)
{
    uint32_t rounds = magazine_rounds(loaded);
    size_t taken = rounds < count ? rounds : count;
    struct slot *slot = loaded->head;
    for (size_t i = 0; i < taken; i++) {
        out[i] = slot;
        slot = slot->next;
    }
    magazine_load(loaded, slot, rounds - (uint32_t)taken);
    return taken;
}

size_t mbi_thread_cache_take_many(size_t class, size_t count, void **out)
{
    struct thread_cache *cache = mbi_thread_cache_own();
    if (cache == NULL) {
        return 0;
    }
    struct pool *pool = &mbi_pools[class];
    struct magazine *loaded = &cache->loaded[class];
    size_t done = thread_cache_unload_into(loaded, count, out);
    while (count - done >= pool->rounds && thread_cache_refill_whole(cache, pool)) {
        done += thread_cache_unload_into(loaded, pool->rounds, out + done);
    }
    while (count - done >= pool->rounds) {
        struct slot_run run = mbi_pool_obtain(pool, pool->rounds);
        char *cursor = (char *)run.first;
        for (size_t round = 0; round < run.rounds; round++) {
            out[done++] = cursor;
            cursor = run.linked ? *(char **)(void *)cursor : cursor + pool->slot_bytes;
        }
        if (run.rounds == 0) {
            break;
        }
    }
    return done;
}

MBI_COLD void *mbi_thread_cache_spill(size_t class, size_t alignment_bytes)
{
    size_t size_bytes = size_class_slot_bytes(class);
    if (mbi_region.reserved_bytes == 0) {
        class = SIZE_CLASS_COUNT - 1; /* no pool has any slot: do not ask them one by one */
    }
    for (size_t next = size_class_next_aligned(class, alignment_bytes); next < SIZE_CLASS_COUNT;
         next = size_class_next_aligned(next, alignment_bytes)) {
        struct slot *slot = mbi_thread_cache_take(next);
        if (slot != NULL) {
            return slot;
        }
    }
    if (alignment_bytes > ABI_ALIGNMENT_BYTES) {
        return mbi_large_aligned_alloc(alignment_bytes, size_bytes);
    }
    return mbi_large_alloc(size_bytes);
}

MBI_COLD void *mbi_thread_cache_alloc_slow(size_t class)
{
    int saved_errno = errno;
    struct slot *slot = mbi_thread_cache_take(class);
    if (MBI_LIKELY(slot != NULL)) {
        return slot;
    }
    size_t alignment_bytes = size_class_alignment_bytes(class);
    if (alignment_bytes > ABI_ALIGNMENT_BYTES) {
        alignment_bytes = ABI_ALIGNMENT_BYTES; /* as much as mb_alloc and malloc promise */
    }
    void *pointer = mbi_thread_cache_spill(class, alignment_bytes);
    if (pointer != NULL) {
        errno = saved_errno;
    }
    return pointer;
}

MBI_COLD void mbi_thread_cache_free_slow(void *pointer, size_t class)
{
    int saved_errno = errno;
    struct thread_cache *cache = mbi_thread_cache_own();
    if (MBI_UNLIKELY(cache == NULL)) {
        mbi_pool_free_direct(&mbi_pools[class], pointer);
    } else {
        struct magazine *loaded = &cache->loaded[class];
        if (magazine_rounds(loaded) >= magazine_rounds_max(loaded)) {
            thread_cache_make_room(cache, &mbi_pools[class]);
        }
        magazine_push(loaded, pointer, magazine_rounds(loaded));
    }
    errno = saved_errno;
}

void mbi_thread_cache_flush(struct thread_cache *cache)
{
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        struct pool *pool = &mbi_pools[class];
        struct slot *previous = previous_get(cache, class);
        if (previous != NULL) {
            previous_set(cache, class, NULL);
            mbi_pool_push_batch(pool, previous, &cache->transfers[class]);
        }
        uint32_t rounds = magazine_rounds(&cache->loaded[class]);
        struct slot *chain = magazine_unload(&cache->loaded[class]);
        if (rounds == pool->rounds) {
            mbi_pool_push_batch(pool, chain, &cache->transfers[class]);
        } else if (rounds != 0) {
            mbi_pool_return_loose(pool, chain, rounds);
        }
        cache->carve_rounds[class] = MAGAZINE_ROUNDS_STEP;
    }
    cache->previous_bytes = 0;
}

void mbi_thread_cache_forget(struct thread_cache *cache)
{
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        magazine_load(&cache->loaded[class], NULL, 0);
        previous_set(cache, class, NULL);
    }
    cache->previous_bytes = 0;
}

size_t mbi_thread_cache_rounds(const struct thread_cache *cache, size_t class)
{
    size_t previous = previous_get(cache, class) != NULL ? mbi_pools[class].rounds : 0;
    return magazine_rounds(&cache->loaded[class]) + previous;
}
