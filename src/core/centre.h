/*
 * centre: how many bytes lie in the central free lists of all pools together.
 *
 * Ladder: above base. Callers: pool, trim and the thread caches tell what they move; excess reads.
 *
 *   told + what the thread caches have not told yet = sum of (flushes - refills) * batch bytes
 *
 * A thread adds up what it moves and tells it in portions of CENTRE_TELL_BYTES, and the rest when
 * it gives up its cache: so few transfers meet other threads here, and the sum is off by at most
 * that for each thread. What moves under a pool's lock is told at once.
 */
#ifndef MEMORYBUCKET_CORE_CENTRE_H
#define MEMORYBUCKET_CORE_CENTRE_H

#include "core/base.h"

enum { CENTRE_TELL_BYTES = 256 << 10 };

/* Adds or subtracts bytes. A flush is told before it happens, and a refill after it. */
void mbi_centre_tell(int64_t bytes);

/* What was told so far; below zero while flushes are told less than refills. */
int64_t mbi_centre_told(void);

/* Bytes in the centre, about; exactly when no thread has anything to tell. */
static inline size_t centre_bytes(void)
{
    int64_t bytes = mbi_centre_told();
    return bytes > 0 ? (size_t)bytes : 0;
}

#endif
