/*
 * large: the allocator behind the pools, for requests above 512 bytes and for pointers that are
 * not ours.
 *
 * Ladder: above base. Callers: the thread caches' last resort, the API.
 *
 * Two files implement it. The library takes large.c: the program's own malloc. The drop-in, which
 * *is* the program's malloc, takes dropin/next.c: the next allocator in link order.
 * Contracts are those of the C library's functions of the same name. No lock of ours may be held.
 */
#ifndef MEMORYBUCKET_CORE_LARGE_H
#define MEMORYBUCKET_CORE_LARGE_H

#include "core/base.h"

void *mbi_large_alloc(size_t size_bytes);
void *mbi_large_calloc(size_t count, size_t size_bytes);
void *mbi_large_realloc(void *pointer, size_t size_bytes);
/* alignment_bytes: any power of two. */
void *mbi_large_aligned_alloc(size_t alignment_bytes, size_t size_bytes);
/* Preserves errno; NULL is fine. */
void mbi_large_free(void *pointer);
size_t mbi_large_usable_bytes(const void *pointer);

#endif
