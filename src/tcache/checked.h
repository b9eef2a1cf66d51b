/*
 * checked: whether checked mode is on.
 *
 * Ladder: above base. Callers: the slow paths, which then call checked mode (core/upcalls.h), and
 * the calls of the API that are off the fast path.
 *
 * While checked mode is on no thread has a cache. All stay on mbi_cache_direct, whose magazines are
 * empty and full, so every small request and every free takes a slow path.
 */
#ifndef MEMORYBUCKET_TCACHE_CHECKED_H
#define MEMORYBUCKET_TCACHE_CHECKED_H

#include "core/base.h"

/* In thread_cache.c. Startup may set it, before the first slot exists; then it is constant. */
extern MBI_HIDDEN _Atomic bool mbi_checked;

static inline bool checked_is_on(void)
{
    /* acquire [CHECKED-LOAD]: pairs with [CHECKED-STORE]; a thread that frees a foreign pointer may
     * read this without having been through startup. */
    return MBI_UNLIKELY(atomic_load_explicit(&mbi_checked, memory_order_acquire));
}

/* The size of a free that does not say the object's. */
#define CHECKED_SIZE_UNKNOWN SIZE_MAX

#endif
