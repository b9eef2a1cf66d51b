/*
 * large: the allocator behind the pools, for requests above the border (MB_POOL_MAX) and for
 * pointers that are not ours.
 *
 * Ladder: above base. Callers: the thread caches' last resort, the API.
 *
 * The library calls the program's own malloc, in place: one more call would cost a tenth. The
 * drop-in, which *is* the program's malloc, is built with MEMORYBUCKET_DROPIN and calls the next
 * allocator in link order (dropin/next.c); its malloc and free are one indirect jump.
 *
 * Contracts are those of the C library's functions of the same name, with ENOMEM on failure, and
 * any power of two as an alignment. No lock of ours may be held.
 */
#ifndef MEMORYBUCKET_CORE_LARGE_H
#define MEMORYBUCKET_CORE_LARGE_H

#include "core/upcalls.h"

#include <errno.h>

typedef int posix_memalign_function(void **, size_t, size_t);

/*
 * For 0 bytes POSIX allows NULL, which is a failure here. It also leaves errno open; the library's
 * callers are promised that success does not change it.
 */
static inline void *large_aligned_by(posix_memalign_function *allocate, size_t alignment_bytes,
                                     size_t size_bytes)
{
    void *pointer = NULL;
    size_t alignment = size_max(alignment_bytes, sizeof(void *));
    int saved_errno = errno;
    int error = allocate(&pointer, alignment, size_max(size_bytes, 1));
    errno = error != 0 ? error : saved_errno;
    return error == 0 ? pointer : NULL;
}

#ifdef MEMORYBUCKET_DROPIN

/*
 * The two most frequent calls. They begin as functions that look for the next allocator; what these
 * find replaces them, free of the C library by way of one that looks at the size while that may
 * change its settings (dropin/next_memory.c). relaxed [NEXT]: every value can be called at any
 * time.
 */
struct next_allocator {
    /* In lines of their own: written seldom, and read by each large request. */
    _Alignas(ISOLATION_BYTES) void *(*_Atomic malloc)(size_t size_bytes);
    void (*_Atomic free)(void *pointer);
};

/* mbi_boot_arena serves what dlsym asks for while it looks for them; never freed. */
enum { BOOT_ARENA_BYTES = 64 << 10 };

static inline bool boot_owns(const void *pointer)
{
    return (uintptr_t)pointer - (uintptr_t)mbi_boot_arena < BOOT_ARENA_BYTES;
}

MBI_HOT_INLINE void *mbi_large_alloc(size_t size_bytes)
{
    return atomic_load_explicit(&mbi_next.malloc, memory_order_relaxed)(size_bytes); /* [NEXT] */
}

/* Preserves errno; NULL is fine. */
MBI_HOT_INLINE void mbi_large_free(void *pointer)
{
    if (MBI_LIKELY(!boot_owns(pointer))) {
        atomic_load_explicit(&mbi_next.free, memory_order_relaxed)(pointer); /* [NEXT] */
    }
}

/* Whether mbi_large_decay has anything to do. Every slow path reads it; it is written seldom. */
struct large_hints {
    _Alignas(ISOLATION_BYTES) _Atomic bool keeps;
};

static inline bool large_keeps(void)
{
    return flag_is_set(&mbi_large_hints.keeps);
}

/* Whether all that is freed comes from us; else the program's own malloc may have it. */
enum { LARGE_IS_ALL_OURS = 1 };

/* Of the drop-in: a constructor of next_memory.c uses the C library's malloc instead. */
static inline void mbi_large_come_up(void)
{
}

#else

#include <malloc.h>
#include <stdlib.h>

enum { LARGE_IS_ALL_OURS = 0 };

/* What the program's malloc keeps is the program's business. */
static inline bool mbi_large_give_back(void)
{
    return false;
}

static inline void mbi_large_note_use(void)
{
}

static inline void mbi_large_decay(void)
{
}

static inline bool large_keeps(void)
{
    return false;
}

static inline void *mbi_large_alloc(size_t size_bytes)
{
    return malloc(size_bytes);
}

/*
 * glibc's fork takes the locks of its malloc only if that was used before. So this uses it, from a
 * constructor: a thread may need it for the first time while another one forks.
 */
static inline void mbi_large_come_up(void)
{
    void *(*volatile allocate)(size_t) = malloc; /* the compiler leaves out a pair that it knows */
    free(allocate(1));
}

static inline void *mbi_large_calloc(size_t count, size_t size_bytes)
{
    return calloc(count, size_bytes);
}

static inline void *mbi_large_realloc(void *pointer, size_t size_bytes)
{
    return realloc(pointer, size_bytes);
}

static inline void *mbi_large_aligned_alloc(size_t alignment_bytes, size_t size_bytes)
{
    return large_aligned_by(posix_memalign, alignment_bytes, size_bytes);
}

static inline void mbi_large_free(void *pointer)
{
    free(pointer); /* preserves errno: POSIX.1-2024, and glibc since 2.33 */
}

static inline size_t mbi_large_usable_bytes(const void *pointer)
{
    return malloc_usable_size((void *)(uintptr_t)pointer);
}

#endif

#endif
