/*
 * centre: how many bytes lie in the central free lists of all pools together.
 *
 * Ladder: beside pool. Callers: pool, trim and the thread caches tell what they move; excess reads.
 *
 *   told + what the thread caches have not told yet = sum of (flushes - refills) * batch bytes
 *
 * A thread adds up what it moves, tells it in portions of CENTRE_TELL_BYTES, and tells the rest
 * when it gives up its cache. So few transfers meet other threads here, and the sum is off by at
 * most one portion a thread. What moves under a pool's lock is told at once.
 */
#ifndef MEMORYBUCKET_CORE_CENTRE_H
#define MEMORYBUCKET_CORE_CENTRE_H

#include "core/base.h"

enum { CENTRE_TELL_BYTES = 256 << 10 };

/* Written by threads that tell; read by every slow path. Below zero while flushes are told late. */
struct centre {
    _Alignas(ISOLATION_BYTES) _Atomic int64_t bytes;
};
extern MBI_HIDDEN struct centre mbi_centre;

/* So many bytes more, or, if negative, fewer. Tell a flush before it happens, a refill after. */
static inline void centre_tell(int64_t bytes)
{
    /* relaxed [CENTRE]: the sum is right whatever the order, and orders nothing. */
    atomic_fetch_add_explicit(&mbi_centre.bytes, bytes, memory_order_relaxed);
}

/* About the bytes in the centre; exact when no thread has anything to tell. */
static inline size_t centre_bytes(void)
{
    int64_t bytes = atomic_load_explicit(&mbi_centre.bytes, memory_order_relaxed); /* [CENTRE] */
    return bytes > 0 ? (size_t)bytes : 0;
}

#endif
