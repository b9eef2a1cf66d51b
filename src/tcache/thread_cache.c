/* thread_cache: the slow paths, where magazines are exchanged. */
#include "tcache/thread_cache.h"

#include "memorybucket/inline.h"

#include "core/config.h"
#include "core/decay.h"
#include "core/region.h"
#include "tcache/background.h"
#include "tcache/budget.h"

#include <errno.h>

const struct thread_cache mbi_cache_none = { .dense_base = REGION_NOWHERE };
const struct thread_cache mbi_cache_direct = { .dense_base = REGION_NOWHERE };

_Thread_local struct thread_cache *mbi_thread_cache
    __attribute__((tls_model("initial-exec"))) = (struct thread_cache *)&mbi_cache_none;

/*
 * The same variable for code that inlined the fast paths. The library keeps to its own hidden name:
 * with the drop-in preloaded into a program that is linked to this library, the public name is the
 * drop-in's.
 */
extern __thread struct mb_inline_cache *mb_inline_cache_v1
    __attribute__((alias("mbi_thread_cache")));

/*
 * The layout that programs were compiled with. Who changes a number here raises the one in the name
 * above: version 1 is these.
 */
_Static_assert(sizeof(struct magazine) == 16 && offsetof(struct magazine, chain) == 0
                   && offsetof(struct magazine, rounds_max) == 8,
               "magazines of version 1");
_Static_assert(offsetof(struct thread_cache, loaded) == 0
                   && offsetof(struct thread_cache, dense_base) == 1024 && SIZE_CLASS_COUNT == 64
                   && SIZE_STEP_BYTES == 8,
               "the thread cache of version 1");
_Static_assert(CHAIN_ROUNDS_BITS == 16 && DENSE_SHIFT == 26, "words and spans of version 1");
/* And inline.h says the same. */
_Static_assert(sizeof(struct mb_inline_magazine) == sizeof(struct magazine)
                   && offsetof(struct mb_inline_magazine, chain) == offsetof(struct magazine, chain)
                   && offsetof(struct mb_inline_magazine, rounds_max)
                          == offsetof(struct magazine, rounds_max)
                   && offsetof(struct mb_inline_cache, loaded)
                          == offsetof(struct thread_cache, loaded)
                   && offsetof(struct mb_inline_cache, dense_base)
                          == offsetof(struct thread_cache, dense_base)
                   && MB_POOL_COUNT == SIZE_CLASS_COUNT && MB_SMALL_MAX == SMALL_BYTES_MAX
                   && MB_INLINE_ROUNDS_BITS == CHAIN_ROUNDS_BITS
                   && MB_INLINE_DENSE_SHIFT == DENSE_SHIFT,
               "inline.h has another layout");

void mbi_thread_cache_init(struct thread_cache *cache)
{
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        magazine_set_chain(&cache->loaded[class], 0);
        magazine_set_rounds_max(&cache->loaded[class], 0);
        previous_init(&cache->previous[class]);
        cache->carved[class] = 0;
        cache->capacity[class] = 0;
    }
    cache->dense_base = region_dense_base();
    cache->extra_bytes = 0;
    cache->used_bytes = 0;
    cache->taken_bytes = 0;
    flag_set(&cache->asked, false);
    flag_set(&cache->idle, false);
    cache->active = true;
    cache->undisturbed = true;
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

static size_t magazine_bytes(const struct pool *pool)
{
    return pool->rounds * pool->slot_bytes;
}

/* Counts `bytes` more as used; false when the process's budget has no more. */
static bool thread_cache_use(struct thread_cache *cache, size_t bytes)
{
    size_t used_bytes = cache->used_bytes + bytes;
    if (used_bytes > cache->taken_bytes) {
        size_t missing = used_bytes - cache->taken_bytes;
        size_t more = round_up(missing, BUDGET_PIECE_BYTES);
        if (!mbi_budget_take(more)) {
            more = missing;
            if (!mbi_budget_take(more)) {
                return false;
            }
        }
        cache->taken_bytes += more;
    }
    cache->used_bytes = used_bytes;
    return true;
}

/* Gives the budget back what has not been used, but for a piece or two: it may be needed again. */
static void thread_cache_unuse(struct thread_cache *cache, size_t bytes)
{
    cache->used_bytes -= bytes;
    size_t spare = cache->taken_bytes - cache->used_bytes;
    if (spare >= 4 * BUDGET_PIECE_BYTES) {
        cache->taken_bytes -= spare - BUDGET_PIECE_BYTES;
        mbi_budget_return(spare - BUDGET_PIECE_BYTES);
    }
}

/* The loaded magazine may hold `rounds`, if the budget allows; more than now. */
static bool thread_cache_widen(struct thread_cache *cache, const struct pool *pool, size_t rounds)
{
    size_t class = pool->class;
    if (!thread_cache_use(cache, (rounds - cache->capacity[class]) * pool->slot_bytes)) {
        return false;
    }
    cache->capacity[class] = (uint16_t)rounds;
    magazine_set_rounds_max(&cache->loaded[class], (uint16_t)rounds);
    return true;
}

/* True when the loaded magazine may be as large as a batch, from now on if it was not so far. */
static bool thread_cache_open(struct thread_cache *cache, const struct pool *pool)
{
    return MBI_LIKELY(cache->capacity[pool->class] == pool->rounds)
           || (!mbi_budget_is_crowded() && thread_cache_widen(cache, pool, pool->rounds));
}

/* The caller has made sure that it may be used. */
static void thread_cache_keep(struct thread_cache *cache, struct pool *pool, uint64_t chain)
{
    struct previous *previous = &cache->previous[pool->class];
    if (previous_depth(previous) != 0) {
        cache->extra_bytes += magazine_bytes(pool);
    }
    previous_push(previous, &pool->space, chain);
}

/* The magazine kept last; there is one. */
static uint64_t thread_cache_unkeep(struct thread_cache *cache, struct pool *pool)
{
    struct previous *previous = &cache->previous[pool->class];
    uint64_t chain = previous_pop(previous, &pool->space, pool->rounds);
    if (previous_depth(previous) != 0) {
        cache->extra_bytes -= magazine_bytes(pool);
    }
    thread_cache_unuse(cache, magazine_bytes(pool));
    return chain;
}

static void thread_cache_flush_one_kept(struct thread_cache *cache, struct pool *pool)
{
    uint64_t chain = thread_cache_unkeep(cache, pool);
    mbi_pool_push_batch(pool, chain, &cache->transfers[pool->class]);
}

/* After a magazine was kept or taken back: gives one up that turned out to be superfluous. */
static void thread_cache_end_exchange(struct thread_cache *cache, struct pool *pool)
{
    if (MBI_UNLIKELY(previous_count_exchange(&cache->previous[pool->class]))) {
        thread_cache_flush_one_kept(cache, pool);
    }
}

/*
 * Fresh slots come in runs of a quarter of what the thread has carved of the class so far: one
 * which needs twenty objects touches the memory of a few more, and one which needs many soon gets
 * whole magazines. The first runs are of 8 slots, or of fewer that fill 1 KiB. Runs are whole cache
 * lines, so that none is shared by two threads' fresh slots.
 */
enum { RUN_SHARE = 4, FIRST_RUN_ROUNDS = 8, FIRST_RUN_BYTES = 1024 };
_Static_assert((RUN_SHARE + 1) * MAGAZINE_ROUNDS_MAX <= UINT16_MAX, "carved is counted that far");

static size_t thread_cache_run_rounds(const struct thread_cache *cache, const struct pool *pool)
{
    size_t first = FIRST_RUN_BYTES / pool->slot_bytes;
    size_t rounds = cache->carved[pool->class] / RUN_SHARE;
    if (first > FIRST_RUN_ROUNDS) {
        first = FIRST_RUN_ROUNDS;
    }
    rounds = round_up(rounds > first ? rounds : first, size_class_line_rounds(pool->class));
    return rounds < pool->rounds ? rounds : pool->rounds;
}

static bool thread_cache_obtain(struct thread_cache *cache, struct pool *pool)
{
    size_t wanted = thread_cache_run_rounds(cache, pool);
    uint64_t chain;
    struct slot_run run = mbi_pool_obtain(pool, wanted, &chain);
    if (run.rounds != 0) {
        chain = mbi_pool_link_run(pool, run);
        if (wanted < pool->rounds) {
            cache->carved[pool->class] = (uint16_t)(cache->carved[pool->class] + wanted);
        }
    }
    magazine_set_chain(&cache->loaded[pool->class], chain);
    return chain != 0;
}

/*
 * The same where the process is crowded: as many slots as would be carved, of whatever is there, and
 * at least one, which the caller takes out at once.
 */
static bool thread_cache_obtain_little(struct thread_cache *cache, struct pool *pool)
{
    size_t class = pool->class;
    size_t rounds = thread_cache_run_rounds(cache, pool);
    if (rounds > cache->capacity[class] && !thread_cache_widen(cache, pool, rounds)) {
        rounds = cache->capacity[class] != 0 ? cache->capacity[class] : 1;
    }
    uint64_t chain = mbi_pool_take_little(pool, rounds);
    if (rounds < pool->rounds) {
        cache->carved[class] = (uint16_t)(cache->carved[class] + rounds);
    }
    magazine_set_chain(&cache->loaded[class], chain);
    return chain != 0;
}

/* Fills the empty loaded magazine to the brim: with one that was kept, or from the centre. */
static bool thread_cache_refill_whole(struct thread_cache *cache, struct pool *pool)
{
    struct previous *previous = &cache->previous[pool->class];
    uint64_t chain;
    if (previous_depth(previous) != 0) {
        chain = thread_cache_unkeep(cache, pool);
        thread_cache_end_exchange(cache, pool);
    } else {
        chain = mbi_pool_pop_batch(pool, &cache->transfers[pool->class]);
        if (chain != 0) {
            previous_note_refill(previous);
        }
    }
    magazine_set_chain(&cache->loaded[pool->class], chain);
    return chain != 0;
}

static bool thread_cache_refill(struct thread_cache *cache, struct pool *pool)
{
    if (MBI_UNLIKELY(!thread_cache_open(cache, pool))) {
        return thread_cache_obtain_little(cache, pool);
    }
    return thread_cache_refill_whole(cache, pool) || thread_cache_obtain(cache, pool);
}

/* Behind the loaded magazine there is room, and the budget for it, for one more full one. */
static bool thread_cache_has_room(struct thread_cache *cache, const struct pool *pool)
{
    const struct previous *previous = &cache->previous[pool->class];
    size_t depth = previous_depth(previous);
    size_t bytes = magazine_bytes(pool);
    if (depth != 0
        && (depth >= previous->depth_max
            || cache->extra_bytes + bytes > mbi_config.extra_bytes_max
            || mbi_budget_is_crowded())) {
        return false;
    }
    return thread_cache_use(cache, bytes);
}

/* The loaded magazine's chain, which is as long as a batch, is kept or goes to the centre. */
static void thread_cache_put_away(struct thread_cache *cache, struct pool *pool, uint64_t chain)
{
    struct previous *previous = &cache->previous[pool->class];
    if (thread_cache_has_room(cache, pool)) {
        thread_cache_keep(cache, pool, chain);
        thread_cache_end_exchange(cache, pool);
        return;
    }
    if (previous_depth(previous) != 0) {
        uint64_t older = thread_cache_unkeep(cache, pool);
        /* As much as was just given up: but others may have been quicker. */
        if (thread_cache_use(cache, magazine_bytes(pool))) {
            thread_cache_keep(cache, pool, chain);
            chain = older;
        } else {
            mbi_pool_push_batch(pool, older, &cache->transfers[pool->class]);
        }
    }
    mbi_pool_push_batch(pool, chain, &cache->transfers[pool->class]);
    previous_note_flush(previous);
}

/*
 * Makes room in the loaded magazine, which looks full. It may only look so, as somebody asked for
 * it; it may be allowed to hold more; or it is emptied. False when the thread may not hold a single
 * slot of the class.
 */
static bool thread_cache_make_room(struct thread_cache *cache, struct pool *pool)
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
        size_t more = 2 * capacity > FIRST_RUN_ROUNDS ? 2 * capacity : FIRST_RUN_ROUNDS;
        if (thread_cache_open(cache, pool)
            || thread_cache_widen(cache, pool, more < pool->rounds ? more : pool->rounds)) {
            return true;
        }
    }
    uint64_t chain = magazine_unload(loaded);
    if (chain_rounds(chain) == pool->rounds) {
        thread_cache_put_away(cache, pool, chain);
    } else if (chain != 0) {
        mbi_pool_return_loose(pool, chain);
    }
    return capacity != 0;
}

void mbi_thread_cache_ask(struct thread_cache *cache)
{
    flag_set(&cache->asked, true);
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        magazine_set_rounds_max(&cache->loaded[class], 0);
    }
}

static MBI_COLD void thread_cache_comply(struct thread_cache *cache)
{
    flag_set(&cache->asked, false); /* first: who asks from now on is heard next time */
    mbi_thread_cache_flush(cache);
}

static MBI_COLD void thread_cache_decay(struct thread_cache *cache)
{
    if (flag_is_set(&mbi_background_wanted)) {
        (void)mbi_background_start(); /* whether it can or not: this is tried once */
    }
    cache->undisturbed = mbi_decay_poll() == UINT64_MAX;
}

/* What a thread does for others when it is off its fast path anyway. */
static void thread_cache_visit(struct thread_cache *cache)
{
    if (MBI_UNLIKELY(flag_is_set(&cache->asked))) {
        thread_cache_comply(cache);
    }
    if (MBI_UNLIKELY(pools_pending())) {
        thread_cache_decay(cache);
    }
}

struct uncached_large mbi_uncached_large;

void mbi_thread_cache_count_large(uint64_t allocs, uint64_t frees)
{
    if (allocs != 0) {
        (void)mbi_thread_cache_own();
    }
    struct thread_cache *cache = mbi_thread_cache;
    if (cache->active) {
        counter_add(&cache->large_allocs, allocs);
        counter_add(&cache->large_frees, frees);
        if (!cache->undisturbed) {
            thread_cache_decay(cache);
        }
        return;
    }
    /* relaxed [COUNT-SHARED]: many writers, so read-modify-writes; a statistic orders nothing. */
    atomic_fetch_add_explicit(&mbi_uncached_large.allocs, allocs, memory_order_relaxed);
    atomic_fetch_add_explicit(&mbi_uncached_large.frees, frees,
                              memory_order_relaxed); /* [COUNT-SHARED] */
}

MBI_COLD struct slot *mbi_thread_cache_take(size_t class)
{
    struct thread_cache *cache = mbi_thread_cache_own();
    struct slot *slot;
    if (MBI_UNLIKELY(cache == NULL)) {
        slot = mbi_pool_alloc_direct(&mbi_pools[class]);
    } else {
        struct magazine *loaded = &cache->loaded[class];
        slot = magazine_pop(loaded);
        if (slot == NULL) {
            thread_cache_visit(cache);
            if (thread_cache_refill(cache, &mbi_pools[class])) {
                slot = magazine_pop(loaded);
            }
        }
    }
    if (slot == NULL) {
        errno = ENOMEM;
    }
    return slot;
}

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
        uint64_t loose;
        struct slot_run run = mbi_pool_obtain(pool, pool->rounds, &loose);
        if (loose != 0) {
            magazine_set_chain(loaded, loose);
            done += thread_cache_unload_into(loaded, pool->rounds, out + done);
        } else if (run.rounds == 0) {
            break;
        }
        for (size_t round = 0; round < run.rounds; round++) {
            out[done++] = run.first + round * pool->slot_bytes;
        }
    }
    return done;
}

/* The class of a magazine of the calling thread's cache, constant or not. */
static size_t magazine_class(const struct magazine *loaded)
{
    return (size_t)(loaded - mbi_thread_cache->loaded);
}

MBI_COLD void *mbi_thread_cache_alloc_slow(const struct magazine *empty)
{
    int saved_errno = errno;
    size_t class = magazine_class(empty);
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

/*
 * A thread gets a cache when it allocates, or frees more often than glibc does on behalf of a
 * thread that has never allocated: after the last TSD round, when nobody would take the cache back.
 */
enum { FREES_WITHOUT_CACHE = 32 };
static _Thread_local unsigned frees_without_cache __attribute__((tls_model("initial-exec")));

static struct thread_cache *thread_cache_own_for_free(void)
{
    if (mbi_thread_cache == &mbi_cache_none && frees_without_cache < FREES_WITHOUT_CACHE) {
        frees_without_cache++;
        return NULL;
    }
    return mbi_thread_cache_own();
}

MBI_COLD void mbi_thread_cache_free_slow(void *pointer, const struct magazine *full)
{
    int saved_errno = errno;
    size_t class = magazine_class(full);
    struct thread_cache *cache = thread_cache_own_for_free();
    if (MBI_UNLIKELY(cache == NULL)) {
        mbi_pool_free_direct(&mbi_pools[class], pointer);
    } else {
        struct magazine *loaded = &cache->loaded[class];
        thread_cache_visit(cache);
        if (!magazine_push(loaded, pointer)) {
            if (MBI_LIKELY(thread_cache_make_room(cache, &mbi_pools[class]))) {
                /* Whatever rounds_max says, which somebody may have lowered again. */
                magazine_set_chain(loaded, chain_push(magazine_chain(loaded), pointer));
            } else {
                mbi_pool_free_direct(&mbi_pools[class], pointer);
            }
        }
    }
    errno = saved_errno;
}

void mbi_thread_cache_flush(struct thread_cache *cache)
{
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        struct pool *pool = &mbi_pools[class];
        while (previous_depth(&cache->previous[class]) != 0) {
            thread_cache_flush_one_kept(cache, pool);
        }
        previous_init(&cache->previous[class]);
        uint64_t chain = magazine_unload(&cache->loaded[class]);
        if (chain_rounds(chain) == pool->rounds) {
            mbi_pool_push_batch(pool, chain, &cache->transfers[class]);
        } else if (chain != 0) {
            mbi_pool_return_loose(pool, chain);
        }
        magazine_set_rounds_max(&cache->loaded[class], 0);
        cache->capacity[class] = 0;
        cache->carved[class] = 0;
    }
    mbi_budget_return(cache->taken_bytes);
    cache->used_bytes = 0;
    cache->taken_bytes = 0;
}

size_t mbi_thread_cache_rounds(const struct thread_cache *cache, size_t class)
{
    uint64_t loaded = magazine_chain(&cache->loaded[class]);
    size_t previous = previous_depth(&cache->previous[class]);
    return chain_rounds(loaded) + previous * mbi_pools[class].rounds;
}
