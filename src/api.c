/*
 * api: the public calls, each a fast path into the thread cache and a way to the system allocator.
 *
 * Ladder: above tcache and core. Both the library and the drop-in are built from it.
 */
#include "memorybucket/memorybucket.h"

#include "api.h"
#include "core/config.h"
#include "tcache/background.h"
#include "tcache/fork.h"

#include <unistd.h>

/*
 * Both stand here, and not beside what they call, because every user of the archive links this
 * file: an archive member that nobody names would be left out, and its constructor with it.
 */
__attribute__((constructor(101))) static void api_come_up(int argc, char **argv, char **envp)
{
    (void)argc;
    (void)argv;
    mbi_fork_register();
    if (environ == NULL) {
        environ = envp; /* as the C library will: in the drop-in this runs before it has */
    }
    if (mbi_config_wants_background()) {
        (void)mb_init();
    }
}

__attribute__((destructor)) static void api_report(void)
{
    (void)mbi_startup();
    mbi_config_read_late();
    if (mbi_config.stats_at_exit) {
        mb_stats_print(stderr);
    }
}

int mb_init(void)
{
    int error = mbi_startup();
    if (mbi_config.background) {
        (void)mbi_background_start(); /* refuses where nothing decays, of which was complained */
    }
    return error;
}

MBI_COLD void *mbi_api_alloc_rare(size_t size)
{
    if (size == 0) {
        return thread_cache_alloc(0);
    }
    mbi_thread_cache_count_large(1, 0);
    return mbi_large_alloc(size);
}

MBI_COLD void mbi_api_free_rare(void *pointer)
{
    size_t class = region_class_of(pointer);
    if (class < SIZE_CLASS_COUNT) { /* the constant caches know no region */
        thread_cache_free(mbi_thread_cache, pointer, class);
    } else if (pointer != NULL) {
        int saved_errno = errno; /* in the drop-in this may come to dlsym */
        mbi_thread_cache_count_large(0, 1);
        mbi_large_free(pointer);
        errno = saved_errno;
    }
}

/*
 * "inline" is for link-time optimisation of a program with the archive: as the header declares them
 * without it, these are still the external definitions (C11 6.7.4).
 */
inline void *mb_alloc(size_t size)
{
    return api_alloc(size, CLASS_TIGHT);
}

inline void mb_free(void *pointer)
{
    api_free(pointer);
}

inline void mb_free_sized(void *pointer, size_t size)
{
    (void)size;
    api_free(pointer);
}

/* For inline.h, whose own functions have the names above; no version, as their meaning has none. */
MB_API void *mb_inline_call_alloc(size_t size);
MB_API void mb_inline_call_free(void *pointer);

void *mb_inline_call_alloc(size_t size)
{
    return api_alloc(size, CLASS_TIGHT);
}

void mb_inline_call_free(void *pointer)
{
    api_free(pointer);
}

void *mb_calloc(size_t count, size_t size)
{
    return api_calloc(count, size, CLASS_TIGHT);
}

void *mb_realloc(void *pointer, size_t size)
{
    return api_realloc(pointer, size, CLASS_TIGHT);
}

void *mb_aligned_alloc(size_t alignment, size_t size)
{
    if (!is_power_of_two(alignment)) {
        errno = EINVAL;
        return NULL;
    }
    return mbi_api_aligned_alloc(alignment, size);
}

void *mbi_api_aligned_alloc(size_t alignment, size_t size)
{
    size_t class = size_class_of_aligned(alignment, size);
    if (class == SIZE_CLASS_COUNT) {
        mbi_thread_cache_count_large(1, 0);
        return mbi_large_aligned_alloc(alignment, size);
    }
    struct slot *slot = mbi_thread_cache_take(class);
    return slot != NULL ? slot : mbi_thread_cache_spill(class, alignment);
}

size_t mb_usable_size(const void *pointer)
{
    return api_usable_bytes(pointer);
}
