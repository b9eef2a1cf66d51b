/*
 * chance: random numbers, and the two functions of sampling by bytes, without libm.
 *
 * Ladder: above base; pure. Callers: tcache/sampling, insight/profile.
 */
#ifndef MEMORYBUCKET_CORE_CHANCE_H
#define MEMORYBUCKET_CORE_CHANCE_H

#include "core/base.h"

#include <string.h>

/* xorshift64*: Vigna, ACM TOMS 42 (2016). The state is not 0. */
static inline uint64_t chance_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* One of the 2^log2 numbers from 0 on, log2 < 64. */
static inline uint64_t chance_one_of(uint64_t *state, unsigned log2)
{
    return chance_next(state) >> 1 >> (63 - log2);
}

/*
 * -ln(number / 2^53) for 1 <= number <= 2^53, to a relative error below 1e-9: the exponent, and the
 * series of the inverse hyperbolic tangent for a mantissa between 1/sqrt(2) and sqrt(2). Whether
 * the mantissa is halved for that is as good as random: no branch, but the carry of a subtraction.
 */
static inline double chance_minus_log(uint64_t number)
{
    const double ln2 = 0.693147180559945309417;
    const uint64_t sqrt_half_bits = UINT64_C(0x3fe6a09e667f3bcd);
    enum { FRACTION_BITS = 52 };
    double mantissa = (double)(int64_t)number;
    uint64_t bits;
    memcpy(&bits, &mantissa, sizeof bits);
    uint64_t exponent = (bits - sqrt_half_bits) >> FRACTION_BITS;
    bits -= exponent << FRACTION_BITS;
    memcpy(&mantissa, &bits, sizeof bits);
    double t = (mantissa - 1) / (mantissa + 1);
    double square = t * t;
    double sum = 1.0 / 9 + square * (1.0 / 11); /* written out: a loop divides as it runs */
    sum = 1.0 / 5 + square * (1.0 / 7 + square * sum);
    sum = 1.0 + square * (1.0 / 3 + square * sum);
    return (double)(53 - (int64_t)exponent) * ln2 - 2 * t * sum;
}

/* An exponentially distributed number with mean 1. */
static inline double chance_exponential(uint64_t *state)
{
    return chance_minus_log((chance_next(state) >> 11) + 1);
}

/* 1 - exp(-x) for x >= 0: a series for a small part of x, and 1 - e^-2y = (1 - e^-y)(1 + e^-y). */
static inline double chance_within(double x)
{
    const double small = 1.0 / 16;
    const double certain = 64;
    int doublings = 0;
    if (x >= certain) {
        return 1;
    }
    while (x > small) {
        x /= 2;
        doublings++;
    }
    double sum = 1 - x / 7;
    for (int term = 6; term > 1; term--) {
        sum = 1 - x / term * sum;
    }
    double chance = x * sum;
    for (; doublings > 0; doublings--) {
        chance *= 2 - chance;
    }
    return chance;
}

#endif
