/*
 * MemoryBucket: a small-object allocator for high-contention servers.
 *
 * Requests of 1 to 512 bytes are served from 64 pools, one per 8-byte step, through magazines
 * that belong to the calling thread; larger ones go to the system allocator. No call needs
 * mb_init first.
 *
 * For every function, unless it says otherwise:
 *   threads  MT-safe: may be called by any thread at any time, also from destructors of
 *            thread-specific data and after them, and from constructors before main.
 *   fork     usable in the child of a multi-threaded process at once, without exec. While a thread
 *            forks, nobody waits for it but ends of threads: small requests that find no free slot
 *            at hand are the system allocator's meanwhile, also under a limit.
 *   signals  not async-signal-safe, like malloc: a handler must not call it when it may have
 *            interrupted it, unless it never returns, as where it forks and the child ends or
 *            calls exec. A handler may fork.
 *   cancel   no cancellation point.
 *   errors   a function that returns a pointer fails with NULL and errno, one that returns an int
 *            with a negative errno value. On failure nothing has changed.
 */
#ifndef MEMORYBUCKET_MEMORYBUCKET_H
#define MEMORYBUCKET_MEMORYBUCKET_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MB_VERSION_MAJOR 0
#define MB_VERSION_MINOR 1
#define MB_VERSION_PATCH 0

/* The largest request that a pool serves, in bytes, and the number of pools. */
#define MB_SMALL_MAX 512
#define MB_POOL_COUNT 64

#if defined(__GNUC__)
#define MB_API __attribute__((visibility("default")))
#define MB_ALLOCATES(...) __attribute__((malloc, warn_unused_result, alloc_size(__VA_ARGS__)))
#define MB_ALIGNED_BY(position) __attribute__((alloc_align(position)))
#else
#define MB_API
#define MB_ALLOCATES(...)
#define MB_ALIGNED_BY(position)
#endif

/*
 * Brings the library up: reads the environment and finds a place for the pools. Optional: the first
 * allocation does it too. Idempotent.
 *
 * Returns 0, or -ENOMEM when no address space could be had; all calls then still work, on
 * the system allocator alone.
 */
MB_API int mb_init(void);

/*
 * Gives an option a value from within the program: any MB_ variable of docs/tuning.md.
 *
 * name   the variable's name, such as "MB_DECAY_MS"
 * value  a text as in the environment, shorter than 256 bytes; NULL takes back what the program set.
 *        It is copied.
 *
 * Call it before the first allocation and before mb_init: options are read when the library comes up.
 * The environment wins: where it has the variable, with whatever value, the call changes nothing and
 * returns 0. A set-user-ID program ignores the environment, and not this call.
 *
 * Returns
 *   0        the option has this value, or the environment's
 *   -EINVAL  unknown name, NULL as name, or a value that the variable does not take
 *   -EBUSY   the library is up, with another value (mb_memory_limit_set and mb_background_start still
 *            change two of them)
 *   -EAGAIN  a signal handler interrupted the library's start
 *
 * Allocates nothing itself; but MB_CHECK loads the stack unwinder, and MB_STATS registers handlers with the
 * C library. In the drop-in these allocate, which may end the time before the first allocation: set them
 * last. Costs some microseconds, and waits for a fork in another thread. With MB_BACKGROUND the thread
 * starts with mb_init, or at one of the first requests. Several copies of the library in one process
 * have options of their own.
 */
MB_API int mb_option_set(const char *name, const char *value);

/*
 * Allocates `size` bytes, uninitialised.
 *
 * size  bytes; 1 to MB_SMALL_MAX come from the pools, more from malloc. 0 gives a pointer like any
 *       other, unique until it is freed.
 *
 * Alignment: up to MB_SMALL_MAX, that of the size rounded up to 8: the largest power of two that
 * divides it, up to 16 (so 8 for sizes like 24 or 40); above, malloc's. Ask mb_aligned_alloc for
 * more.
 *
 * Returns the memory, owned by the caller until mb_free or one of its kin; NULL and ENOMEM when
 * neither the pools nor the system have any.
 */
MB_API void *mb_alloc(size_t size) MB_ALLOCATES(1);

/*
 * Frees memory of any function of this library, from any thread, also after the thread that
 * allocated it is gone. A pointer of the system allocator is passed on to it. NULL is ignored.
 * Preserves errno.
 */
MB_API void mb_free(void *pointer);

/*
 * As mb_free. `size` is a hint: a wrong one costs nothing and corrupts nothing. In checked mode
 * (MB_CHECK) it is reported.
 */
MB_API void mb_free_sized(void *pointer, size_t size);

/*
 * Allocates `count` objects of `size` bytes each, zeroed. NULL and ENOMEM also when the product
 * overflows. Otherwise as mb_alloc.
 */
MB_API void *mb_calloc(size_t count, size_t size) MB_ALLOCATES(1, 2);

/*
 * Gives `pointer` the new size; contents are kept up to the smaller of both sizes. The memory may
 * move; the old pointer is then freed. Alignment is that of mb_alloc, unless a smaller object has
 * to stay where it is for want of memory. NULL as pointer: mb_alloc(size). Size 0: the object
 * shrinks to a unique pointer, it is not freed. On failure NULL and ENOMEM, and the old object is
 * intact.
 */
MB_API void *mb_realloc(void *pointer, size_t size) __attribute__((warn_unused_result));

/*
 * Allocates `size` bytes (0: a unique pointer) at a multiple of `alignment`, a power of two in
 * bytes. Comes from the pools when the size rounded up to a multiple of the alignment is at most
 * MB_SMALL_MAX. NULL and EINVAL for an alignment that is no power of two, NULL and ENOMEM without
 * memory.
 */
MB_API void *mb_aligned_alloc(size_t alignment, size_t size) MB_ALLOCATES(2) MB_ALIGNED_BY(1);

/*
 * Bytes that the object at `pointer` can have without being moved, at least as many as were asked for,
 * and in checked mode no more; 0 for NULL. To use more than was asked for, ask for them:
 *
 *     p = mb_realloc(p, mb_usable_size(p));
 *
 * which moves nothing. The compiler takes the size that was asked for as the object's: it may warn of
 * writes beyond it, drop them, or end the process there (_FORTIFY_SOURCE).
 */
MB_API size_t mb_usable_size(const void *pointer);

/*
 * Allocates up to `count` objects of `size` bytes each into out[0 .. count-1]. Returns how many
 * could be had, the first so many of `out`; fewer than `count` only when memory is short (errno
 * is ENOMEM then). Each is freed on its own, or by mb_free_batch.
 */
MB_API size_t mb_alloc_batch(size_t size, size_t count, void **out);

/*
 * Frees `count` pointers, of any sizes and origins; NULLs among them are skipped. The array is
 * only read. Runs of objects of one size are cheapest. Preserves errno.
 */
MB_API void mb_free_batch(size_t count, void **pointers);

/*
 * Gives everything that the calling thread has cached back to the centre, where other threads
 * find it. The thread may go on allocating at any time.
 */
MB_API void mb_thread_flush(void);

/*
 * The calling thread is about to sleep: as mb_thread_flush, and statistics count it as idle until
 * it says mb_thread_busy, or allocates or frees so much that it has a cache again. Neither has to
 * be called in pairs.
 *
 * Cost: about 0.06 us when nothing is cached; beyond that one exchange for each full magazine that
 * the thread holds, and one lock for each class in which it holds others, some 0.2 us.
 * mb_thread_busy writes one word.
 */
MB_API void mb_thread_idle(void);
MB_API void mb_thread_busy(void);

/*
 * Gives memory that nobody uses back to the operating system, page by page, all but `keep_bytes`
 * of the free memory (0: all of it). The pools go on using it as if it were fresh.
 *
 * What the calling thread has cached is free memory. Every other thread is asked for what it has
 * cached, and gives it up the next time that one of its magazines is empty or full: a later call,
 * or decay (MB_DECAY_MS), then returns it. A thread that sleeps keeps its cache, at most
 * MB_THREAD_CACHE_MAX bytes of slots, and the pages in which these lie: several times as much when
 * they are scattered. One that calls mb_thread_idle before it sleeps keeps none.
 *
 * What remains free in pages that are in use is handed out in address order from then on, which
 * brings new objects together.
 *
 * Several callers take turns. A thread that allocates or frees waits, if at all, for the lock of
 * its pool for a moment. Takes about 20 ns for each free slot that is in no processor's cache, and
 * a system call for each run of pages. Pages that are locked in memory (mlock) stay. In the drop-in
 * the C library's malloc, which serves the large requests, is then asked for its own (malloc_trim).
 *
 * Returns the bytes given back, without what the C library gave.
 */
MB_API size_t mb_trim(size_t keep_bytes);

/*
 * Starts a thread that does what otherwise slow paths of other threads do, so that free memory
 * goes back also while the process sleeps (MB_DECAY_MS). MB_BACKGROUND=1 does the same when the
 * library is loaded. It does nothing while the process forks. The child starts its own at its first
 * request that is not served from what its thread has at hand; one that only calls exec starts none,
 * and one that must have a single thread, as for unshare(2), calls mb_background_stop first.
 *
 * Returns 0, also when it runs already, or a negative errno value of pthread_create, or -EINVAL
 * when MB_DECAY_MS is -1. Not from fork handlers.
 */
MB_API int mb_background_start(void);

/*
 * Ends that thread, and waits until it has ended. Nothing happens without one, but that the child of a
 * fork does not start it.
 */
MB_API void mb_background_stop(void);

/*
 * Limits the committed memory of all pools together to `bytes`; 0: no limit. As MB_MEMORY_LIMIT.
 * Large requests do not count: they are the system allocator's.
 *
 * A request for which memory would have to be committed beyond the limit is served from free memory
 * of any pool whose slots are larger and aligned alike; if there is none, free memory is given back
 * as by mb_trim(0), then the handler below is asked, and then the request fails with NULL and
 * ENOMEM.
 * A limit below what is committed already takes nothing away from the program: free memory is
 * given back at once, and nothing more is committed until enough was. Each size in use keeps the
 * rest of its last block from the others; blocks are smaller under a limit, but not those that were
 * committed before: set it early. What a request gets of the system allocator while another thread
 * forks does not count.
 *
 * Returns the limit that was in force, 0 for none.
 */
MB_API size_t mb_memory_limit_set(size_t bytes);

/*
 * Called when a request of at most MB_SMALL_MAX bytes cannot be served, in the thread that made it
 * and with no lock held; `size` is that of its slot, the request rounded up to 8. May allocate and
 * free; what fails meanwhile in the same thread fails without another call. Must return (no
 * longjmp, no exception): non-zero to have the request tried again, 0 to let it fail.
 */
typedef int mb_out_of_memory_handler(size_t size, void *argument);

/*
 * Sets the handler of the process, and what it gets as `argument`; NULL: none. A thread that is
 * about to call the one before may still do so.
 */
MB_API void mb_set_out_of_memory_handler(mb_out_of_memory_handler *handler, void *argument);

/*
 * Checks all objects of the process, where checked mode is on (MB_CHECK): that nobody has written
 * behind those that are live (overflow), nor into those that were freed (use_after_free). Each that
 * is damaged is reported once, on stderr; the process then aborts unless MB_CHECK_CONTINUE is 1.
 *
 * Takes time for each object and keeps other threads from allocating meanwhile. Not from signal or
 * fork handlers. Returns how many damaged objects it found; always 0 without checked mode.
 */
MB_API size_t mb_check_heap(void);

/* Blocks by the share of their slots that is in use: none, up to 10 %, up to 20 %, ... 100 %. */
#define MB_OCCUPANCY_BINS 11

/*
 * One pool. At rest: carved = live + magazines + central + loose + sorted + orphaned + quarantined.
 * While threads are at work the numbers are recent, and `live` is within a few magazines.
 */
struct mb_pool_stats {
    uint64_t slot_bytes;      /* the pool's slot size */
    uint64_t magazine_rounds; /* slots of a full magazine */
    uint64_t carved;          /* slots ever carved from fresh memory */
    uint64_t live;            /* slots in the program's hands; none on guarded pages (MB_CHECK) */
    uint64_t magazines;       /* slots in the magazines of threads */
    uint64_t central;         /* slots in the central free list */
    uint64_t loose;           /* slots that wait to make up a magazine */
    uint64_t sorted;          /* slots that trim or decay took from the centre, in address order */
    uint64_t orphaned;        /* slots that a fork left in the caches of threads the child lacks */
    uint64_t refills;         /* magazines moved from the centre to a thread */
    uint64_t flushes;         /* magazines moved from a thread to the centre */
    uint64_t cas_retries;     /* failed exchanges at the central free list */
    uint64_t mutex_acquisitions; /* of the pool's mutex */
    uint64_t committed_bytes; /* made accessible, and not given back */
    uint64_t resident_bytes;  /* in memory now */
    uint64_t released_bytes;  /* given back by trim and decay, and not used again since */
    /*
     * Blocks of 64 KiB by how full they are. A slot counts as used unless it is sorted: so after
     * mb_trim(0) live slots and those cached by threads are counted, and before it also free ones.
     */
    uint64_t blocks[MB_OCCUPANCY_BINS];
    uint64_t quarantined;     /* freed slots that checked mode keeps from being used again */
    /*
     * Slots that threads took from the pool, used or not, and that they gave back to it. At rest
     * both are exact: taken = returned + live + magazines + orphaned + quarantined.
     *
     * They are not the number of allocations. One that is served from what the thread has cached,
     * and most are, leaves no trace: to count it would make each allocation longer. At rest there
     * have been at least taken - magazines - orphaned allocations, less the slots that threads gave
     * back without having used them (at their end, in mb_thread_flush and mb_thread_idle, in decay).
     */
    uint64_t taken;
    uint64_t returned;
    uint64_t reserved[1];     /* 0 */
};

struct mb_stats {
    uint64_t reserved_bytes;  /* address space that the pools take up now: it grows as they do */
    uint64_t committed_bytes; /* sum over the pools */
    uint64_t resident_bytes;  /* sum over the pools */
    uint64_t released_bytes;  /* sum over the pools */
    uint64_t memory_limit;    /* bytes; 0: none */
    uint64_t cache_bytes;     /* what the threads together may cache at the moment */
    uint64_t cache_bytes_max; /* MB_CACHE_MAX; 0: no bound yet, as there was one thread only */
    uint64_t threads;         /* with a cache of their own now */
    uint64_t threads_idle;    /* of them, those that said mb_thread_idle */
    uint64_t idle_caches;     /* of no thread: made ahead, or left by one that exited */
    uint64_t large_allocs;    /* requests that went to the system allocator */
    uint64_t large_frees;     /* pointers passed on to the system allocator's free */
    uint64_t decay_steps;     /* pieces of work that slow paths did to give memory back */
    uint64_t decay_step_ns_max; /* the longest of them */
    uint64_t decay_volume_steps; /* of them, those done since too much was free, whatever the time */
    uint64_t reserved[7];     /* 0 */
    struct mb_pool_stats pool[MB_POOL_COUNT];
};

/*
 * Fills `stats`. Stops no thread; one caller at a time does the work, others wait for it.
 * Not from fork handlers. Returns 0, or -EINVAL for NULL. A thread's first call needs memory of
 * liburcu's, which ends the process when the kernel refuses it.
 */
MB_API int mb_stats_get(struct mb_stats *stats);

/* Prints the statistics as a table of the pools that were used. Nothing for NULL. */
MB_API void mb_stats_print(FILE *stream);

#ifdef __cplusplus
}
#endif

#endif
