/* thread_cache: the slow paths, where magazines are exchanged. */
#include "tcache/thread_cache.h"

#include "memorybucket/inline.h"

#include "core/centre.h"
#include "core/config.h"
#include "core/decay.h"
#include "core/large.h"
#include "core/os.h"
#include "core/region.h"
#include "tcache/background.h"
#include "tcache/budget.h"
#include "tcache/checked.h"
#include "tcache/exchange.h"

#include <errno.h>
#include <stdlib.h>

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
        cache->obtained[class] = 0;
        cache->capacity[class] = 0;
    }
    cache->dense_base = region_base(SPAN_DENSE);
    cache->extra_bytes = 0;
    cache->used_bytes = 0;
    cache->taken_bytes = 0;
    cache->untold_bytes = 0;
    cache->windows = decay_windows();
    cache->large_seen = 0;
    flag_set(&cache->asked, false);
    flag_set(&cache->idle, false);
    cache->active = true;
    cache->busy = false;
    cache->exit_seen = false;
    cache->listed = false;
}

struct thread_cache *mbi_thread_cache_own(void)
{
    if (MBI_UNLIKELY(mbi_thread_cache == &mbi_cache_none)) {
        (void)mbi_thread_start();
    }
    struct thread_cache *cache = mbi_thread_cache;
    return MBI_LIKELY(cache->active) ? cache : NULL;
}

struct thread_cache *mbi_thread_cache_begin_slow(void)
{
    int cancel_type = mbi_lock_defer_cancel();
    struct thread_cache *cache = mbi_thread_cache_own();
    if (MBI_UNLIKELY(cache == NULL || cache->busy)) {
        mbi_lock_restore_cancel(cancel_type);
        return NULL;
    }
    cache->cancel_type = cancel_type;
    cache->busy = true;
    return cache;
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
    (void)mbi_thread_cache_flush(cache);
}

/*
 * A number that changes, most likely, when magazines of the class are used. It is the same again
 * when objects are freed in the opposite order of their allocation; what is given up by mistake
 * comes back with one exchange.
 */
static uint32_t thread_cache_state_of(const struct thread_cache *cache, size_t class)
{
    const struct previous *previous = &cache->previous[class];
    uint64_t chain = magazine_chain(&cache->loaded[class]);
    return (uint32_t)chain ^ (uint32_t)(chain >> 32) ^ previous->top ^ previous->exchanges;
}

/* A window has ended: gives up the classes that this thread has not used while it lasted. */
static MBI_COLD void thread_cache_end_window(struct thread_cache *cache)
{
    cache->windows = decay_windows();
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        if (cache->capacity[class] != 0
            && thread_cache_state_of(cache, class) == cache->state[class]) {
            (void)mbi_exchange_flush_class(cache, class);
        }
        cache->state[class] = thread_cache_state_of(cache, class);
    }
}

/* Whether this thread has large objects come and go, and what the next allocator keeps of them. */
static void thread_cache_look_at_large(struct thread_cache *cache)
{
    const struct thread_counts *counts = &cache->counts;
    uint64_t large = counter_read(&counts->large_allocs) + counter_read(&counts->large_frees);
    if (large - cache->large_seen >= LARGE_PER_LOOK) {
        cache->large_seen = large;
        mbi_large_note_use();
    } else if (MBI_UNLIKELY(large_keeps())) {
        mbi_large_decay();
    }
}

/* What a thread does for others when it is off its fast path anyway. */
static void thread_cache_visit(struct thread_cache *cache)
{
    if (MBI_UNLIKELY(cache->windows != decay_windows())) {
        thread_cache_end_window(cache);
    }
    if (MBI_UNLIKELY(flag_is_set(&cache->asked))) {
        thread_cache_comply(cache);
    }
    if (MBI_UNLIKELY(pools_pending())) {
        (void)mbi_decay_poll();
    }
    if (MBI_UNLIKELY(pools_have_deferred())) {
        mbi_pools_free_deferred();
    }
    thread_cache_look_at_large(cache);
}

struct thread_counts mbi_uncached_counts;

void mbi_thread_cache_count_large(uint64_t allocs, uint64_t frees)
{
    if (allocs != 0) {
        if (background_is_lost()) {
            mbi_background_come_back();
        }
        (void)mbi_thread_cache_own();
    }
    struct thread_cache *cache = mbi_thread_cache;
    if (cache->active) {
        if (allocs != 0 && thread_cache_looks_around(cache)) {
            mbi_large_note_use();
            if (pools_pending()) {
                (void)mbi_decay_poll();
            }
        }
        counter_add(&cache->counts.large_allocs, allocs);
        counter_add(&cache->counts.large_frees, frees);
        return;
    }
    /* relaxed [COUNT-SHARED]: many writers, so read-modify-writes; a statistic orders nothing. */
    atomic_fetch_add_explicit(&mbi_uncached_counts.large_allocs, allocs, memory_order_relaxed);
    atomic_fetch_add_explicit(&mbi_uncached_counts.large_frees, frees,
                              memory_order_relaxed); /* [COUNT-SHARED] */
}

/* For a thread without a cache: it may have none because the library has not come up. */
static bool library_is_up(void)
{
    return mbi_thread_cache != &mbi_cache_none || mbi_thread_start();
}

MBI_COLD struct slot *mbi_thread_cache_take(size_t class)
{
    struct thread_cache *cache = mbi_thread_cache_begin_slow();
    struct slot *slot = NULL;
    if (MBI_UNLIKELY(cache == NULL)) {
        slot = library_is_up() ? mbi_pool_alloc_direct(&mbi_pools[class]) : NULL;
    } else {
        struct magazine *loaded = &cache->loaded[class];
        slot = magazine_pop(loaded);
        if (slot == NULL) {
            thread_cache_visit(cache);
            if (MBI_UNLIKELY(magazine_chain(loaded) != 0)) {
                /* It counts slots and has none. */
                mbi_slot_space_corrupted(&mbi_pools[class].space, magazine_chain(loaded));
            }
            if (mbi_exchange_refill(cache, &mbi_pools[class])) {
                slot = magazine_pop(loaded);
            }
        }
        thread_cache_end_slow(cache);
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
    struct thread_cache *cache = mbi_thread_cache_begin_slow();
    if (cache == NULL) {
        return 0;
    }
    struct pool *pool = &mbi_pools[class];
    struct magazine *loaded = &cache->loaded[class];
    size_t done = thread_cache_unload_into(loaded, count, out);
    while (count - done >= pool->rounds && mbi_exchange_refill_whole(cache, pool)) {
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
        mbi_pool_touch_run(pool, run);
        for (size_t round = 0; round < run.rounds; round++) {
            struct slot *slot = (struct slot *)(void *)(run.first + round * pool->slot_bytes);
            pool_expect_fresh(pool, slot->rest);
            out[done++] = slot;
        }
    }
    thread_cache_end_slow(cache);
    return done;
}

/* The class of a magazine of the calling thread's cache, constant or not. */
static size_t magazine_class(const struct magazine *loaded)
{
    return (size_t)(loaded - mbi_thread_cache->loaded);
}

/*
 * Guests: the drop-in serves a process's first requests of a size from the pool of the next power
 * of two. A pool's first slot costs a system call, a page and a page of page tables, some 8 us and
 * 8 KiB, and most of what starts needs few objects of most sizes: perl -e 1 uses 24 of them, and 19
 * for up to eight objects. With more than GUESTS_MAX guests no fewer pools were used; with so many
 * 1,000 live objects of random sizes take no more memory than before there were any.
 *
 * relaxed [GUESTS]: what is lost when two threads count at the same time makes a guest more.
 */
enum { GUESTS_MAX = 8 };
static _Atomic uint8_t guests[SIZE_CLASS_COUNT];

/* The class that serves a request of a size, while its own pool has nothing yet. */
static size_t thread_cache_host_of(size_t class)
{
    if (!LARGE_IS_ALL_OURS || slot_space_is_carved(&mbi_pools[class].space)) {
        return class;
    }
    uint8_t count = atomic_load_explicit(&guests[class], memory_order_relaxed); /* [GUESTS] */
    if (count == GUESTS_MAX) {
        return class;
    }
    atomic_store_explicit(&guests[class], (uint8_t)(count + 1), memory_order_relaxed); /* [GUESTS] */
    return size_class_of(size_class_power_of_two_bytes(class));
}

MBI_COLD void *mbi_thread_cache_alloc_slow(size_t size_bytes, const struct magazine *empty)
{
    int saved_errno = errno;
    size_t class = magazine_class(empty); /* now: the thread may get a cache below */
    if (background_is_lost()) {
        mbi_background_come_back();
    }
    if (MBI_UNLIKELY(!mbi_thread_cache->active) && mbi_thread_cache_own() == NULL
        && checked_is_on()) {
        return mbi_check_alloc(size_bytes, size_class_promised_alignment_bytes(class));
    }
    size_t host = thread_cache_host_of(class);
    void *pointer = mbi_thread_cache_take(host);
    if (MBI_UNLIKELY(pointer == NULL) && host != class) {
        pointer = mbi_thread_cache_take(class);
    }
    if (MBI_UNLIKELY(pointer == NULL)) {
        pointer = mbi_thread_cache_spill(class, size_class_promised_alignment_bytes(class));
    }
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

static struct thread_cache *thread_cache_begin_slow_free(void)
{
    if (mbi_thread_cache == &mbi_cache_none && frees_without_cache < FREES_WITHOUT_CACHE) {
        frees_without_cache++;
        return NULL;
    }
    return mbi_thread_cache_begin_slow();
}

MBI_COLD void mbi_thread_cache_refuse(const struct pool *pool, const void *pointer)
{
    uint32_t unit = slot_space_unit(&pool->space, slot_space_number(&pool->space, pointer));
    mbi_message("invalid free: %p lies %zu bytes into an object of pool %u (%zu bytes)", pointer,
                (size_t)unit * SLOT_UNIT_BYTES % pool->slot_bytes
                    + (uintptr_t)pointer % SLOT_UNIT_BYTES,
                pool->class, pool->slot_bytes);
    abort();
}

/* A pointer into the pool's spans that is no slot of it: if anybody's, somebody else's. */
static MBI_COLD void free_foreign(struct pool *pool, void *pointer)
{
    int saved_errno = errno;
    size_t into;
    if (slot_space_has(&pool->space, pointer)) {
        mbi_thread_cache_refuse(pool, pointer);
    }
    if (mbi_pool_locate(pool, pointer, &into) != POOL_NOT_MAPPED || !mbi_os_is_mapped(pointer)) {
        mbi_message("invalid free: %p lies in pool %u (%zu bytes), which has not got that far",
                    pointer, pool->class, pool->slot_bytes);
        abort();
    }
    mbi_thread_cache_count_large(0, 1);
    mbi_large_free(pointer);
    errno = saved_errno;
}

/* What the thread freed last. */
static MBI_COLD _Noreturn void free_again(const struct pool *pool, const void *pointer)
{
    mbi_message("double free: %p, of pool %u (%zu bytes), was freed before; MB_CHECK=1 finds out "
                "where",
                pointer, pool->class, pool->slot_bytes);
    abort();
}

MBI_COLD void mbi_thread_cache_free_slow(void *pointer, const struct magazine *full,
                                         size_t size_bytes)
{
    if (!mbi_thread_cache->active && checked_is_on()) {
        mbi_check_free(pointer, size_bytes);
        return;
    }
    int saved_errno = errno;
    size_t class = magazine_class(full);
    if (MBI_UNLIKELY(!slot_space_has_start(&mbi_pools[class].space, pointer))) {
        free_foreign(&mbi_pools[class], pointer);
        return;
    }
    if (MBI_UNLIKELY(pointer == chain_first(magazine_chain(full)))) {
        free_again(&mbi_pools[class], pointer);
    }
    struct thread_cache *cache = thread_cache_begin_slow_free();
    if (MBI_UNLIKELY(cache == NULL)) {
        mbi_pool_free_direct(&mbi_pools[class], pointer);
    } else {
        struct magazine *loaded = &cache->loaded[class];
        thread_cache_visit(cache);
        if (!magazine_push(loaded, pointer)) {
            if (MBI_LIKELY(mbi_exchange_make_room(cache, &mbi_pools[class]))) {
                /* Whatever rounds_max says, which somebody may have lowered again. */
                magazine_set_chain(loaded, chain_push(magazine_chain(loaded), pointer));
            } else {
                mbi_pool_free_direct(&mbi_pools[class], pointer);
            }
        }
        thread_cache_end_slow(cache);
    }
    errno = saved_errno;
}

bool mbi_thread_cache_flush(struct thread_cache *cache)
{
    bool all = true;
    bool was_busy = cache->busy; /* on a slow path, or cancelled there */
    cache->busy = true;
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        if (cache->capacity[class] != 0 || mbi_thread_cache_rounds(cache, class) != 0) {
            all &= mbi_exchange_flush_class(cache, class);
        }
    }
    if (cache->used_bytes == 0) { /* nothing stayed */
        assert(cache->extra_bytes == 0);
        mbi_budget_return(cache->taken_bytes);
        cache->taken_bytes = 0;
    }
    mbi_thread_cache_tell(cache);
    cache->busy = was_busy;
    return all;
}

void mbi_thread_cache_flush_own(void)
{
    struct thread_cache *cache = mbi_thread_cache->active ? mbi_thread_cache_begin_slow() : NULL;
    if (cache != NULL) {
        (void)mbi_thread_cache_flush(cache);
        thread_cache_end_slow(cache);
    }
}

void mbi_thread_cache_tell(struct thread_cache *cache)
{
    if (cache->untold_bytes != 0) {
        mbi_centre_tell(cache->untold_bytes);
        cache->untold_bytes = 0;
    }
}

size_t mbi_thread_cache_rounds(const struct thread_cache *cache, size_t class)
{
    uint64_t loaded = magazine_chain(&cache->loaded[class]);
    size_t previous = previous_depth(&cache->previous[class]);
    return chain_rounds(loaded) + previous * mbi_pools[class].rounds;
}
