/* histogram.h against sorting: every quantile is within a bucket's width, and never below. */
#include "histogram.h"

#include "check.h"

#include <stdio.h>
#include <stdlib.h>

enum { VALUES = 100000 };
static uint64_t values[VALUES];

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int main(void)
{
    static struct histogram all;
    static struct histogram halves[2];
    uint64_t state = 88172645463325252U;
    for (unsigned i = 0; i < VALUES; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        values[i] = state >> (state % 64); /* all magnitudes */
        histogram_add(&halves[i % 2], values[i]);
    }
    histogram_merge(&all, &halves[0]);
    histogram_merge(&all, &halves[1]);
    qsort(values, VALUES, sizeof values[0], compare);
    CHECK(all.total == VALUES && all.max == values[VALUES - 1]);

    for (unsigned i = 1; i <= 10000; i++) {
        uint64_t exact = values[(uint64_t)i * VALUES / 10000 - 1];
        uint64_t found = histogram_quantile(&all, (double)i / 10000);
        CHECK(found >= exact && found - exact <= exact >> HISTOGRAM_SUB_BITS);
    }
    for (uint64_t value = 0; value < 100000; value++) {
        unsigned bucket = histogram_bucket(value);
        CHECK(histogram_bucket_top(bucket) >= value);
        CHECK(bucket == 0 || histogram_bucket_top(bucket - 1) < value);
    }
    CHECK(histogram_bucket_top(histogram_bucket(UINT64_MAX)) == UINT64_MAX);
    return 0;
}
