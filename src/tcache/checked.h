/*
 * checked: where the slow paths hand over to checked mode.
 *
 * Ladder: above thread_cache's needs only; what is declared here is defined in check/, above, as
 * mbi_thread_start is. Callers: the slow paths and the calls of the API that are off the fast path.
 *
 * While it is on no thread has a cache (all stay on mbi_cache_direct, whose magazines are empty and
 * full), so every small request and every free comes to a slow path by the tests it makes anyway.
 */
#ifndef MEMORYBUCKET_TCACHE_CHECKED_H
#define MEMORYBUCKET_TCACHE_CHECKED_H

#include "core/base.h"

/* Set by startup before the first slot exists, if at all, and constant from then on. */
extern MBI_HIDDEN _Atomic bool mbi_checked;

static inline bool checked_is_on(void)
{
    /* acquire [CHECKED-LOAD]: pairs with [CHECKED-STORE]; a thread that frees what is not ours may
     * come here before it has been through startup. */
    return MBI_UNLIKELY(atomic_load_explicit(&mbi_checked, memory_order_acquire));
}

/* Of a free that does not say the object's size. */
#define CHECKED_SIZE_UNKNOWN SIZE_MAX

/* Any size, also 0; the alignment is a power of two. NULL and ENOMEM without memory. */
void *mbi_check_alloc(size_t size_bytes, size_t alignment_bytes);

/* The same, zeroed, for a product above 512 that does not overflow. */
void *mbi_check_calloc_large(size_t count, size_t size_bytes);

/* Any pointer but NULL. `size_bytes`: what the caller says it is. Preserves errno. */
void mbi_check_free(void *pointer, size_t size_bytes);

/* Any pointer, also NULL, and any size, also 0. */
void *mbi_check_realloc(void *pointer, size_t size_bytes, size_t alignment_bytes);

/* Exactly what was asked for: what lies behind it is checked. 0 for NULL. */
size_t mbi_check_usable_bytes(const void *pointer);

/* Whether it knows the object, live or freed; false while it is off. */
bool mbi_check_holds(const void *pointer);

/* Slots of a class that were freed and are kept from being used again. */
size_t mbi_check_quarantined(size_t class);

/*
 * Turns checked mode on if the configuration or a tool that watches the process asks for it. Under
 * the init lock, after the configuration was read and before the region has its place; false when
 * every request shall go to the system allocator, so that no region is needed.
 */
bool mbi_check_init(void);

/* The lock of checked mode, which waits for forks to end: nothing can do without it. */
void mbi_check_lock(void);
void mbi_check_unlock(void);

/* In the child of a fork: what its parent allocated is no leak of it. */
void mbi_check_note_child(void);

#endif
