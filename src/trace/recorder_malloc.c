/*
 * recorder_malloc: the malloc of libmemorybucket-record.so, which mbrun --record preloads in front
 * of the one in use.
 *
 * Ladder: above recorder. It passes each call on to the next malloc in link order, and has it
 * recorded. operator new and delete are not here: they call malloc and free, where they are the
 * compiler's.
 */
#include "trace/recorder.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

/* ---- the next malloc ---- */

static struct {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    void *(*memalign)(size_t, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*valloc)(size_t);
    void *(*pvalloc)(size_t);
    void (*free)(void *);
} next;
static atomic_bool found; /* `next` is whole */
static RECORDER_PER_THREAD bool is_finding;

/* What dlsym itself allocates; never freed. */
enum { BOOT_BYTES = 16 * 1024, BOOT_STEP = 16 };
static _Alignas(BOOT_STEP) char boot[BOOT_BYTES];
static atomic_size_t boot_used;

static void *boot_allocate(size_t bytes)
{
    /* And never empty. */
    size_t rounded = (bytes + BOOT_STEP + BOOT_STEP - 1) & ~(size_t)(BOOT_STEP - 1);
    /* relaxed [BOOT]: hands out disjoint ranges of untouched memory. */
    size_t at = bytes < BOOT_BYTES
                    ? atomic_fetch_add_explicit(&boot_used, rounded, memory_order_relaxed)
                    : BOOT_BYTES;
    if (at > BOOT_BYTES - BOOT_STEP || rounded > BOOT_BYTES - at) {
        errno = ENOMEM;
        return NULL;
    }
    return boot + at;
}

static bool is_boot(const void *pointer)
{
    return (uintptr_t)pointer - (uintptr_t)boot < BOOT_BYTES;
}

static RECORDER_COLD bool find_slow(void)
{
    if (is_finding) {
        return false;
    }
    is_finding = true;
#define FIND(name) *(void **)&next.name = dlsym(RTLD_NEXT, #name)
    FIND(malloc);
    FIND(calloc);
    FIND(realloc);
    FIND(aligned_alloc);
    FIND(memalign);
    FIND(posix_memalign);
    FIND(valloc);
    FIND(pvalloc);
    FIND(free);
#undef FIND
    is_finding = false;
    /* release [NEXT-STORE]: pairs with [NEXT-LOAD]. */
    atomic_store_explicit(&found, true, memory_order_release);
    return true;
}

/* False in a call that dlsym makes. */
static inline bool find(void)
{
    /* acquire [NEXT-LOAD]: pairs with [NEXT-STORE]. */
    return RECORDER_LIKELY(atomic_load_explicit(&found, memory_order_acquire)) || find_slow();
}

/* After the allocation: see raw.h. */
static inline void *record_new(enum raw_kind kind, void *pointer, uint64_t size, size_t alignment)
{
    if (pointer != NULL && mb_recorder_is_on()) {
        unsigned log = alignment > 1 ? 64U - (unsigned)__builtin_clzl(alignment - 1) : 0;
        mb_recorder_add(kind, pointer, size, log);
    }
    return pointer;
}

/* ---- malloc ---- */

EXPORT void *malloc(size_t size)
{
    return find() ? record_new(RAW_ALLOCATE, next.malloc(size), size, 0) : boot_allocate(size);
}

EXPORT void *calloc(size_t count, size_t size)
{
    if (!find()) {
        size_t bytes;
        return __builtin_mul_overflow(count, size, &bytes) ? NULL : boot_allocate(bytes);
    }
    return record_new(RAW_ZEROED, next.calloc(count, size), count * size, 0);
}

EXPORT void free(void *pointer)
{
    if (pointer == NULL || is_boot(pointer) || !find()) {
        return;
    }
    if (mb_recorder_is_on()) {
        mb_recorder_add(RAW_FREE, pointer, 0, 0);
    }
    next.free(pointer);
}

static void *boot_move(void *pointer, size_t size)
{
    void *moved = malloc(size);
    if (moved != NULL) {
        size_t most = (size_t)(boot + BOOT_BYTES - (char *)pointer);
        memcpy(moved, pointer, size < most ? size : most);
    }
    return moved;
}

EXPORT void *realloc(void *pointer, size_t size)
{
    if (pointer == NULL) {
        return malloc(size);
    }
    if (is_boot(pointer) || !find()) {
        return boot_move(pointer, size);
    }
    if (!mb_recorder_is_on()) {
        return next.realloc(pointer, size);
    }
    mb_recorder_add(RAW_RESIZE_FROM, pointer, 0, 0);
    void *moved = next.realloc(pointer, size);
    enum raw_kind kind = moved != NULL ? RAW_RESIZE_TO
                         : size == 0   ? RAW_RESIZE_FREED
                                       : RAW_RESIZE_FAILED;
    if (mb_recorder_is_on()) {
        const void *at = moved != NULL ? moved : pointer;
        mb_recorder_add(kind, at, size, 0);
    }
    return moved;
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    return find() ? record_new(RAW_ALIGNED, next.aligned_alloc(alignment, size), size, alignment)
                  : NULL;
}

EXPORT void *memalign(size_t alignment, size_t size)
{
    return find() ? record_new(RAW_ALIGNED, next.memalign(alignment, size), size, alignment) : NULL;
}

EXPORT int posix_memalign(void **pointer, size_t alignment, size_t size)
{
    if (!find()) {
        return ENOMEM;
    }
    int error = next.posix_memalign(pointer, alignment, size);
    if (error == 0) {
        record_new(RAW_ALIGNED, *pointer, size, alignment);
    }
    return error;
}

EXPORT void *valloc(size_t size)
{
    size_t page = (size_t)getpagesize();
    return find() ? record_new(RAW_ALIGNED, next.valloc(size), size, page) : NULL;
}

EXPORT void *pvalloc(size_t size)
{
    size_t page = (size_t)getpagesize();
    size_t whole = (size + page - 1) & ~(page - 1);
    return find() ? record_new(RAW_ALIGNED, next.pvalloc(size), whole, page) : NULL;
}

__attribute__((constructor)) static void begin(void)
{
    if (find()) {
        mb_recorder_begin();
    }
}
