/* transfer: kept magazines, refills and flushes, within the budget. */
#include "tcache/transfer.h"

#include "core/centre.h"
#include "core/config.h"
#include "core/upcalls.h"
#include "tcache/budget.h"
#include "tcache/cut.h"

/* The thread moved `bytes` to the centre; negative: from it. */
MBI_HOT_INLINE void cache_count_central(struct thread_cache *cache, int64_t bytes)
{
    int64_t untold_bytes = cache->untold_bytes + bytes;
    cache->untold_bytes = untold_bytes;
    if (MBI_UNLIKELY(untold_bytes >= CENTRE_TELL_BYTES || untold_bytes <= -CENTRE_TELL_BYTES)) {
        mbi_thread_cache_tell(cache);
    }
}

static void cache_push_batch(struct thread_cache *cache, struct pool *pool, uint64_t chain)
{
    cache_count_central(cache, (int64_t)pool_batch_bytes(pool));
    mbi_pool_push_batch(pool, chain, &cache->transfers[pool->class]);
}

MBI_HOT_INLINE uint64_t cache_pop_batch(struct thread_cache *cache, struct pool *pool)
{
    uint64_t chain = mbi_pool_pop_batch(pool, &cache->transfers[pool->class]);
    if (chain != 0) {
        cache_count_central(cache, -(int64_t)pool_batch_bytes(pool));
    }
    return chain;
}

MBI_HOT_INLINE bool class_is_upper(size_t class)
{
    return class >= SMALL_CLASS_COUNT;
}

/* Whether the upper classes' share of the thread's bytes has room for `bytes` more of the class. */
MBI_HOT_INLINE bool cache_has_share(const struct thread_cache *cache, size_t class, size_t bytes)
{
    return !class_is_upper(class) || cache->upper_bytes + bytes <= mbi_config.upper_bytes_max;
}

/* Takes `missing` bytes of the process's budget, in whole pieces if it has as much. */
static MBI_COLD bool cache_take_budget(struct thread_cache *cache, size_t missing)
{
    size_t more = round_up(missing, BUDGET_PIECE_BYTES);
    if (bounded_take(&mbi_budget, 1, more) == 0) {
        more = missing;
        if (bounded_take(&mbi_budget, 1, more) == 0) {
            return false;
        }
    }
    cache->taken_bytes += more;
    return true;
}

/* Counts `bytes` more of a class as used; false when the process's budget has no more. */
MBI_HOT_INLINE bool cache_use(struct thread_cache *cache, size_t class, size_t bytes)
{
    size_t used_bytes = cache->used_bytes + bytes;
    if (MBI_UNLIKELY(used_bytes > cache->taken_bytes)
        && !cache_take_budget(cache, used_bytes - cache->taken_bytes)) {
        return false;
    }
    cache->used_bytes = used_bytes;
    cache->upper_bytes += class_is_upper(class) ? bytes : 0;
    return true;
}

/* Counts `bytes` less of a class as used. */
MBI_HOT_INLINE void cache_unuse(struct thread_cache *cache, size_t class, size_t bytes)
{
    cache->used_bytes -= bytes;
    cache->upper_bytes -= class_is_upper(class) ? bytes : 0;
    /* Otherwise when the window ends, if one ever does. */
    if (MBI_UNLIKELY(budget_is_crowded() || mbi_config.decay_ms < 0)) {
        mbi_transfer_give_back_unused(cache);
    }
}

void mbi_transfer_give_back_unused(struct thread_cache *cache)
{
    size_t spare = cache->taken_bytes - cache->used_bytes;
    if (spare >= (size_t)4 * BUDGET_PIECE_BYTES) {
        budget_give_back(&cache->taken_bytes, spare - BUDGET_PIECE_BYTES);
    }
}

/*
 * What a magazine holds first. Beyond their share upper classes' ones hold that, too, while the
 * thread has room: without it a class that others crowded out would take a lock for each request.
 */
enum { FIRST_ROUNDS_MAX = 8, FIRST_BYTES = 16 << 10 };

static size_t pool_first_rounds(const struct pool *pool)
{
    size_t rounds = size_min(FIRST_BYTES / pool->slot_bytes, FIRST_ROUNDS_MAX);
    return size_max(rounds, BATCH_ROUNDS_MIN);
}

/* Whether a magazine may hold `rounds`, `bytes` more than now, by the thread's own bounds. */
static bool cache_has_room(const struct thread_cache *cache, const struct pool *pool, size_t rounds,
                           size_t bytes)
{
    bool first = rounds <= pool_first_rounds(pool)
                 && cache->used_bytes + bytes <= mbi_config.thread_cache_bytes_max;
    return cache_has_share(cache, pool->class, bytes) || first;
}

/*
 * Lets the loaded magazine hold `rounds`, more than now; false when the budget, or the thread's
 * room for upper classes, has no more.
 */
static MBI_COLD bool cache_widen(struct thread_cache *cache, const struct pool *pool, size_t rounds)
{
    size_t class = pool->class;
    size_t bytes = (rounds - cache->capacity[class]) * pool->slot_bytes;
    if (!cache_has_room(cache, pool, rounds, bytes) || !cache_use(cache, class, bytes)) {
        return false;
    }
    cache->capacity[class] = (uint16_t)rounds;
    flag_set(&cache->idle, false);
    magazine_set_rounds_max(&cache->loaded[class], (uint16_t)rounds);
    return true;
}

/* Whether the process is crowded, also when one parked cache has given its part back. */
MBI_HOT_INLINE bool is_crowded(void)
{
    return MBI_UNLIKELY(budget_is_crowded())
           && (!mbi_parked_drain_oldest() || budget_is_crowded());
}

/* Lets the loaded magazine, which is smaller, hold a batch; false where the process is crowded. */
MBI_HOT_INLINE bool cache_widen_to_batch(struct thread_cache *cache, const struct pool *pool)
{
    assert(cache->capacity[pool->class] < pool->rounds);
    return !is_crowded() && cache_widen(cache, pool, pool->rounds);
}

/* Keeps a full magazine, whose bytes the caller has counted as used. */
static void cache_keep(struct thread_cache *cache, struct pool *pool, uint64_t chain)
{
    struct kept *kept = &cache->kept[pool->class];
    if (kept_depth(kept) != 0) {
        cache->extra_bytes += pool_batch_bytes(pool);
    }
    kept_push(kept, &pool->space, chain);
}

/* Takes the magazine kept last; there is one. */
static uint64_t cache_unkeep(struct thread_cache *cache, struct pool *pool)
{
    struct kept *kept = &cache->kept[pool->class];
    uint64_t chain = kept_pop(kept, &pool->space, pool->rounds);
    if (kept_depth(kept) != 0) {
        cache->extra_bytes -= pool_batch_bytes(pool);
    }
    cache_unuse(cache, pool->class, pool_batch_bytes(pool));
    return chain;
}

static MBI_COLD void cache_flush_one_kept(struct thread_cache *cache, struct pool *pool)
{
    uint64_t chain = cache_unkeep(cache, pool);
    cache_push_batch(cache, pool, chain);
}

/* After a magazine was kept or taken back: gives a spare one up. */
static void cache_end_swap(struct thread_cache *cache, struct pool *pool)
{
    if (MBI_UNLIKELY(kept_count_swap(&cache->kept[pool->class]))) {
        cache_flush_one_kept(cache, pool);
    }
}

/*
 * Fresh slots come in runs of a 32nd of what the thread has obtained of the class so far; the
 * first runs are of 8 slots, or of fewer that fill 1 KiB (docs/architecture.md, decision 9). Runs
 * are whole cache lines, so that two threads' fresh slots share none. Sorted slots come in runs as
 * large. Whatever the pool gives under its lock counts as obtained: it shows the same need.
 */
enum { RUN_SHARE = 32, FIRST_RUN_ROUNDS = 8, FIRST_RUN_BYTES = 1024 };

static size_t cache_run_rounds(const struct thread_cache *cache, const struct pool *pool)
{
    size_t first =
        size_max(size_min(FIRST_RUN_BYTES / pool->slot_bytes, FIRST_RUN_ROUNDS), 1);
    size_t rounds = size_max(first, cache->obtained[pool->class] / RUN_SHARE);
    return size_min(round_up(rounds, size_class_line_rounds(pool->class)), pool->rounds);
}

static MBI_COLD bool cache_obtain(struct thread_cache *cache, struct pool *pool)
{
    size_t wanted = cache_run_rounds(cache, pool);
    uint64_t chain;
    struct fresh_run run = mbi_pool_obtain(pool, wanted, &chain);
    if (run.rounds != 0) {
        chain = mbi_pool_link_run(pool, run);
    }
    if (wanted < pool->rounds) {
        uint32_t *obtained = &cache->obtained[pool->class];
        *obtained += (uint32_t)chain_rounds(chain);
    }
    magazine_set_chain(&cache->loaded[pool->class], chain);
    return chain != 0;
}

/*
 * The same where the process is crowded: as many slots as would be carved, of any kind, and at
 * least one, which the caller takes out at once.
 */
static MBI_COLD bool cache_obtain_few(struct thread_cache *cache, struct pool *pool)
{
    size_t class = pool->class;
    size_t rounds = cache_run_rounds(cache, pool);
    if (rounds > cache->capacity[class] && !cache_widen(cache, pool, rounds)) {
        rounds = size_max(cache->capacity[class], 1);
    }
    uint64_t chain = mbi_pool_take_up_to(pool, rounds);
    if (cache->obtained[class] < RUN_SHARE * pool->rounds) { /* these show need, too */
        cache->obtained[class] += (uint32_t)rounds;
    }
    magazine_set_chain(&cache->loaded[class], chain);
    return chain != 0;
}

/*
 * Has the lines of a batch come all at once, where its slots lie side by side, as those do that
 * were freed in the order in which they were allocated: one by one, each link has to come before
 * the slot behind it is known. Two links tell. What the thread itself kept of smaller slots the
 * processor fetches by itself; what comes from the centre lies in another one's caches (decisions 4
 * and 6 in docs/architecture.md). Inlined: gcc 12 drops calls of a function that only fetches.
 */
enum { FETCH_KEPT_SLOT_BYTES_MIN = 256, FETCH_ROUNDS_MAX = 256 };

MBI_HOT_INLINE void batch_fetch(const struct pool *pool, uint64_t chain)
{
    const struct slot *first = chain_first(chain);
    uintptr_t address = (uintptr_t)chain_first(first->rest);
    intptr_t step = (intptr_t)address - (intptr_t)first;
    intptr_t slot_bytes = (intptr_t)pool->slot_bytes;
    if (step == slot_bytes || step == -slot_bytes) {
        size_t fetched = size_min(pool->rounds, FETCH_ROUNDS_MAX); /* all, by default */
        size_t line_rounds = size_max(LINE_BYTES / pool->slot_bytes, 1);
        for (size_t rounds = 2; rounds < fetched; rounds += line_rounds) {
            address += (uintptr_t)(step * (intptr_t)line_rounds);
            __builtin_prefetch((const void *)address);
        }
    }
}

/* A batch that parked caches give, where the pool would have to commit a block; or 0. */
static MBI_COLD uint64_t cache_pop_parked(struct thread_cache *cache, struct pool *pool)
{
    return pool_needs_block(pool, pool->rounds) && mbi_parked_give_block(pool->class)
               ? cache_pop_batch(cache, pool)
               : 0;
}

bool mbi_transfer_refill_whole(struct thread_cache *cache, struct pool *pool)
{
    struct kept *kept = &cache->kept[pool->class];
    uint64_t chain;
    if (kept_depth(kept) != 0) {
        chain = cache_unkeep(cache, pool);
        cache_end_swap(cache, pool);
        if (pool->slot_bytes >= FETCH_KEPT_SLOT_BYTES_MIN) {
            batch_fetch(pool, chain);
        }
    } else {
        chain = cache_pop_batch(cache, pool);
        if (MBI_UNLIKELY(chain == 0)) {
            chain = cache_pop_parked(cache, pool);
        }
        if (MBI_UNLIKELY(chain == 0)) {
            return false;
        }
        kept_note_refill(kept);
        batch_fetch(pool, chain);
    }
    magazine_set_chain(&cache->loaded[pool->class], chain);
    return true;
}

/*
 * Whether the thread may have a batch. A small class's magazine is as large as one from the first
 * refill on. An upper class's grows with need: up to what comes, which is a run where the centre
 * has no batch, and what is freed.
 */
static bool cache_may_have_batch(struct thread_cache *cache, const struct pool *pool)
{
    size_t class = pool->class;
    if (MBI_LIKELY(cache->capacity[class] >= pool->rounds)) {
        return true;
    }
    if (!class_is_upper(class)) {
        return cache_widen_to_batch(cache, pool);
    }
    size_t bytes = (pool->rounds - (size_t)cache->capacity[class]) * pool->slot_bytes;
    return cache_has_share(cache, class, bytes) && !is_crowded();
}

/* After a refill, of which an upper class's magazine may hold less. */
MBI_HOT_INLINE void cache_widen_to_loaded(struct thread_cache *cache, const struct pool *pool)
{
    size_t rounds = chain_rounds(magazine_chain(&cache->loaded[pool->class]));
    if (MBI_UNLIKELY(rounds > cache->capacity[pool->class])) {
        (void)cache_widen(cache, pool, rounds); /* refused: it stays too long until it is used up */
    }
}

bool mbi_transfer_refill(struct thread_cache *cache, struct pool *pool)
{
    if (MBI_UNLIKELY(!cache_may_have_batch(cache, pool))) {
        return cache_obtain_few(cache, pool);
    }
    if (!mbi_transfer_refill_whole(cache, pool) && !cache_obtain(cache, pool)) {
        return false;
    }
    cache_widen_to_loaded(cache, pool);
    return true;
}

struct slot *mbi_transfer_take_zeroed(struct thread_cache *cache, struct pool *pool)
{
    if (!cache_may_have_batch(cache, pool)) {
        return NULL;
    }
    if (mbi_transfer_refill_whole(cache, pool)) {
        cache_widen_to_loaded(cache, pool);
        return NULL;
    }
    struct slot *slot = mbi_pool_take_zeroed(pool);
    uint32_t *obtained = &cache->obtained[pool->class];
    if (slot != NULL && *obtained < RUN_SHARE * pool->rounds) {
        ++*obtained;
    }
    return slot;
}

/*
 * Takes room, and the budget for it, for one more kept magazine; false when there is none. Upper
 * classes keep some while they use less than a quarter of their share: the rest is for loaded ones,
 * which every class needs, and which spare more.
 */
MBI_HOT_INLINE bool cache_take_room(struct thread_cache *cache, const struct pool *pool)
{
    const struct kept *kept = &cache->kept[pool->class];
    size_t depth = kept_depth(kept);
    size_t bytes = pool_batch_bytes(pool);
    if (!cache_has_share(cache, pool->class, bytes + mbi_config.upper_bytes_max / 4 * 3)) {
        return false;
    }
    if (depth != 0
        && (depth >= kept_depth_max(kept)
            || cache->extra_bytes + bytes > mbi_config.extra_bytes_max
            || is_crowded())) {
        return false;
    }
    return cache_use(cache, pool->class, bytes);
}

/*
 * Lets a magazine of large slots hold two batches, of which one stays when it is full. Of a few
 * slots each, magazines run full and empty all the time where objects are replaced at random: with
 * room on both sides the square of their rounds lies between two transfers, and not twice their
 * rounds. Only in the process's first thread while there is no other, which might have what lies in
 * the magazine; and where a batch has come back from the centre, and cannot be kept beside.
 */
static MBI_COLD bool cache_widen_to_two(struct thread_cache *cache, const struct pool *pool)
{
    return pool->slot_bytes > TWO_BATCHES_SLOT_BYTES && budget_is_of_one_thread()
           && cache->kept[pool->class].depth_more != 0
           && cache_widen(cache, pool, 2 * (size_t)pool->rounds);
}

/* Of a longer chain: cuts off the batch that was freed first. */
static uint64_t chain_cut_batch(const struct pool *pool, uint64_t *chain)
{
    return mbi_pool_cut(pool, chain, pool->rounds);
}

/*
 * Of a full magazine's chain: keeps a batch, or gives one to the centre; or the magazine may hold
 * more. Loads what stays.
 */
MBI_HOT_INLINE void cache_put_away(struct thread_cache *cache, struct pool *pool, uint64_t chain)
{
    struct kept *kept = &cache->kept[pool->class];
    struct magazine *loaded = &cache->loaded[pool->class];
    if (MBI_UNLIKELY(chain_rounds(chain) != pool->rounds)) {
        uint64_t batch = chain_cut_batch(pool, &chain);
        magazine_set_chain(loaded, chain);
        chain = batch;
    }
    if (cache_take_room(cache, pool)) {
        cache_keep(cache, pool, chain);
        cache_end_swap(cache, pool);
        return;
    }
    if (cache->capacity[pool->class] == pool->rounds && cache_widen_to_two(cache, pool)) {
        magazine_set_chain(loaded, chain);
        return;
    }
    if (kept_depth(kept) != 0) {
        uint64_t older = cache_unkeep(cache, pool);
        /* As much as was just given up; but other threads may have taken it. */
        if (cache_use(cache, pool->class, pool_batch_bytes(pool))) {
            cache_keep(cache, pool, chain);
            chain = older;
        } else {
            cache_push_batch(cache, pool, older);
        }
    }
    cache_push_batch(cache, pool, chain);
    kept_note_flush(kept);
}

bool mbi_transfer_make_room(struct thread_cache *cache, struct pool *pool,
                            const struct slot *next)
{
    size_t class = pool->class;
    struct magazine *loaded = &cache->loaded[class];
    size_t capacity = cache->capacity[class];
    if (magazine_rounds_max(loaded) != capacity) {
        magazine_set_rounds_max(loaded, (uint16_t)capacity);
    }
    if (chain_rounds(magazine_chain(loaded)) < capacity) {
        return true;
    }
    if (MBI_UNLIKELY(capacity < pool->rounds)) {
        size_t more = size_min(size_max(2 * capacity, pool_first_rounds(pool)), pool->rounds);
        if (class_is_upper(class) || !cache_widen_to_batch(cache, pool)) {
            (void)cache_widen(cache, pool, more);
        }
        capacity = cache->capacity[class];
        if (chain_rounds(magazine_chain(loaded)) < capacity) { /* else it was too long already */
            return true;
        }
    }
    if (mbi_cut_magazine(cache, pool, next)) {
        return true;
    }
    uint64_t chain = magazine_unload(loaded);
    if (chain_rounds(chain) >= pool->rounds) {
        cache_put_away(cache, pool, chain);
    } else if (chain != 0 && !mbi_pool_return_loose(pool, chain)) {
        /* Another thread forks. The magazine may hold more than its maximum, but no batch. */
        magazine_set_chain(loaded, chain);
        return true;
    }
    return capacity != 0;
}

bool mbi_transfer_flush_class(struct thread_cache *cache, size_t class)
{
    struct pool *pool = pool_at(class);
    while (kept_depth(&cache->kept[class]) != 0) {
        cache_flush_one_kept(cache, pool);
    }
    kept_init(&cache->kept[class]);
    /* Also where slots stay, as another thread forks: the next free makes room on its slow path. */
    magazine_set_rounds_max(&cache->loaded[class], 0);
    uint64_t chain = magazine_unload(&cache->loaded[class]);
    while (chain_rounds(chain) > pool->rounds) {
        cache_push_batch(cache, pool, chain_cut_batch(pool, &chain));
    }
    if (chain_rounds(chain) == pool->rounds) {
        cache_push_batch(cache, pool, chain);
    } else if (chain != 0 && !mbi_pool_return_loose(pool, chain)) {
        magazine_set_chain(&cache->loaded[class], chain);
        return false;
    }
    cache_unuse(cache, class, (size_t)cache->capacity[class] * pool->slot_bytes);
    cache->capacity[class] = 0;
    cache->obtained[class] = 0;
    return true;
}
