/*
 * checked: whether checked mode is on.
 *
 * Ladder: above base. Callers: the slow paths, which then hand over to it (core/upcalls.h), and the
 * calls of the API that are off the fast path.
 *
 * While it is on no thread has a cache (all stay on mbi_cache_direct, whose magazines are empty and
 * full), so every small request and every free comes to a slow path by the tests it makes anyway.
 */
#ifndef MEMORYBUCKET_TCACHE_CHECKED_H
#define MEMORYBUCKET_TCACHE_CHECKED_H

#include "core/base.h"

/* In thread_cache.c. Set by startup, if at all, before the first slot exists; then constant. */
extern MBI_HIDDEN _Atomic bool mbi_checked;

static inline bool checked_is_on(void)
{
    /* acquire [CHECKED-LOAD]: pairs with [CHECKED-STORE]; a thread that frees what is not ours may
     * come here before it has been through startup. */
    return MBI_UNLIKELY(atomic_load_explicit(&mbi_checked, memory_order_acquire));
}

/* Of a free that does not say the object's size. */
#define CHECKED_SIZE_UNKNOWN SIZE_MAX

#endif
