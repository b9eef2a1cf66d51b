/*
 * api: what the mb_ calls and the drop-in's malloc have in common.
 *
 * Ladder: above tcache. Callers: api.c, batch.c, dropin/.
 *
 * They differ only in the size class that serves a size (enum class_rule). The rule is a constant
 * at each call, so the compiler folds it.
 */
#ifndef MEMORYBUCKET_API_H
#define MEMORYBUCKET_API_H

#include "check/check.h"
#include "core/config.h"
#include "core/copies.h"
#include "core/large.h"
#include "core/os.h"
#include "core/region.h"
#include "tcache/startup.h"
#include "tcache/thread_cache.h"

#include <errno.h>
#include <string.h>

enum class_rule {
    CLASS_TIGHT,       /* mb_ calls: the smallest slot that holds the request */
    CLASS_ABI_ALIGNED, /* malloc: aligned to 16 bytes, as slots of odd classes are */
};

MBI_HOT_INLINE size_t api_class_offset_of(size_t size, enum class_rule rule)
{
    return rule == CLASS_TIGHT ? size_class_offset_of(size)
                               : size_class_offset_of_abi_aligned(size);
}

/* `alignment` is a power of two. */
void *mbi_api_aligned_alloc(size_t alignment, size_t size);

/* More than linear pools serve, as far as the thread knows; the product does not overflow. */
void *mbi_api_calloc_large(size_t count, size_t size, enum class_rule rule);

/*
 * Off the fast path: size 0, a thread without a cache, a large request whose turn it is to do a
 * step of decay, an object of another copy of the library. What is freed is not NULL.
 */
void *mbi_api_alloc_slow(size_t size, enum class_rule rule);
void mbi_api_free_slow(void *pointer, size_t size);

/* Also off the fast path: NULL, an object outside the dense tier, or a thread without a cache. */
void *mbi_api_realloc_slow(void *old, size_t size, enum class_rule rule);
size_t mbi_api_usable_bytes_slow(const void *pointer);

/*
 * What is not in the linear pools, and foreign pointers: off the fast path, but in place, with a
 * tail call.
 */
MBI_HOT_INLINE void *api_alloc_large(struct thread_cache *cache, size_t size, enum class_rule rule)
{
    if (size - 1 < cache->pool_bytes) {
        return thread_cache_alloc(size_class_of_doubling(size), size);
    }
    if (MBI_UNLIKELY(size == 0 || thread_cache_is_large_turn(cache))) { /* or there is no cache */
        return mbi_api_alloc_slow(size, rule);
    }
    counter_add(&cache->counts.large_allocs, 1);
    return mbi_large_alloc(size);
}

MBI_HOT_INLINE void api_free_foreign(struct thread_cache *cache, void *pointer, size_t size)
{
    if (pointer == NULL) { /* programs free what may be none */
        return;
    }
    if (MBI_UNLIKELY(!flag_is_set(&cache->passes_on)) || region_is_in_places(pointer)) {
        mbi_api_free_slow(pointer, size);
        return;
    }
    counter_add(&cache->counts.large_frees, 1);
    mbi_large_free(pointer);
}

MBI_HOT_INLINE void *api_alloc(size_t size, enum class_rule rule)
{
    struct thread_cache *cache = mbi_fast_cache;
    if (MBI_UNLIKELY(size - 1 >= cache->linear_bytes)) {
        return api_alloc_large(cache, size, rule);
    }
    return thread_cache_alloc_at(api_class_offset_of(size, rule), size);
}

/* `size` is the caller's hint, or CHECKED_SIZE_UNKNOWN; only checked mode looks at it. */
MBI_HOT_INLINE void api_free_sized(void *pointer, size_t size)
{
    struct thread_cache *cache = mbi_fast_cache;
    size_t class = region_dense_class_of(pointer, cache->dense_base);
    if (MBI_UNLIKELY(class >= SIZE_CLASS_COUNT)) {
        if (!region_is_in_wide(pointer, &class)) {
            api_free_foreign(cache, pointer, size);
            return;
        }
    }
    thread_cache_free(cache, pointer, class, size);
}

MBI_HOT_INLINE void api_free(void *pointer)
{
    api_free_sized(pointer, CHECKED_SIZE_UNKNOWN);
}

MBI_HOT_INLINE void *api_calloc(size_t count, size_t size, enum class_rule rule)
{
    size_t bytes;
    if (MBI_UNLIKELY(__builtin_mul_overflow(count, size, &bytes))) {
        errno = ENOMEM;
        return NULL;
    }
    if (bytes > mbi_fast_cache->linear_bytes) {
        return mbi_api_calloc_large(count, size, rule);
    }
    void *pointer = api_alloc(bytes, rule);
    return pointer != NULL ? memset(pointer, 0, bytes) : NULL;
}

/* Whether a pointer of this class is a slot: beyond what was carved it may be foreign. */
static inline bool api_is_slot(const void *pointer, size_t class)
{
    return class < SIZE_CLASS_COUNT && slot_space_has(&pool_at(class)->space, pointer);
}

static inline size_t api_usable_bytes(const void *pointer)
{
    size_t class = region_dense_class_of(pointer, mbi_thread_cache->dense_base);
    return MBI_LIKELY(api_is_slot(pointer, class)) ? pool_at(class)->slot_bytes
                                                : mbi_api_usable_bytes_slow(pointer);
}

/* There is no memory to move an object: one that shrinks stays, which is a success. */
static inline void *api_stay(void *old, size_t old_bytes, size_t size, int saved_errno)
{
    if (size > old_bytes) {
        return NULL;
    }
    errno = saved_errno;
    return old;
}

/*
 * An object that grows once may grow on. Up to 1,024 bytes it gets a slot of the next quarter of a
 * doubling, or multiple of 32 bytes, and beyond one of the next half: so a buffer that grows a byte
 * at a time is not moved for each class, and leaves fewer free slots of different classes behind.
 */
static inline size_t api_size_to_grow_to(size_t size, size_t bytes_max)
{
    const size_t step_min = 32;
    if (size <= step_min / 2 || size > bytes_max) { /* it must fill more than half of its slot */
        return size;
    }
    size_t half = ((size_t)1 << (63 - __builtin_clzll(size - 1))) / 2;
    size_t step = size > LINEAR_BYTES_MAX ? half : half / 2;
    return size_min(round_up(size, size_max(step, step_min)), bytes_max);
}

/* Moves an object of `old_bytes` to a new place. One that shrinks may stay when memory is short. */
static inline void *api_move(void *old, size_t old_bytes, size_t size, enum class_rule rule)
{
    assert(old != NULL);
    int saved_errno = errno;
    size_t roomy = size > old_bytes ? api_size_to_grow_to(size, mbi_config.pool_bytes_max) : size;
    void *pointer = api_alloc(roomy, rule);
    if (MBI_UNLIKELY(pointer == NULL) && roomy != size) { /* a pool may have exactly this */
        pointer = api_alloc(size, rule);
        errno = pointer != NULL ? saved_errno : ENOMEM;
    }
    if (MBI_UNLIKELY(pointer == NULL)) {
        return api_stay(old, old_bytes, size, saved_errno);
    }
    memcpy(pointer, old, size_min(size, old_bytes));
    api_free(old);
    return pointer;
}

/* The class of a size that pools serve. */
static inline size_t api_class_of(size_t size, enum class_rule rule)
{
    return size <= LINEAR_BYTES_MAX ? size_class_from_offset(api_class_offset_of(size, rule))
                                    : size_class_of_doubling(size);
}

/* How an object that pools serve is aligned: to 8 or 16. */
static inline size_t api_alignment_in_pool(size_t size, enum class_rule rule)
{
    return size_class_promised_alignment_bytes(api_class_of(size, rule));
}

/*
 * An object stays while it fits its slot, uses more than half of it, and is aligned; and where it
 * would get a slot of the same class.
 */
static inline bool api_stays(size_t slot_bytes, size_t class, size_t size, enum class_rule rule)
{
    if (size - 1 < mbi_config.pool_bytes_max && api_class_of(size, rule) == class) {
        return true;
    }
    return size <= slot_bytes && size > slot_bytes / 2
           && slot_bytes % api_alignment_in_pool(size, rule) == 0;
}

/* Out of line, so that api_realloc saves no registers for it. */
static __attribute__((noinline)) void *api_realloc_slot(void *old, size_t class, size_t size,
                                                        enum class_rule rule)
{
    size_t slot_bytes = pool_at(class)->slot_bytes;
    if (api_stays(slot_bytes, class, size, rule)) {
        return old;
    }
    if (MBI_UNLIKELY(!slot_space_has_start(&pool_at(class)->space, old))) {
        mbi_thread_cache_refuse(pool_at(class), old);
    }
    return api_move(old, slot_bytes, size, rule);
}

/* What a buffer meets that grows a little at a time: no class is computed of its size. */
static inline bool api_stays_plainly(size_t slot_bytes, size_t size)
{
    return size <= slot_bytes && size > slot_bytes / 2 && slot_bytes % ABI_ALIGNMENT_BYTES == 0;
}

static inline void *api_realloc(void *old, size_t size, enum class_rule rule)
{
    size_t class = region_dense_class_of(old, mbi_thread_cache->dense_base);
    if (MBI_UNLIKELY(class >= SIZE_CLASS_COUNT)) {
        return mbi_api_realloc_slow(old, size, rule);
    }
    const struct pool *pool = pool_at(class);
    if (MBI_UNLIKELY(!slot_space_has_in_first(&pool->space, old))) {
        return mbi_api_realloc_slow(old, size, rule);
    }
    return MBI_LIKELY(api_stays_plainly(pool->slot_bytes, size))
               ? old
               : api_realloc_slot(old, class, size, rule);
}

#endif
