/*
 * bounded: a number that many threads raise and lower, and that stays within a bound.
 *
 * Ladder: above base. Callers: limit (what pools commit), budget (what threads cache).
 *
 *   sum of what was taken and not given back = taken <= most, unless `most` was set lower since
 *
 * Lock-free. relaxed [BOUNDED]: both numbers order nothing. A taker adds by a compare-exchange,
 * which fails if another thread has changed the number in which it found room. So when it succeeds
 * taken <= most holds, for the `most` that this try has read.
 */
#ifndef MEMORYBUCKET_CORE_BOUNDED_H
#define MEMORYBUCKET_CORE_BOUNDED_H

#include "core/base.h"

#define BOUNDED_NONE SIZE_MAX

struct bounded {
    _Alignas(ISOLATION_BYTES) _Atomic size_t taken; /* written by many */
    _Alignas(ISOLATION_BYTES) _Atomic size_t most;  /* written seldom; BOUNDED_NONE: no bound */
};
_Static_assert(sizeof(struct bounded) == 2 * (size_t)ISOLATION_BYTES, "in lines of their own");

static inline size_t bounded_taken(const struct bounded *bounded)
{
    return atomic_load_explicit(&bounded->taken, memory_order_relaxed); /* [BOUNDED] */
}

static inline size_t bounded_most(const struct bounded *bounded)
{
    return atomic_load_explicit(&bounded->most, memory_order_relaxed); /* [BOUNDED] */
}

/* Returns the old bound. What was taken stays taken. */
static inline size_t bounded_set_most(struct bounded *bounded, size_t most)
{
    return atomic_exchange_explicit(&bounded->most, most, memory_order_relaxed); /* [BOUNDED] */
}

/* Takes up to `count` units of `unit` (not 0) each, as far as there is room; returns how many. */
static inline size_t bounded_take(struct bounded *bounded, size_t count, size_t unit)
{
    size_t old = bounded_taken(bounded);
    size_t units;
    do {
        size_t left = size_above(bounded_most(bounded), old);
        units = size_min(left / unit, count);
        if (units == 0) {
            return 0;
        }
    } while (!atomic_compare_exchange_weak_explicit(&bounded->taken, &old, old + units * unit,
                                                    memory_order_relaxed,
                                                    memory_order_relaxed)); /* [BOUNDED] */
    return units;
}

static inline void bounded_give_back(struct bounded *bounded, size_t amount)
{
    atomic_fetch_sub_explicit(&bounded->taken, amount, memory_order_relaxed); /* [BOUNDED] */
}

/* Only where no other thread takes or gives back. */
static inline void bounded_reset(struct bounded *bounded, size_t taken)
{
    atomic_store_explicit(&bounded->taken, taken, memory_order_relaxed); /* [BOUNDED] */
}

#endif
