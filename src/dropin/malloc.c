/*
 * dropin/malloc: the C library's allocation functions, each the fast path itself.
 *
 * Ladder: above api and tcache. Only libmemorybucket-malloc.so is built from it.
 *
 * Contracts are those of malloc(3), posix_memalign(3) and malloc_usable_size(3) in glibc:
 * realloc(p, 0) frees.
 */
#include "api/api.h"
#include "dropin/names.h"

#include <malloc.h>
#include <stdlib.h>

/* C23, which the C library's headers may not know yet. */
EXPORT void free_sized(void *pointer, size_t size);
EXPORT void free_aligned_sized(void *pointer, size_t alignment, size_t size);

EXPORT void *malloc(size_t size)
{
    return api_alloc(size, CLASS_ABI_ALIGNED);
}

EXPORT void free(void *pointer)
{
    api_free(pointer);
}

EXPORT void *calloc(size_t count, size_t size)
{
    return api_calloc(count, size, CLASS_ABI_ALIGNED);
}

static inline void *resize(void *pointer, size_t size)
{
    if (MBI_UNLIKELY(size == 0 && pointer != NULL)) {
        api_free(pointer);
        return NULL;
    }
    return api_realloc(pointer, size, CLASS_ABI_ALIGNED);
}

EXPORT void *realloc(void *pointer, size_t size)
{
    return resize(pointer, size);
}

EXPORT void *reallocarray(void *pointer, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    if (MBI_UNLIKELY(mbi_realloc_is_others())) {
        return in_use_realloc(pointer, bytes);
    }
    return resize(pointer, bytes);
}

/* A smaller alignment becomes malloc's, so that any object of this size may lie there. */
static void *allocate_aligned(size_t alignment, size_t size)
{
    if (alignment < ABI_ALIGNMENT_BYTES) {
        return api_alloc(size, CLASS_ABI_ALIGNED);
    }
    return mbi_api_aligned_alloc(alignment, size);
}

EXPORT int posix_memalign(void **out, size_t alignment, size_t size)
{
    if (!is_power_of_two(alignment) || alignment % sizeof(void *) != 0) {
        return EINVAL;
    }
    void *pointer = allocate_aligned(alignment, size);
    if (pointer == NULL) {
        errno = ENOMEM; /* not required by POSIX, but usual */
        return ENOMEM;
    }
    *out = pointer;
    return 0;
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    if (!is_power_of_two(alignment)) {
        errno = EINVAL;
        return NULL;
    }
    return allocate_aligned(alignment, size);
}

/* As glibc: an alignment that is no power of two is rounded up to one. */
EXPORT void *memalign(size_t alignment, size_t size)
{
    if (alignment > SIZE_MAX / 2 + 1) {
        errno = EINVAL;
        return NULL;
    }
    size_t power = ABI_ALIGNMENT_BYTES;
    while (power < alignment) {
        power *= 2;
    }
    return allocate_aligned(power, size);
}

EXPORT void *valloc(size_t size)
{
    return allocate_aligned(mbi_os_page_bytes(), size);
}

EXPORT void *pvalloc(size_t size)
{
    size_t page_bytes = mbi_os_page_bytes();
    if (size > SIZE_MAX - page_bytes) {
        errno = ENOMEM;
        return NULL;
    }
    return allocate_aligned(page_bytes, round_up(size_max(size, 1), page_bytes));
}

/* Only checked mode looks at the sizes. */
EXPORT void free_sized(void *pointer, size_t size)
{
    api_free_sized(pointer, size);
}

EXPORT void free_aligned_sized(void *pointer, size_t alignment, size_t size)
{
    (void)alignment;
    api_free_sized(pointer, size);
}

EXPORT size_t malloc_usable_size(void *pointer)
{
    return api_usable_bytes(pointer);
}

/*
 * The C library's second names, which programs with a malloc of their own call. They are ours too,
 * as an object may come from either name and be freed by the other.
 */
EXPORT_ALIAS(__libc_malloc, malloc);
EXPORT_ALIAS(__libc_free, free);
EXPORT_ALIAS(__libc_calloc, calloc);
EXPORT_ALIAS(__libc_realloc, realloc);
EXPORT_ALIAS(__libc_memalign, memalign);
EXPORT_ALIAS(__libc_valloc, valloc);
EXPORT_ALIAS(__libc_pvalloc, pvalloc);
