/*
 * large: the allocator behind the pools, for requests above 512 bytes and for pointers that are
 * not ours.
 *
 * Ladder: above base. Callers: the thread caches' last resort, the API.
 *
 * The library calls the program's own malloc, in place: one call more on the way to it is a tenth
 * of its cost. The drop-in, which *is* the program's malloc, is built with MEMORYBUCKET_DROPIN and
 * takes dropin/next.c, the next allocator in link order.
 *
 * Contracts are those of the C library's functions of the same name, with ENOMEM on failure. No
 * lock of ours may be held.
 */
#ifndef MEMORYBUCKET_CORE_LARGE_H
#define MEMORYBUCKET_CORE_LARGE_H

#include "core/base.h"

#ifdef MEMORYBUCKET_DROPIN

void *mbi_large_alloc(size_t size_bytes);
void *mbi_large_calloc(size_t count, size_t size_bytes);
void *mbi_large_realloc(void *pointer, size_t size_bytes);
/* alignment_bytes: any power of two. */
void *mbi_large_aligned_alloc(size_t alignment_bytes, size_t size_bytes);
/* Preserves errno; NULL is fine. */
void mbi_large_free(void *pointer);
size_t mbi_large_usable_bytes(const void *pointer);

#else

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

static inline void *mbi_large_alloc(size_t size_bytes)
{
    return malloc(size_bytes);
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
    void *pointer = NULL;
    size_t alignment = alignment_bytes > sizeof(void *) ? alignment_bytes : sizeof(void *);
    int error = posix_memalign(&pointer, alignment, size_bytes);
    if (error != 0) {
        errno = error;
        return NULL;
    }
    return pointer;
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
