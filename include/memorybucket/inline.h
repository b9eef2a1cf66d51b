/*
 * MemoryBucket, inlined: opt-in. After this header, mb_alloc, mb_free and mb_free_sized are
 * compiled into their caller, 15 and 19 instructions without a call. With a constant size the class
 * is folded at compile time: 10 and 17.
 *
 * Contracts are those of memorybucket.h: the same calls, on the same pools, with the same errors.
 * Inlined and called uses mix freely, also on one pointer. In an uncommon case (an empty or full
 * magazine, size 0, a foreign pointer) the inlined code calls the library; also for requests above
 * the border (MB_POOL_MAX), and above 1,024 bytes.
 *
 * Fibers and coroutines may resume on another thread: each call finds the cache of its thread,
 * where the compiler reads thread-local variables again after a switch (gcc and clang on x86-64
 * do).
 *
 * For C11 and C++, gcc and clang, with the shared and with the static library. The program compiles
 * in the layout of the thread cache. The layout's version is part of the name of the one variable
 * that this header refers to, so a program and a library that do not fit together fail to link, or
 * to start ("undefined symbol: mb_inline_cache_v3"), and never run.
 */
#ifndef MEMORYBUCKET_INLINE_H
#define MEMORYBUCKET_INLINE_H

#include "memorybucket.h"

#if !defined(__GNUC__) || !defined(__LP64__)
#error "memorybucket/inline.h needs gcc or clang and 64-bit pointers; use memorybucket.h alone"
#endif

#ifdef __cplusplus
#pragma GCC system_header /* C casts and all: C++ warnings are not for a header that is both */
extern "C" {
#endif

/* Private, down to the functions. The library asserts that the layout is its own. */

#define MB_INLINE_ROUNDS_BITS 16
#define MB_INLINE_DENSE_SHIFT 26
#define MB_INLINE_FUNCTION extern __inline__ __attribute__((gnu_inline, always_inline))
#define MB_INLINE_LIKELY(x) __builtin_expect(!!(x), 1)

/* A free slot's first word, whatever type the program had in it. */
typedef uint64_t mb_inline_word __attribute__((may_alias));

struct mb_inline_magazine {
    uint64_t chain; /* address of the first free slot, and rounds */
    uint16_t rounds_max;
};

struct mb_inline_cache {
    struct mb_inline_magazine loaded[MB_POOL_COUNT];
    uintptr_t dense_base;
    size_t linear_bytes; /* what comes from loaded[(size - 1) / 8] */
};

extern MB_API __thread struct mb_inline_cache *mb_inline_cache_v3
    __attribute__((tls_model("initial-exec")));

/*
 * The library's calls, by names that are not defined below: clang does not inline a function that
 * seems to call itself. They have no alloc_size: a compiler that knows an object to have 4 bytes
 * would warn of the 8 that the free slot's word takes.
 */
MB_API void *mb_inline_call_alloc(size_t size);
MB_API void mb_inline_call_free(void *pointer);
MB_API void mb_inline_call_free_sized(void *pointer, size_t size);

/* As in the library's size_class.h; unit/size_class compares the two. */
#define MB_INLINE_CLASS_OF(size) (((size) - 1) / 8)
#define MB_INLINE_OFFSET_OF(size, entry_bytes) ((((size) - 1) & ~(size_t)7) * ((entry_bytes) / 8))

/* A magazine takes two words, and a class spans eight bytes of size: the offset takes one AND. */
MB_INLINE_FUNCTION struct mb_inline_magazine *mb_inline_magazine_for(size_t size)
{
    size_t offset = MB_INLINE_OFFSET_OF(size, sizeof(struct mb_inline_magazine));
    return (struct mb_inline_magazine *)(void *)((char *)mb_inline_cache_v3->loaded + offset);
}

/*
 * Puts a free slot into the magazine; 0 when that is full.
 *
 * relaxed, as in the library: [CHAIN] other threads read the chain's rounds, [MAILBOX] and set the
 * limit (docs/memory-model.md).
 */
MB_INLINE_FUNCTION int mb_inline_push(struct mb_inline_magazine *magazine, void *pointer)
{
    uint64_t chain = __atomic_load_n(&magazine->chain, __ATOMIC_RELAXED); /* [CHAIN] */
    uint64_t rounds = chain & ((1U << MB_INLINE_ROUNDS_BITS) - 1);
    uint16_t limit = __atomic_load_n(&magazine->rounds_max, __ATOMIC_RELAXED); /* [MAILBOX] */
    if (!MB_INLINE_LIKELY(rounds < limit)) {
        return 0;
    }
    *(mb_inline_word *)pointer = chain;
    chain = ((uint64_t)(uintptr_t)pointer << MB_INLINE_ROUNDS_BITS) + rounds + 1;
    __atomic_store_n(&magazine->chain, chain, __ATOMIC_RELAXED); /* [CHAIN] */
    return 1;
}

/* The functions: see memorybucket.h. */

MB_INLINE_FUNCTION void *mb_alloc(size_t size)
{
    /* A small constant size needs no look at MB_POOL_MAX. */
    if ((__builtin_constant_p(size) && size - 1 < MB_SMALL_MAX)
        || MB_INLINE_LIKELY(size - 1 < mb_inline_cache_v3->linear_bytes)) {
        struct mb_inline_magazine *magazine = mb_inline_magazine_for(size);
        uint64_t chain = __atomic_load_n(&magazine->chain, __ATOMIC_RELAXED); /* [CHAIN] */
        mb_inline_word *slot = (mb_inline_word *)(uintptr_t)(chain >> MB_INLINE_ROUNDS_BITS);
        if (MB_INLINE_LIKELY(slot != NULL)) {
            chain = *slot;
            __atomic_store_n(&magazine->chain, chain, __ATOMIC_RELAXED); /* [CHAIN] */
            __builtin_prefetch((void *)(uintptr_t)(chain >> MB_INLINE_ROUNDS_BITS), 1);
            return slot;
        }
    }
    return mb_inline_call_alloc(size);
}

/* Frees a slot of the dense tier into a magazine with room; 0 when the library has to. */
MB_INLINE_FUNCTION int mb_inline_free(void *pointer)
{
    struct mb_inline_cache *cache = mb_inline_cache_v3;
    uintptr_t size_class = ((uintptr_t)pointer - cache->dense_base) >> MB_INLINE_DENSE_SHIFT;
    return MB_INLINE_LIKELY(size_class < MB_POOL_COUNT
                            && mb_inline_push(&cache->loaded[size_class], pointer)) != 0;
}

MB_INLINE_FUNCTION void mb_free(void *pointer)
{
    if (!mb_inline_free(pointer)) {
        mb_inline_call_free(pointer);
    }
}

/* With a constant size the magazine is known. The pointer's span is still checked. */
MB_INLINE_FUNCTION void mb_free_sized(void *pointer, size_t size)
{
    if (__builtin_constant_p(size) && size - 1 < MB_SMALL_MAX) {
        struct mb_inline_cache *cache = mb_inline_cache_v3;
        struct mb_inline_magazine *loaded = &cache->loaded[MB_INLINE_CLASS_OF(size)];
        uintptr_t size_class = ((uintptr_t)pointer - cache->dense_base) >> MB_INLINE_DENSE_SHIFT;
        if (MB_INLINE_LIKELY(size_class == MB_INLINE_CLASS_OF(size)
                             && mb_inline_push(loaded, pointer))) {
            return;
        }
        mb_inline_call_free_sized(pointer, size);
    } else if (!mb_inline_free(pointer)) {
        mb_inline_call_free_sized(pointer, size);
    }
}

#ifdef __cplusplus
}
#endif

#endif
