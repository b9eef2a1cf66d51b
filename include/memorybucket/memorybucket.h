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
 *   fork     usable in the child of a multi-threaded process at once, without exec.
 *   signals  not async-signal-safe, like malloc: a handler must not call it when it may have
 *            interrupted it.
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
 * Brings the library up: reads the environment and reserves address space. Optional: the first
 * allocation does it too. Idempotent.
 *
 * Returns 0, or -ENOMEM when no address space could be reserved; all calls then still work, on
 * the system allocator alone.
 */
MB_API int mb_init(void);

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

/* As mb_free. `size` is a hint: a wrong one costs nothing and corrupts nothing. */
MB_API void mb_free_sized(void *pointer, size_t size);

/*
 * Allocates `count` objects of `size` bytes each, zeroed. NULL and ENOMEM also when the product
 * overflows. Otherwise as mb_alloc.
 */
MB_API void *mb_calloc(size_t count, size_t size) MB_ALLOCATES(1, 2);

/*
 * Gives `pointer` the new size; contents are kept up to the smaller of both sizes. The memory may
 * move; the old pointer is then freed. NULL as pointer: mb_alloc(size). Size 0: the object shrinks
 * to a unique pointer, it is not freed. On failure NULL and ENOMEM, and the old object is intact.
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
 * Bytes that may be used at `pointer`, at least as many as were asked for; 0 for NULL.
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
 * find it. For threads that will be idle. The thread may go on allocating at any time.
 */
MB_API void mb_thread_flush(void);

/*
 * One pool. At rest: carved = live + magazines + central + loose + orphaned.
 * While threads are at work the numbers are recent, and `live` is within a few magazines.
 */
struct mb_pool_stats {
    uint64_t slot_bytes;      /* the pool's slot size */
    uint64_t magazine_rounds; /* slots of a full magazine */
    uint64_t carved;          /* slots ever carved from fresh memory */
    uint64_t live;            /* slots in the program's hands */
    uint64_t magazines;       /* slots in the magazines of threads */
    uint64_t central;         /* slots in the central free list */
    uint64_t loose;           /* slots that wait to make up a magazine */
    uint64_t orphaned;        /* slots that a fork left in the caches of threads the child lacks */
    uint64_t refills;         /* magazines moved from the centre to a thread */
    uint64_t flushes;         /* magazines moved from a thread to the centre */
    uint64_t cas_retries;     /* failed exchanges at the central free list */
    uint64_t mutex_acquisitions; /* of the pool's mutex */
    uint64_t committed_bytes; /* made accessible */
    uint64_t resident_bytes;  /* of that, in memory now */
    uint64_t reserved[4];     /* 0 */
};

struct mb_stats {
    uint64_t reserved_bytes;  /* address space of all pools */
    uint64_t committed_bytes; /* sum over the pools */
    uint64_t resident_bytes;  /* sum over the pools */
    uint64_t threads;         /* with a cache of their own now */
    uint64_t idle_caches;     /* of threads that exited, kept for new ones */
    uint64_t large_allocs;    /* requests that went to the system allocator */
    uint64_t large_frees;     /* pointers passed on to the system allocator's free */
    uint64_t reserved[9];     /* 0 */
    struct mb_pool_stats pool[MB_POOL_COUNT];
};

/*
 * Fills `stats`. Stops no thread; one caller at a time does the work, others wait for it.
 * Not from fork handlers. Returns 0, or -EINVAL for NULL.
 */
MB_API int mb_stats_get(struct mb_stats *stats);

/* Prints the statistics as a table of the pools that were used. Nothing for NULL. */
MB_API void mb_stats_print(FILE *stream);

#ifdef __cplusplus
}
#endif

#endif
