/*
 * thread_cache: what one thread holds of every pool, and the fast paths through it.
 *
 * Ladder: above magazine and core/pool. Callers: the API and the drop-in (fast paths); registry,
 * thread_exit and fork (whole caches).
 *
 *   mbi_thread_cache (TLS, 8 bytes) -> one of
 *     mbi_cache_none    constant and empty: this thread has done nothing yet
 *     mbi_cache_direct  constant and empty: no cache now, or never again; straight to the pools
 *     a cache           loaded[]  the magazine in use, any number of rounds
 *                       kept[]    full magazines, as many as the thread has shown need of
 *
 *   mbi_fast_cache (TLS, 8 bytes) -> what the fast paths go by: the same, or
 *     mbi_cache_covered constant and empty: a heap profile counts what the thread allocates
 *                       (sampling.h)
 *
 * The constant caches are full and empty at once, which sends a fast path to its slow path: there
 * is no "initialised?" branch.
 *
 * These are Bonwick's loaded and previous magazine, with the previous one grown to a stack. Kept
 * magazines are full. So each transfer with the centre is a whole batch, and a thread allocates or
 * frees a whole magazine between two transfers.
 */
#ifndef MEMORYBUCKET_TCACHE_THREAD_CACHE_H
#define MEMORYBUCKET_TCACHE_THREAD_CACHE_H

#include "core/left_behind.h"
#include "core/pool.h"
#include "tcache/kept.h"
#include "tcache/magazine.h"

#include <urcu/list.h>

/* A group of stretches has at most 2^SAMPLING_SHARE_MAX. */
enum { SAMPLING_SHARE_MAX = 8 };

/*
 * A thread's part of a heap profile (sampling.h). All zeros: it takes no part. The owner's. What a
 * slow path reads comes last, beside what it reads of the cache.
 */
struct sampling {
    uint64_t random;
    double large_left;    /* bytes of large requests before the next sample */
    int64_t drawn_bytes;  /* left_bytes when the stretch began, and what was drawn since */
    size_t longest_bytes; /* of slots allocated in the longest counted stretch, fading */
    uint32_t stack;       /* of the last sample (insight/profile_stacks.h); 0: none */
    const struct sampling_settings *settings; /* what the thread goes by; NULL: none */
    int64_t left_bytes; /* of slots before the next sample, in counted stretches */
    uint16_t skip;      /* stretches before the next one that is counted */
    uint8_t rest;       /* stretches of its group behind the one that is counted, or was */
    uint8_t share;      /* of the group of stretches that `skip` leads to */
    uint8_t steady;     /* stretches counted since it changed, up to what it takes to raise it */
    bool counted;       /* this stretch is */
    bool drawn;         /* whether left_bytes is, for that share */
    bool due;           /* the slot just taken is that of a sample */
};

struct thread_cache {
    _Alignas(ISOLATION_BYTES) struct magazine loaded[SIZE_CLASS_COUNT];
    /*
     * The region's base, for free. Constant while a thread has the cache, so its loads need not be
     * atomic; code outside the library finds it here without an exported variable. REGION_NOWHERE
     * in mbi_cache_none and mbi_cache_direct.
     */
    uintptr_t dense_base;
    /*
     * Requests of up to so many bytes come from the linear pools, and from all pools: MB_POOL_MAX.
     * Those two constant caches say SMALL_BYTES_MAX, and then only the slow path decides.
     */
    size_t linear_bytes;
    size_t pool_bytes;

    /* Slow paths only. Written by the owner; the atomic ones are read by walkers. */
    uint32_t windows;   /* decay_windows() when one ended for this thread */
    uint8_t looks_left_out; /* slow paths on which it does not look at the clock (chores.c) */
    uint64_t looked_ns;     /* what the clock was when it looked last */
    size_t extra_bytes; /* kept beyond one magazine a class; at most mbi_config.extra_bytes_max */
    size_t used_bytes;  /* of all capacities, and of what is kept */
    size_t upper_bytes; /* of these, the upper classes'; beyond their share only first rounds */
    size_t taken_bytes; /* of the process's budget; at least used_bytes */
    int64_t untold_bytes; /* flushed less refilled, and not told yet (core/centre.h) */
    struct thread_counts counts;
    uint64_t large_seen; /* large_allocs + large_frees, at the last mbi_large_note_use */
    /*
     * For large requests, in place of constants, so that a heap profile sees them without an
     * instruction more. Set when the cache is listed; mbi_registry_watch clears both for good.
     * passes_on: what is no slot goes straight to the system allocator when it is freed.
     * large_turn: LARGE_PER_TURN - 1, or 0: each large request is off the fast path.
     */
    _Atomic bool passes_on;
    _Atomic uint8_t large_turn;
    struct sampling sampling;
    /*
     * Another thread wants what is cached here. All magazines' rounds_max is then 0: so the owner's
     * next free takes the slow path, where the owner gives all up. Any thread sets this, under the
     * registry's lock; the owner clears it.
     */
    _Atomic bool asked;
    _Atomic bool idle; /* between mb_thread_idle and mb_thread_busy; the owner's, for statistics */
    _Atomic bool parked; /* written under the registry's lock, read by walkers (parked.h) */
    /* The owner's number, where the process publishes its statistics; 0: not known (yet). */
    _Atomic uint32_t thread;
    bool active; /* false in mbi_cache_none and mbi_cache_direct: nothing may be written */
    /*
     * The owner is on a slow path, and the magazines may be in any state: a signal handler that
     * interrupts it works straight on the pools. Meanwhile the owner is not cancelled
     * asynchronously; cancel_type is its type before.
     */
    volatile bool busy;
    int cancel_type;
    bool exit_seen; /* the TSD destructor has run once */
    bool listed; /* is or was in the registry, which sets it */

    struct cds_list_head node; /* in the registry; under its lock, read by RCU walkers */
    struct thread_cache *next_vacant; /* on a list of caches without a thread, under that lock */
    struct left_item left;            /* behind, by a thread that has ended (thread_exit.c) */

    /* Of each class. All zeros until the thread uses it: so others take no memory in a cache. */

    /* Slots got under pools' locks, counted until runs are whole magazines; and a thread that only
     * frees counts the magazines that it cut (cut.c). */
    uint32_t obtained[SIZE_CLASS_COUNT];
    /*
     * loaded[class].rounds_max, unless another thread asks for the magazine: 0 until the thread
     * first needs the class, then the pool's rounds, or fewer where the process is crowded, or
     * twice as many (transfer.c).
     */
    uint16_t capacity[SIZE_CLASS_COUNT];
    struct kept kept[SIZE_CLASS_COUNT];
    uint32_t state[SIZE_CLASS_COUNT]; /* what the class looked like when the window ended */
    struct transfer_counts transfers[SIZE_CLASS_COUNT];
};

/* relaxed [THREAD]: its owner writes it, for the eyes of walkers; it orders nothing. */
static inline uint32_t thread_cache_thread(const struct thread_cache *cache)
{
    return atomic_load_explicit(&cache->thread, memory_order_relaxed); /* [THREAD] */
}

static inline void thread_cache_set_thread(struct thread_cache *cache, uint32_t thread)
{
    atomic_store_explicit(&cache->thread, thread, memory_order_relaxed); /* [THREAD] */
}

extern MBI_HIDDEN const struct thread_cache mbi_cache_none;
extern MBI_HIDDEN const struct thread_cache mbi_cache_direct;

/* Written once, before the first thread is covered. */
extern MBI_HIDDEN struct thread_cache mbi_cache_covered;

/* initial-exec: 16 bytes of static TLS, and no call to __tls_get_addr, which may allocate. */
extern MBI_HIDDEN _Thread_local struct thread_cache *mbi_thread_cache
    __attribute__((tls_model("initial-exec")));
extern MBI_HIDDEN _Thread_local struct thread_cache *mbi_fast_cache
    __attribute__((tls_model("initial-exec")));

/*
 * Gives the calling thread a cache, or a constant one. A signal handler between the two stores
 * finds the one before on the fast paths, and the new one on slow paths.
 */
MBI_HOT_INLINE void thread_use_cache(const struct thread_cache *cache)
{
    mbi_thread_cache = (struct thread_cache *)(uintptr_t)cache;
    atomic_signal_fence(memory_order_seq_cst); /* [USE] */
    mbi_fast_cache = mbi_thread_cache;
}

/* All threads that have no cache count here: many writers. */
extern MBI_HIDDEN struct thread_counts mbi_uncached_counts;

/*
 * The slow paths: start the thread, do its chores, swap, refill or flush, then serve the call. They
 * take the magazine of mbi_thread_cache that was empty or full, which the fast paths have at hand,
 * and the caller's size; only checked mode looks at the size.
 */
void *mbi_thread_cache_alloc_slow(size_t size_bytes, const struct magazine *empty);
void mbi_thread_cache_free_slow(void *pointer, const struct magazine *full, size_t size_bytes);

/* Ends the process with a message: the pointer to be freed lies inside a slot of the pool. */
_Noreturn void mbi_thread_cache_refuse(const struct pool *pool, const void *pointer);

/*
 * A slot of exactly this class, or NULL with errno ENOMEM when the pool is exhausted: for callers
 * that choose the next class themselves.
 */
struct slot *mbi_thread_cache_take(size_t class);

/*
 * A slot of this class that is all zeros, where the pool would have to carve one; NULL where free
 * slots are at hand, or the pool has none. The class's slots are whole cache lines. Keeps errno.
 */
struct slot *mbi_thread_cache_take_zeroed(size_t class);

/*
 * Up to `count` slots of a class, as many as are ready without linking them first: the loaded
 * magazine's, and then, for each further whole magazine that is wanted, one that was kept, a batch
 * of the centre, or a fresh run. Keeps errno.
 */
size_t mbi_thread_cache_take_many(size_t class, size_t count, void **out);

/*
 * Frees the first of `count` pointers, as many as there is room for in loaded magazines; how many.
 * It stops before the first that is no slot of the dense tier, or whose magazine is full.
 */
size_t mbi_thread_cache_put_many(size_t count, void *const *pointers);

/*
 * What a thread does for the process while it is off its fast path anyway: gives up what it has not
 * used for a window or was asked for, does a step of decay, and frees what was deferred.
 */
void mbi_thread_cache_do_chores(struct thread_cache *cache);

/* Of these only what the cache gives up: for a thread that ends, or has ended. */
void mbi_thread_cache_give_up_due(struct thread_cache *cache);

/*
 * A thread with few small objects seldom takes a slow path, so every sixteenth large request has a
 * turn at decay. A turn at each would cost too much (docs/architecture.md, "Traffic without slow
 * paths").
 */
enum { LARGE_PER_TURN = 16 };

/* Whether the thread's next large request has that turn: always in the constant caches. */
static inline bool thread_cache_is_decay_turn(const struct thread_cache *cache)
{
    return counter_read(&cache->counts.large_allocs) % LARGE_PER_TURN == LARGE_PER_TURN - 1;
}

/*
 * Whether the thread's next large request is off the fast path: for its turn, or for a profile.
 * relaxed [FLAG]: a thread that misses a profile's beginning has its next turn soon.
 */
MBI_HOT_INLINE bool thread_cache_is_large_turn(const struct thread_cache *cache)
{
    uint64_t count = counter_read(&cache->counts.large_allocs) % LARGE_PER_TURN;
    return count >= atomic_load_explicit(&cache->large_turn, memory_order_relaxed); /* [FLAG] */
}

/*
 * Before a large request that is off the fast path: gives the thread its cache, counts the request,
 * and takes its turn at decay. A large free is only counted.
 */
void mbi_thread_cache_begin_large_alloc(void);
void mbi_thread_cache_count_large_free(void);

/*
 * The calling thread's own cache, which it gets now if it has none yet; NULL for a thread that
 * works straight on the pools.
 */
struct thread_cache *mbi_thread_cache_ensure(void);

/* The same for a slow path, until end; NULL also in a signal handler that interrupted one. */
struct thread_cache *mbi_thread_cache_begin_slow(void);

static inline void thread_cache_end_slow(struct thread_cache *cache)
{
    cache->busy = false;
    mbi_lock_restore_cancel(cache->cancel_type);
}

/*
 * Before a cache's (next) life. A fresh cache's magazines are empty as they are, all zeros; those
 * of one that was listed are emptied.
 */
void mbi_thread_cache_init(struct thread_cache *cache);

/*
 * Gives back all that a cache holds, the calling thread's or one whose thread has ended: whole
 * magazines to the centre, others to the loose lists. False while another thread forks; then
 * magazines that would go to a loose list stay.
 */
bool mbi_thread_cache_flush(struct thread_cache *cache);

/* Flushes the calling thread's cache, if it has one and is not interrupted on a slow path. */
void mbi_thread_cache_flush_own(void);

/*
 * Tells centre.h what the cache moved to and from the centre. Called by the owner, or in a forked
 * child for a thread that is gone.
 */
void mbi_thread_cache_tell(struct thread_cache *cache);

/* Asks another thread, whose cache is in the registry, to flush it at its next slow path. */
void mbi_thread_cache_ask(struct thread_cache *cache);

/* Sends the owner to the slow path at its next free of each class, and asks nothing of it. */
void mbi_thread_cache_interrupt(struct thread_cache *cache);

/* Slots of a class in this cache, exact when its owner is at rest. */
size_t mbi_thread_cache_rounds(const struct thread_cache *cache, size_t class);

/* A class's magazine, from its offset (core/size_class.h). */
MBI_HOT_INLINE struct magazine *thread_cache_loaded_at(struct thread_cache *cache, size_t offset)
{
    return (struct magazine *)(void *)((char *)cache->loaded
                                       + size_class_scale_offset(offset, sizeof(struct magazine)));
}

MBI_HOT_INLINE void *thread_cache_alloc_at(size_t offset, size_t size_bytes)
{
    struct magazine *loaded = thread_cache_loaded_at(mbi_fast_cache, offset);
    void *pointer = magazine_pop(loaded);
    return MBI_LIKELY(pointer != NULL) ? pointer : mbi_thread_cache_alloc_slow(size_bytes, loaded);
}

MBI_HOT_INLINE void *thread_cache_alloc(size_t class, size_t size_bytes)
{
    return thread_cache_alloc_at(size_class_to_offset(class), size_bytes);
}

MBI_HOT_INLINE void thread_cache_free(struct thread_cache *cache, void *pointer, size_t class,
                                      size_t size_bytes)
{
    struct magazine *loaded = &cache->loaded[class];
    if (MBI_UNLIKELY(!magazine_push(loaded, pointer))) {
        mbi_thread_cache_free_slow(pointer, loaded, size_bytes);
    }
}

#endif
