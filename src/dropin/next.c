/*
 * dropin/next: large requests go to the next allocator in link order.
 *
 * Ladder: implements core/large.h. The next allocator is usually the C library's, or that of a
 * library which was preloaded behind this one.
 *
 * mbi_next_symbol finds its functions once, through dlsym, which may allocate itself. The pools
 * serve those requests, and above 512 bytes a small static arena that is never freed.
 */
#include "core/large.h"
#include "core/os.h"
#include "dropin/names.h"
#include "dropin/next_memory.h"

#include <errno.h>
#include <string.h>

typedef void *calloc_function(size_t, size_t);
typedef void *realloc_function(void *, size_t);
typedef size_t malloc_usable_size_function(void *);

/* The functions but malloc and free. Read only by a thread that has seen `found`. */
static struct {
    _Atomic uintptr_t calloc;
    _Atomic uintptr_t realloc;
    _Atomic uintptr_t posix_memalign;
    _Atomic uintptr_t malloc_usable_size;
} others;

#define NEXT(name) FOUND(name##_function, others.name)
#define NEXT_FIND(name) found_set(&others.name, mbi_next_symbol_or_abort(#name))

/* Set last, when every function is known. */
static _Atomic bool found;

static _Thread_local bool searching __attribute__((tls_model("initial-exec")));

/* Requests of dlsym itself: a bump arena, each object behind a header with its size. */
enum { BOOT_HEADER_BYTES = 16 };
static _Atomic size_t boot_used;

static void *boot_alloc(size_t alignment_bytes, size_t size_bytes)
{
    size_t alignment = size_max(alignment_bytes, BOOT_HEADER_BYTES);
    size_t bytes = round_up(size_bytes, BOOT_HEADER_BYTES) + BOOT_HEADER_BYTES + alignment;
    bool fits = size_bytes <= BOOT_ARENA_BYTES && alignment <= BOOT_ARENA_BYTES
                && bytes <= BOOT_ARENA_BYTES;
    /* relaxed [BOOT]: hands out disjoint ranges of untouched memory. */
    size_t offset =
        fits ? atomic_fetch_add_explicit(&boot_used, bytes, memory_order_relaxed) : 0;
    if (!fits || offset > BOOT_ARENA_BYTES - bytes) {
        errno = ENOMEM;
        return NULL;
    }
    uintptr_t start = (uintptr_t)mbi_boot_arena + offset + BOOT_HEADER_BYTES;
    char *object = mbi_boot_arena + offset + BOOT_HEADER_BYTES;
    object += round_up(start, alignment) - start;
    memcpy(object - BOOT_HEADER_BYTES, &size_bytes, sizeof size_bytes);
    return object;
}

static void next_find_all(void)
{
    searching = true;
    NEXT_FIND(calloc);
    NEXT_FIND(realloc);
    NEXT_FIND(posix_memalign);
    NEXT_FIND(malloc_usable_size);
    void *(*next_malloc)(size_t) = (void *(*)(size_t))mbi_next_symbol_or_abort("malloc");
    void (*next_free)(void *) = (void (*)(void *))mbi_next_symbol_or_abort("free");
    atomic_store_explicit(&mbi_next.malloc, next_malloc, memory_order_relaxed); /* [NEXT] */
    atomic_store_explicit(&mbi_next.free, next_free, memory_order_relaxed);     /* [NEXT] */
    /* release [NEXT-STORE]: pairs with [NEXT-LOAD]. */
    atomic_store_explicit(&found, true, memory_order_release);
    searching = false;
}

/* Finds the functions unless they are known; false while this thread is inside dlsym for that. */
static bool next_find(void)
{
    /* acquire [NEXT-LOAD]: pairs with [NEXT-STORE]. */
    if (MBI_LIKELY(atomic_load_explicit(&found, memory_order_acquire))) {
        return true;
    }
    if (searching) {
        return false;
    }
    next_find_all();
    return true;
}

/* While the process has one thread. A large request before this finds the functions itself. */
__attribute__((constructor(102))) static void next_find_early(void)
{
    (void)next_find();
}

static MBI_COLD void *next_first_malloc(size_t size_bytes)
{
    return next_find() ? mbi_large_alloc(size_bytes) : boot_alloc(1, size_bytes);
}

/* While dlsym looks, its frees of other allocators' objects do nothing. */
static MBI_COLD void next_first_free(void *pointer)
{
    if (next_find()) {
        mbi_large_free(pointer);
    }
}

struct next_allocator mbi_next = { .malloc = next_first_malloc, .free = next_first_free };

/* Callers checked for overflow. */
void *mbi_large_calloc(size_t count, size_t size_bytes)
{
    if (next_find()) {
        return NEXT(calloc)(count, size_bytes);
    }
    /* The arena is zero from the start. */
    return boot_alloc(1, count * size_bytes);
}

void *mbi_large_aligned_alloc(size_t alignment_bytes, size_t size_bytes)
{
    return next_find() ? large_aligned_by(NEXT(posix_memalign), alignment_bytes, size_bytes)
                       : boot_alloc(alignment_bytes, size_bytes);
}

/*
 * Objects that grow. The C library moves one that it cannot extend, and has room for the next
 * object there at once: of 16 buffers that grew in turn by 100 bytes each nearly every call copied
 * one. So an object grows by an eighth of what it has, at least, and stays where it is while it
 * would give back less than that. Of large objects that is 4 MiB, and takes no memory until it is
 * touched.
 */
enum { ROOM_SHARE = 8, ROOM_BYTES_MAX = 4 << 20 };

static void *next_realloc(void *pointer, size_t size_bytes)
{
    if (!mbi_next_is_c_library()) {
        return NEXT(realloc)(pointer, size_bytes); /* it may have a rule of its own */
    }
    size_t usable_bytes = NEXT(malloc_usable_size)(pointer);
    size_t room_bytes = size_min(usable_bytes / ROOM_SHARE, ROOM_BYTES_MAX);
    if (size_bytes > usable_bytes && size_bytes < usable_bytes + room_bytes) {
        int saved_errno = errno;
        void *grown = NEXT(realloc)(pointer, usable_bytes + room_bytes);
        if (MBI_LIKELY(grown != NULL)) {
            return grown;
        }
        errno = saved_errno;
    }
    /* What is mapped alone is whole pages, up to one more than it was to grow to. */
    size_t spare_bytes = room_bytes + mbi_os_page_bytes();
    bool stays = size_bytes <= usable_bytes && size_bytes > size_above(usable_bytes, spare_bytes);
    return stays ? pointer : NEXT(realloc)(pointer, size_bytes);
}

void *mbi_large_realloc(void *pointer, size_t size_bytes)
{
    if (!boot_owns(pointer) && next_find()) {
        return next_realloc(pointer, size_bytes);
    }
    void *moved = mbi_large_alloc(size_bytes);
    if (moved != NULL) {
        memcpy(moved, pointer, size_min(mbi_large_usable_bytes(pointer), size_bytes));
        mbi_large_free(pointer);
    }
    return moved;
}

size_t mbi_large_usable_bytes(const void *pointer)
{
    if (boot_owns(pointer)) {
        size_t size_bytes;
        memcpy(&size_bytes, (const char *)pointer - BOOT_HEADER_BYTES, sizeof size_bytes);
        return size_bytes;
    }
    return next_find() ? NEXT(malloc_usable_size)((void *)(uintptr_t)pointer) : 0;
}
