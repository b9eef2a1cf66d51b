/*
 * thread_cache: what one thread holds of every pool, and the fast paths through it.
 *
 * Ladder: above magazine and core/pool. Callers: the API and the drop-in (fast paths); registry,
 * thread_exit and fork (whole caches).
 *
 *   mbi_thread_cache (TLS, 8 bytes) -> one of
 *     mbi_cache_none    constant and empty: this thread has done nothing yet
 *     mbi_cache_direct  constant and empty: no cache now, or never again; straight to the pools
 *     a cache           loaded[64]   the magazine in use, any number of rounds
 *                       previous[64] full magazines, as many as the thread has shown need of
 *
 * The constant caches are full and empty at once, so a fast path that meets one falls into the
 * slow path by the tests it makes anyway: there is no "initialised?" branch.
 *
 * loaded and previous are Bonwick's pair, with previous grown to a stack: what is kept behind the
 * loaded magazine is full, so each exchange with the centre is a whole batch, and a thread must
 * allocate or free a whole magazine between two of them.
 */
#ifndef MEMORYBUCKET_TCACHE_THREAD_CACHE_H
#define MEMORYBUCKET_TCACHE_THREAD_CACHE_H

#include "core/pool.h"
#include "tcache/magazine.h"
#include "tcache/previous.h"

#include <urcu/list.h>

struct thread_cache {
    _Alignas(ISOLATION_BYTES) struct magazine loaded[SIZE_CLASS_COUNT];
    /*
     * The region's, for free: here it is constant while a thread has the cache, so that no load of
     * it has to be atomic, and code outside the library finds it without an exported variable.
     * REGION_NOWHERE in the constant caches.
     */
    uintptr_t dense_base;

    /* Slow paths only. Written by the owner; the atomic ones are read by walkers. */
    struct previous previous[SIZE_CLASS_COUNT];
    struct transfer_counts transfers[SIZE_CLASS_COUNT];
    uint16_t obtained[SIZE_CLASS_COUNT]; /* under pools' locks, until runs are whole magazines */
    /*
     * What loaded[class].rounds_max is, unless somebody asks for the magazine: 0 until the thread
     * first needs the class, then the pool's rounds, or less where the process is crowded.
     */
    uint16_t capacity[SIZE_CLASS_COUNT];
    uint32_t state[SIZE_CLASS_COUNT]; /* what the class looked like when the window ended */
    uint32_t windows;                 /* decay_windows() at that time */
    size_t extra_bytes; /* kept beyond one magazine a class; at most mbi_config.extra_bytes_max */
    size_t used_bytes;  /* of all capacities, and of what is kept */
    size_t taken_bytes; /* of the process's budget; at least used_bytes */
    int64_t untold_bytes; /* flushed less refilled, and not told yet (core/centre.h) */
    struct thread_counts counts;
    uint64_t large_seen; /* allocations and frees, when the thread last told that it uses them */
    /*
     * Somebody wants what is cached here: the owner gives it up at its next slow path, to which
     * rounds_max of 0 in all magazines sends its next free. Set by any thread under the registry's
     * lock, cleared by the owner.
     */
    _Atomic bool asked;
    _Atomic bool idle; /* between mb_thread_idle and mb_thread_busy; the owner's, for statistics */
    bool active; /* false in the constant caches: nothing may be written */
    /*
     * The owner is on a slow path. A signal handler that interrupts it there, and allocates, finds
     * the magazines in any state: it works straight on the pools, as if it had no cache. Meanwhile
     * the owner is not cancelled asynchronously; the type goes back to what it was.
     */
    volatile bool busy;
    int cancel_type;
    bool exit_seen; /* the TSD destructor has run once */
    bool listed;    /* is, or was, in the registry: set there, read by its thread and who takes it back */

    struct cds_list_head node;      /* in the registry; under its lock, read by RCU walkers */
    /* On the retire or the reuse list, under the registry's lock; or left behind (thread_exit.c). */
    struct thread_cache *next_idle;
};

extern MBI_HIDDEN const struct thread_cache mbi_cache_none;
extern MBI_HIDDEN const struct thread_cache mbi_cache_direct;

/* initial-exec: 8 bytes of static TLS, and no call to __tls_get_addr, which may allocate. */
extern MBI_HIDDEN _Thread_local struct thread_cache *mbi_thread_cache
    __attribute__((tls_model("initial-exec")));

/*
 * The slow paths: start the thread, swap, refill or flush, then do what was asked for. They take
 * the magazine of mbi_thread_cache that was empty or full, which the fast paths have at hand, and
 * the size: what the request or the caller of free says, which only checked mode looks at.
 */
void *mbi_thread_cache_alloc_slow(size_t size_bytes, const struct magazine *loaded);
void mbi_thread_cache_free_slow(void *pointer, const struct magazine *loaded, size_t size_bytes);

/* Ends the process: a pointer that is to be freed lies inside a slot of the pool. */
_Noreturn void mbi_thread_cache_refuse(const struct pool *pool, const void *pointer);

/*
 * A slot of exactly this class, or NULL with errno ENOMEM when the pool is exhausted: for callers
 * that choose the next class themselves.
 */
struct slot *mbi_thread_cache_take(size_t class);

/*
 * Up to `count` slots of a class, as many as are ready without linking them first: the loaded
 * magazine's, and then, for each further whole magazine that is wanted, previous, batches of the
 * centre, or a fresh run.
 */
size_t mbi_thread_cache_take_many(size_t class, size_t count, void **out);

/*
 * What serves a request whose pool has nothing: see out_of_memory.h, where it is defined. NULL and
 * ENOMEM when nothing does.
 */
void *mbi_thread_cache_spill(size_t class, size_t alignment_bytes);

/* Of all threads that have no cache: many writers. */
extern MBI_HIDDEN struct thread_counts mbi_uncached_counts;

/*
 * Whether the next large request of the thread looks after decay, too: it may use few small objects
 * and never exchange a magazine. With a look at each, random sizes on both sides of 512 bytes cost
 * 61 ns instead of 43 (bench/random.c, 100,000 live objects up to 1,000 bytes).
 */
enum { LARGE_PER_LOOK = 16 };

MBI_HOT_INLINE bool thread_cache_looks_around(const struct thread_cache *cache)
{
    return counter_read(&cache->counts.large_allocs) % LARGE_PER_LOOK == LARGE_PER_LOOK - 1;
}

/*
 * Counts large requests and frees, in the calling thread's cache if it has one, and does a step of
 * decay when the request is one that looks, and a step is due.
 */
void mbi_thread_cache_count_large(uint64_t allocs, uint64_t frees);

/*
 * The calling thread's own cache, brought to life if need be; NULL for a thread that works
 * straight on the pools.
 */
struct thread_cache *mbi_thread_cache_own(void);

/* The same for a slow path, from begin to end; NULL also where one is under way in this thread. */
struct thread_cache *mbi_thread_cache_begin_slow(void);

static inline void thread_cache_end_slow(struct thread_cache *cache)
{
    cache->busy = false;
    mbi_lock_restore_cancel(cache->cancel_type);
}

/*
 * Gives the calling thread a cache: sets mbi_thread_cache, or leaves it one of the constant ones.
 * False when the library itself is not up, as another thread forks: no pool may be asked then.
 * Declared here and defined above, in thread_exit.c, beside its opposite.
 */
bool mbi_thread_start(void);

/* Before a cache's (next) life: empty magazines that take what the pools are configured for. */
void mbi_thread_cache_init(struct thread_cache *cache);

/*
 * Everything that a cache holds, the calling thread's or one whose thread has ended, goes back: whole
 * magazines to the centre, others to the loose lists. While another thread forks, those that would go
 * to a loose list stay: then it returns false.
 */
bool mbi_thread_cache_flush(struct thread_cache *cache);

/* The calling thread's, if it has one and is not interrupted on a slow path. */
void mbi_thread_cache_flush_own(void);

/*
 * Tells what the cache moved to and from the centre. By the owner, or in a forked child for a
 * thread that is not there any more.
 */
void mbi_thread_cache_tell(struct thread_cache *cache);

/* Asks another thread, whose cache is in the registry, to do that at its next slow path. */
void mbi_thread_cache_ask(struct thread_cache *cache);

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
    struct magazine *loaded = thread_cache_loaded_at(mbi_thread_cache, offset);
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
