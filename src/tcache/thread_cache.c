/* thread_cache: a cache from its thread's first request to its last flush. */
#include "tcache/thread_cache.h"

#include "memorybucket/inline.h"

#include "core/centre.h"
#include "core/config.h"
#include "core/decay.h"
#include "tcache/budget.h"
#include "tcache/checked.h"
#include "tcache/transfer.h"

_Atomic bool mbi_checked;
struct bounded mbi_budget = { .most = BOUNDED_NONE };

#define CONSTANT_CACHE                                                                             \
    {                                                                                              \
        .dense_base = REGION_NOWHERE, .linear_bytes = SMALL_BYTES_MAX,                             \
        .pool_bytes = SMALL_BYTES_MAX, .counts = { .large_allocs = LARGE_PER_TURN - 1 }            \
    }
const struct thread_cache mbi_cache_none = CONSTANT_CACHE;
const struct thread_cache mbi_cache_direct = CONSTANT_CACHE;

_Thread_local struct thread_cache *mbi_thread_cache
    __attribute__((tls_model("initial-exec"))) = (struct thread_cache *)&mbi_cache_none;
_Thread_local struct thread_cache *mbi_fast_cache
    __attribute__((tls_model("initial-exec"))) = (struct thread_cache *)&mbi_cache_none;

/*
 * The same variable for code that inlined the fast paths. The library keeps to its own hidden name:
 * with the drop-in preloaded into a program that is linked to this library, the public name is the
 * drop-in's.
 */
extern __thread struct mb_inline_cache *mb_inline_cache_v3
    __attribute__((alias("mbi_fast_cache")));

/*
 * The layout that programs were compiled with: version 3. A change of a number here needs a higher
 * one in the name above.
 */
_Static_assert(sizeof(struct magazine) == 16 && offsetof(struct magazine, chain) == 0
                   && offsetof(struct magazine, rounds_max) == 8,
               "magazines of version 3");
_Static_assert(offsetof(struct thread_cache, loaded) == 0
                   && offsetof(struct thread_cache, dense_base) == 2448
                   && offsetof(struct thread_cache, linear_bytes) == 2456
                   && SIZE_CLASS_COUNT == 153 && SIZE_STEP_BYTES == 8,
               "the thread cache of version 3");
_Static_assert(CHAIN_ROUNDS_BITS == 16 && DENSE_SHIFT == 26, "words and spans of version 3");
/* And inline.h says the same. */
_Static_assert(sizeof(struct mb_inline_magazine) == sizeof(struct magazine)
                   && offsetof(struct mb_inline_magazine, chain) == offsetof(struct magazine, chain)
                   && offsetof(struct mb_inline_magazine, rounds_max)
                          == offsetof(struct magazine, rounds_max)
                   && offsetof(struct mb_inline_cache, loaded)
                          == offsetof(struct thread_cache, loaded)
                   && offsetof(struct mb_inline_cache, dense_base)
                          == offsetof(struct thread_cache, dense_base)
                   && offsetof(struct mb_inline_cache, linear_bytes)
                          == offsetof(struct thread_cache, linear_bytes)
                   && MB_POOL_COUNT == SIZE_CLASS_COUNT && MB_SMALL_MAX == SMALL_BYTES_MAX
                   && MB_INLINE_ROUNDS_BITS == CHAIN_ROUNDS_BITS
                   && MB_INLINE_DENSE_SHIFT == DENSE_SHIFT,
               "inline.h has another layout");

/* What a thread that is gone had of the class, as in a child of fork, is forgotten. */
static void clear_class(struct thread_cache *cache, size_t class)
{
    magazine_set_chain(&cache->loaded[class], 0);
    magazine_set_rounds_max(&cache->loaded[class], 0);
    kept_init(&cache->kept[class]);
    cache->obtained[class] = 0;
    cache->capacity[class] = 0;
}

static MBI_COLD void clear_classes(struct thread_cache *cache)
{
    for (size_t class = pools_next(0); class < SIZE_CLASS_COUNT; class = pools_next(class + 1)) {
        clear_class(cache, class);
    }
}

void mbi_thread_cache_init(struct thread_cache *cache)
{
    if (cache->listed) {
        clear_classes(cache);
    }
    cache->dense_base = region_base(SPAN_DENSE);
    cache->linear_bytes = size_min(mbi_config.pool_bytes_max, LINEAR_BYTES_MAX);
    cache->pool_bytes = mbi_config.pool_bytes_max;
    cache->extra_bytes = 0;
    cache->used_bytes = 0;
    cache->upper_bytes = 0;
    cache->taken_bytes = 0;
    cache->untold_bytes = 0;
    cache->windows = decay_windows();
    cache->looks_left_out = 0;
    cache->looked_ns = 0;
    cache->large_seen = 0;
    cache->sampling = (struct sampling){ .random = cache->sampling.random };
    flag_set(&cache->asked, false);
    flag_set(&cache->idle, false);
    thread_cache_set_thread(cache, 0);
    cache->active = true;
    cache->busy = false;
    cache->exit_seen = false;
    cache->listed = false;
    flag_set(&cache->parked, false);
}

struct thread_cache *mbi_thread_cache_ensure(void)
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
    struct thread_cache *cache = mbi_thread_cache;
    if (MBI_UNLIKELY(!cache->active)) {
        cache = mbi_thread_cache_ensure();
    }
    if (MBI_UNLIKELY(cache == NULL || cache->busy)) {
        mbi_lock_restore_cancel(cancel_type);
        return NULL;
    }
    cache->cancel_type = cancel_type;
    cache->busy = true;
    return cache;
}

void mbi_thread_cache_interrupt(struct thread_cache *cache)
{
    for (size_t class = pools_next(0); class < SIZE_CLASS_COUNT; class = pools_next(class + 1)) {
        magazine_set_rounds_max(&cache->loaded[class], 0);
    }
}

void mbi_thread_cache_ask(struct thread_cache *cache)
{
    flag_set(&cache->asked, true);
    mbi_thread_cache_interrupt(cache);
}

bool mbi_thread_cache_flush(struct thread_cache *cache)
{
    bool all = true;
    bool was_busy = cache->busy; /* on a slow path, or cancelled there */
    cache->busy = true;
    for (size_t class = pools_next(0); class < SIZE_CLASS_COUNT; class = pools_next(class + 1)) {
        if (cache->capacity[class] != 0 || mbi_thread_cache_rounds(cache, class) != 0) {
            all &= mbi_transfer_flush_class(cache, class);
        }
    }
    if (cache->used_bytes == 0) { /* nothing stayed */
        assert(cache->extra_bytes == 0);
        budget_give_back(&cache->taken_bytes, cache->taken_bytes);
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
        centre_tell(cache->untold_bytes);
        cache->untold_bytes = 0;
    }
}

size_t mbi_thread_cache_rounds(const struct thread_cache *cache, size_t class)
{
    size_t kept_rounds = (size_t)kept_depth(&cache->kept[class]) * pool_at(class)->rounds;
    return kept_rounds + chain_rounds(magazine_chain(&cache->loaded[class]));
}
