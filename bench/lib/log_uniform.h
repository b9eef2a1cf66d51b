/*
 * log_uniform: sizes from 8 bytes to a power of two, as many in each doubling.
 *
 * A doubling (8 to 16, 16 to 32, ...) is drawn, then a size in it, all alike:
 *   8 * 2^d * (1 + r) rounded,   d uniform from 0 to `doublings` - 1, r uniform from 0 to below 1
 * That needs no logarithm, and no table, which would take cache from the allocator. The share of
 * sizes up to any size is at most 0.09 / `doublings` from that of exactly log-uniform ones.
 */
#ifndef MEMORYBUCKET_BENCH_LOG_UNIFORM_H
#define MEMORYBUCKET_BENCH_LOG_UNIFORM_H

#include <stddef.h>
#include <stdint.h>

enum { LOG_UNIFORM_MIN = 8 };
/* Doublings of 8 bytes. */
enum { LOG_UNIFORM_TO_16K = 11, LOG_UNIFORM_TO_32K = 12 };

/* The size that goes with a random number. */
static inline size_t log_uniform_size(uint64_t random, unsigned doublings)
{
    size_t least = (size_t)LOG_UNIFORM_MIN << ((random >> 32) * doublings >> 32);
    return least + (((random & UINT32_MAX) * least + (UINT64_C(1) << 31)) >> 32);
}

/* In the mean of a doubling from n to 2n a size is 1.5 n. */
static inline size_t log_uniform_mean(unsigned doublings)
{
    return 3 * LOG_UNIFORM_MIN * ((UINT64_C(1) << doublings) - 1) / (2 * doublings);
}

#endif
