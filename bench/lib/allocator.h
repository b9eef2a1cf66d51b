/*
 * allocator: what a workload allocates with. Every workload is compiled three times:
 *   BENCH_MALLOC   malloc and free: the C library's, or whatever is preloaded
 *   BENCH_CALLED   mb_alloc and mb_free, called in the shared library
 *   BENCH_INLINED  mb_alloc and mb_free inlined; mb_free_sized where the size is a constant
 */
#ifndef MEMORYBUCKET_BENCH_ALLOCATOR_H
#define MEMORYBUCKET_BENCH_ALLOCATOR_H

#include <stdlib.h>

#if defined(BENCH_MALLOC)

static inline void *bench_alloc(size_t size)
{
    return malloc(size);
}

static inline void bench_free(void *pointer)
{
    free(pointer);
}

static inline void bench_free_sized(void *pointer, size_t size)
{
    (void)size;
    free(pointer);
}

static inline void *bench_realloc(void *pointer, size_t size)
{
    return realloc(pointer, size);
}

#elif defined(BENCH_CALLED) || defined(BENCH_INLINED)

#ifdef BENCH_INLINED
#include "memorybucket/inline.h"
#else
#include "memorybucket/memorybucket.h"
#endif

static inline __attribute__((always_inline)) void *bench_alloc(size_t size)
{
    return mb_alloc(size);
}

static inline __attribute__((always_inline)) void bench_free(void *pointer)
{
    mb_free(pointer);
}

static inline __attribute__((always_inline)) void bench_free_sized(void *pointer, size_t size)
{
#ifdef BENCH_INLINED
    mb_free_sized(pointer, size);
#else
    (void)size;
    mb_free(pointer);
#endif
}

static inline __attribute__((always_inline)) void *bench_realloc(void *pointer, size_t size)
{
    return mb_realloc(pointer, size);
}

#else
#error "define BENCH_MALLOC, BENCH_CALLED or BENCH_INLINED"
#endif

/* Whether the program calls MemoryBucket by its own names. */
#ifdef BENCH_MALLOC
enum { BENCH_NATIVE = 0 };
#else
enum { BENCH_NATIVE = 1 };
#endif

#endif
