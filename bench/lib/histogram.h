/*
 * histogram: of durations, in buckets of equal relative width, as HdrHistogram's (Tene, 2012): 64
 * to each power of two, so that a value is known to 1.6 %.
 */
#ifndef MEMORYBUCKET_BENCH_HISTOGRAM_H
#define MEMORYBUCKET_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 6,
    HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS,
};

struct histogram {
    uint64_t count[HISTOGRAM_BUCKETS];
    uint64_t total;
    uint64_t max;
};

/* Values below 64 have a bucket each; above, the leading 7 bits choose it. */
static inline unsigned histogram_bucket(uint64_t value)
{
    unsigned exponent = 63U - (unsigned)__builtin_clzll(value | 1);
    unsigned shift = exponent > HISTOGRAM_SUB_BITS ? exponent - HISTOGRAM_SUB_BITS : 0;
    return (shift << HISTOGRAM_SUB_BITS) + (unsigned)(value >> shift);
}

/* The largest value that falls into the bucket. */
static inline uint64_t histogram_bucket_top(unsigned bucket)
{
    unsigned shift = bucket >> (HISTOGRAM_SUB_BITS + 1) != 0
                         ? (bucket >> HISTOGRAM_SUB_BITS) - 1
                         : 0;
    uint64_t leading = bucket - (shift << HISTOGRAM_SUB_BITS);
    return ((leading + 1) << shift) - 1;
}

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->count[histogram_bucket(value)]++;
    histogram->total++;
    histogram->max = value > histogram->max ? value : histogram->max;
}

static inline void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        into->count[i] += from->count[i];
    }
    into->total += from->total;
    into->max = from->max > into->max ? from->max : into->max;
}

/* The smallest bucket top that `share` (0 to 1) of all values are at or below. */
static inline uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
    double wanted = share * (double)histogram->total - 0.001; /* counts are whole, shares are not */
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->count[i];
        if (histogram->count[i] != 0 && (double)seen >= wanted) {
            uint64_t top = histogram_bucket_top(i);
            return top < histogram->max ? top : histogram->max;
        }
    }
    return histogram->max;
}

#endif
