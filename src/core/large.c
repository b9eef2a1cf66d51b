/* large: the library's way, through the program's malloc. */
#include "core/large.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

void *mbi_large_alloc(size_t size_bytes)
{
    return malloc(size_bytes);
}

void *mbi_large_calloc(size_t count, size_t size_bytes)
{
    return calloc(count, size_bytes);
}

void *mbi_large_realloc(void *pointer, size_t size_bytes)
{
    return realloc(pointer, size_bytes);
}

void *mbi_large_aligned_alloc(size_t alignment_bytes, size_t size_bytes)
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

void mbi_large_free(void *pointer)
{
    free(pointer); /* preserves errno: POSIX.1-2024, and glibc since 2.33 */
}

size_t mbi_large_usable_bytes(const void *pointer)
{
    return malloc_usable_size((void *)(uintptr_t)pointer);
}
