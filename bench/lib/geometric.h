/*
 * geometric: sizes as programs ask for them, from 8 to 511 bytes, most below 128.
 *
 * Half are in the first of twelve steps of 42 sizes (8 to 49 bytes), half of the others in the
 * second, and so on; within a step all are alike:
 *   8 + 42 * min(z, 11) + r,   z a random number's leading zeros, r uniform from 0 to 41
 * That takes fewer instructions than a table, and no cache from the allocator.
 */
#ifndef MEMORYBUCKET_BENCH_GEOMETRIC_H
#define MEMORYBUCKET_BENCH_GEOMETRIC_H

#include <stddef.h>
#include <stdint.h>

enum { GEOMETRIC_MIN = 8, GEOMETRIC_STEPS = 12, GEOMETRIC_STEP_SIZES = 42 };
enum { GEOMETRIC_MAX = GEOMETRIC_MIN + GEOMETRIC_STEPS * GEOMETRIC_STEP_SIZES - 1 };

/* The size that goes with a random number, which is not 0. */
static inline size_t geometric_size(uint64_t random)
{
    size_t step = (size_t)__builtin_clzll(random);
    step = step < GEOMETRIC_STEPS ? step : GEOMETRIC_STEPS - 1;
    size_t rest = (random & UINT32_MAX) * GEOMETRIC_STEP_SIZES >> 32;
    return GEOMETRIC_MIN + GEOMETRIC_STEP_SIZES * step + rest;
}

#endif
