/* slow_path: an allocation that finds no slot in its magazine, a free that finds no room. */
#include "core/config.h"
#include "core/large.h"
#include "core/os.h"
#include "core/region.h"
#include "core/upcalls.h"
#include "tcache/background.h"
#include "tcache/checked.h"
#include "tcache/sampling.h"
#include "tcache/thread_cache.h"
#include "tcache/transfer.h"

#include <errno.h>
#include <stdlib.h>

/* Of the loaded magazine, once it has some; the class may be one that no thread has used yet. */
MBI_HOT_INLINE struct slot *thread_cache_take_loaded(struct thread_cache *cache, size_t class)
{
    struct magazine *loaded = &cache->loaded[class];
    struct sampling *sampling = &cache->sampling;
    struct slot *slot = magazine_pop(loaded);
    sampling->due = false;
    if (slot == NULL) {
        mbi_thread_cache_do_chores(cache);
        if (MBI_UNLIKELY(magazine_chain(loaded) != 0)) {
            /* The word counts slots, and has no address. */
            mbi_slot_space_corrupted(&pool_at(class)->space, magazine_chain(loaded));
        }
        struct pool *pool = pool_for_use(class);
        if (pool == NULL || !mbi_transfer_refill(cache, pool)) {
            return NULL;
        }
        sampling_next(cache);
        slot = magazine_pop(loaded);
    } else if (MBI_UNLIKELY(!sampling_is_current(sampling))) {
        sampling_next(cache); /* else a thread that moves in circles would stay covered for ever */
    }
    if (MBI_UNLIKELY(sampling->counted)) {
        sampling->due = sampling_count(sampling, &mbi_cache_covered.loaded[class]);
    }
    return slot;
}

/* Of a thread without a cache; it may have none because the library is not up. */
static MBI_COLD struct slot *take_uncached(size_t class)
{
    bool is_up = mbi_thread_cache != &mbi_cache_none || mbi_thread_start();
    struct pool *pool = is_up ? pool_for_use(class) : NULL;
    return pool != NULL ? chain_first(mbi_pool_take_up_to(pool, 1)) : NULL;
}

struct slot *mbi_thread_cache_take(size_t class)
{
    struct thread_cache *cache = mbi_thread_cache_begin_slow();
    struct slot *slot = NULL;
    if (MBI_UNLIKELY(cache == NULL)) {
        slot = take_uncached(class);
    } else {
        slot = thread_cache_take_loaded(cache, class);
        thread_cache_end_slow(cache);
    }
    if (MBI_UNLIKELY(slot == NULL)) {
        errno = ENOMEM;
    }
    return slot;
}

struct slot *mbi_thread_cache_take_zeroed(size_t class)
{
    const struct thread_cache *own = mbi_thread_cache;
    if (!own->active || magazine_chain(&own->loaded[class]) != 0
        || sampling_concerns(own)) { /* any request may be a sample */
        return NULL;
    }
    int saved_errno = errno;
    struct thread_cache *cache = mbi_thread_cache_begin_slow();
    struct slot *slot = NULL;
    if (cache != NULL) {
        mbi_thread_cache_do_chores(cache);
        struct pool *pool = pool_for_use(class);
        slot = pool != NULL ? mbi_transfer_take_zeroed(cache, pool) : NULL;
        thread_cache_end_slow(cache);
    }
    errno = saved_errno;
    return slot;
}

/* The class of a magazine of a cache, constant or not. */
static inline size_t magazine_class(const struct thread_cache *cache,
                                    const struct magazine *loaded)
{
    return (size_t)(loaded - cache->loaded);
}

/*
 * Guests: the drop-in serves a process's first requests of a size from the pool of the next power
 * of two (docs/architecture.md, decision 9). With more than GUESTS_MAX guests of a size no fewer
 * pools were used. Nor do they take more than a page: an own pool would take no more. A host gets
 * HOSTED_MAX in all: a process that has more uses that many sizes for long, and then what the
 * guests left lies idle in the host. (Without this bound 1,000 live objects of up to 1,000 bytes
 * took 3,340 KiB instead of 3,210.)
 *
 * relaxed [GUESTS]: two threads that count at the same time make one guest more.
 */
enum { GUESTS_MAX = 8, GUESTS_BYTES_MAX = 4096, HOSTED_MAX = 32 };
static _Atomic uint8_t guests[SIZE_CLASS_COUNT]; /* of a size; of a host's size all that it had */

/* Counts one guest more; false where there were as many as may be. */
static bool guests_count(size_t class, size_t most)
{
    uint8_t count = atomic_load_explicit(&guests[class], memory_order_relaxed); /* [GUESTS] */
    bool has_room = count < most;
    if (has_room) {
        atomic_store_explicit(&guests[class], (uint8_t)(count + 1),
                              memory_order_relaxed); /* [GUESTS] */
    }
    return has_room;
}

/*
 * The class that serves a request of a size while its own pool has nothing yet. Pools beyond
 * MB_POOL_MAX have no spans.
 */
static size_t thread_cache_choose_host(size_t class)
{
    size_t host_bytes = size_class_power_of_two_bytes(class);
    size_t host = size_class_of(host_bytes);
    size_t guests_max = size_min(GUESTS_BYTES_MAX / host_bytes, GUESTS_MAX);
    bool is_guest = host != class && host_bytes <= mbi_config.pool_bytes_max
                    && guests_count(class, guests_max) && guests_count(host, HOSTED_MAX);
    return is_guest ? host : class;
}

/* Settings have changed, and the thread goes by them; a handler inside a slow path leaves that. */
static MBI_COLD void thread_cache_end_stretch(void)
{
    struct thread_cache *cache = mbi_thread_cache_begin_slow();
    if (cache != NULL) {
        sampling_next(cache);
        thread_cache_end_slow(cache);
    }
}

/*
 * The object of a sample that holds the slot, or the slot. A covered thread jumps here: so the
 * frame returns to the program's call, and a walk of the stack begins there.
 */
static MBI_COLD void *thread_cache_sample(struct slot *slot, size_t size_bytes, size_t class,
                                          const void *caller)
{
    int saved_errno = errno;
    struct program_call call = { caller, __builtin_frame_address(0) };
    void *object = slot;
    if (MBI_UNLIKELY(mbi_thread_cache->busy || !sampling_is_current(&mbi_thread_cache->sampling))) {
        thread_cache_end_stretch();
    } else {
        object = mbi_profile_sample(slot, size_bytes, size_class_promised_alignment_bytes(class),
                                    call);
    }
    errno = saved_errno;
    return object;
}

/* The class that serves a request of a size: a guest's host, or its own. */
static inline size_t thread_cache_host_of(size_t class)
{
    bool has_slots = pool_is_laid_out(class) && slot_space_is_carved(&pool_at(class)->space);
    return !LARGE_IS_ALL_OURS || MBI_LIKELY(has_slots) ? class : thread_cache_choose_host(class);
}

static MBI_COLD void *thread_cache_alloc_uncounted(size_t size_bytes, const struct magazine *empty)
{
    /* Now: below the thread may get another cache. */
    size_t class = magazine_class(mbi_fast_cache, empty);
    int saved_errno = errno;
    if (background_is_lost()) {
        mbi_background_come_back();
    }
    if (MBI_UNLIKELY(!mbi_thread_cache->active) && mbi_thread_cache_ensure() == NULL
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
    } else if (sampling_is_due()) {
        pointer = thread_cache_sample(pointer, size_bytes, class, __builtin_return_address(0));
    }
    if (pointer != NULL) {
        errno = saved_errno;
    }
    return pointer;
}

/* Of a magazine of mbi_cache_covered: where that of the class lies in any cache. */
static inline size_t covered_offset(const struct magazine *magazine)
{
    return (uintptr_t)magazine - (uintptr_t)mbi_cache_covered.loaded;
}

/* The class's magazine in a cache. */
static inline struct magazine *thread_cache_loaded_in(struct thread_cache *cache, size_t offset)
{
    return (struct magazine *)(void *)((char *)cache->loaded + offset);
}

/* Whether it is one: the fast path found the thread covered. */
static inline bool magazine_covers(const struct magazine *magazine)
{
    return MBI_UNLIKELY(covered_offset(magazine) < sizeof mbi_cache_covered.loaded);
}

/*
 * Not cold: a covered thread comes here for each slot, and takes what the fast path would have
 * taken from its own cache. Whether settings have changed it looks where a sample is due.
 */
void *mbi_thread_cache_alloc_slow(size_t size_bytes, const struct magazine *empty)
{
    if (!magazine_covers(empty)) {
        return thread_cache_alloc_uncounted(size_bytes, empty);
    }
    struct thread_cache *cache = mbi_thread_cache;
    struct slot *slot = magazine_pop(thread_cache_loaded_in(cache, covered_offset(empty)));
    if (MBI_UNLIKELY(slot == NULL)) {
        return thread_cache_alloc_uncounted(size_bytes, empty);
    }
    return sampling_count(&cache->sampling, empty)
               ? thread_cache_sample(slot, size_bytes,
                                     covered_offset(empty) / sizeof(struct magazine),
                                     __builtin_return_address(0))
               : slot;
}

/*
 * A thread gets a cache when it allocates, or frees more often than this. glibc itself frees for a
 * thread that has never allocated, after the last pass over TSD: then no destructor would take the
 * cache back.
 */
enum { FREES_WITHOUT_CACHE = 32 };
static _Thread_local unsigned frees_without_cache __attribute__((tls_model("initial-exec")));

static inline struct thread_cache *thread_cache_begin_slow_free(void)
{
    if (MBI_UNLIKELY(mbi_thread_cache == &mbi_cache_none)
        && frees_without_cache < FREES_WITHOUT_CACHE) {
        frees_without_cache++;
        return NULL;
    }
    return mbi_thread_cache_begin_slow();
}

MBI_COLD void mbi_thread_cache_refuse(const struct pool *pool, const void *pointer)
{
    uint32_t unit = slot_space_place_of(&pool->space, pointer).unit;
    mbi_message("invalid free: %p lies %zu bytes into an object of pool %u (%u bytes)", pointer,
                (size_t)unit * SLOT_UNIT_BYTES % pool->slot_bytes
                    + (uintptr_t)pointer % SLOT_UNIT_BYTES,
                pool->class, pool->slot_bytes);
    abort();
}

/* A pointer into the pool's spans that is no slot of it: foreign, or invalid. */
static MBI_COLD void free_foreign(size_t class, void *pointer)
{
    int saved_errno = errno;
    struct pool *pool = pool_at(class);
    size_t into;
    if (mbi_profile_free(pointer)) {
        errno = saved_errno;
        return;
    }
    if (slot_space_has(&pool->space, pointer)) {
        mbi_thread_cache_refuse(pool, pointer);
    }
    if (mbi_pool_locate(pool, pointer, &into) != POOL_NOT_MAPPED || !mbi_os_is_mapped(pointer)) {
        mbi_message("invalid free: %p lies in pool %zu (%zu bytes), which has not got that far",
                    pointer, class, size_class_slot_bytes(class));
        abort();
    }
    mbi_thread_cache_count_large_free();
    mbi_large_free(pointer);
    errno = saved_errno;
}

/* The thread freed this pointer last. */
static MBI_COLD _Noreturn void free_again(const struct pool *pool, const void *pointer)
{
    mbi_message("double free: %p, of pool %u (%u bytes), was freed before; MB_CHECK=1 finds out "
                "where",
                pointer, pool->class, pool->slot_bytes);
    abort();
}

static MBI_COLD void free_slow(void *pointer, const struct magazine *full, size_t size_bytes)
{
    if (MBI_UNLIKELY(!mbi_thread_cache->active) && checked_is_on()) {
        mbi_check_free(pointer, size_bytes);
        return;
    }
    size_t class =
        magazine_class(magazine_covers(full) ? &mbi_cache_covered : mbi_thread_cache, full);
    struct pool *pool = pool_at(class);
    if (MBI_UNLIKELY(!slot_space_has_start(&pool->space, pointer))) {
        free_foreign(class, pointer);
        return;
    }
    if (MBI_UNLIKELY(pointer == chain_first(magazine_chain(&mbi_thread_cache->loaded[class])))) {
        free_again(pool, pointer);
    }
    int saved_errno = errno;
    struct thread_cache *cache = thread_cache_begin_slow_free();
    if (MBI_UNLIKELY(cache == NULL)) {
        mbi_pool_free_direct(pool, pointer);
    } else {
        struct magazine *loaded = &cache->loaded[class];
        mbi_thread_cache_do_chores(cache);
        if (!magazine_push(loaded, pointer)) {
            if (MBI_LIKELY(mbi_transfer_make_room(cache, pool, pointer))) {
                /* Whatever rounds_max says: another thread may have lowered it again. */
                magazine_set_chain(loaded, chain_push(magazine_chain(loaded), pointer));
            } else {
                mbi_pool_free_direct(pool, pointer);
            }
        }
        sampling_next(cache);
        thread_cache_end_slow(cache);
    }
    errno = saved_errno;
}

/* A covered thread frees what the fast path would free, and looks as little at the pointer. */
void mbi_thread_cache_free_slow(void *pointer, const struct magazine *full, size_t size_bytes)
{
    if (!magazine_covers(full)
        || !magazine_push(thread_cache_loaded_in(mbi_thread_cache, covered_offset(full)),
                          pointer)) {
        free_slow(pointer, full, size_bytes);
    }
}
