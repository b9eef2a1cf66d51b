/* geometric.h: sizes go from 8 to 511 bytes, most below 128; each step of 42 sizes has half of those
 * that are as large or larger, and within a step each size has its part. */
#include "geometric.h"

#include "check.h"

#include <stdbool.h>

enum { DRAWS = 4000000 };
static unsigned drawn[GEOMETRIC_MAX + 1];

/* Within four standard deviations of a binomial distribution, with `share` of `all`. */
static bool is_share(unsigned count, double all, double share)
{
    double off = count - all * share;
    return off * off <= 16 * all * share * (1 - share);
}

int main(void)
{
    uint64_t state = 88172645463325252U;
    for (unsigned i = 0; i < DRAWS; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        size_t size = geometric_size(state);
        CHECK(size >= 8 && size <= 511);
        drawn[size]++;
    }
    unsigned larger = DRAWS;
    unsigned below_128 = 0;
    for (unsigned step = 0; step < GEOMETRIC_STEPS; step++) {
        const unsigned *in_step = &drawn[GEOMETRIC_MIN + step * GEOMETRIC_STEP_SIZES];
        unsigned count = 0;
        for (unsigned i = 0; i < GEOMETRIC_STEP_SIZES; i++) {
            count += in_step[i];
            below_128 += in_step + i < &drawn[128] ? in_step[i] : 0;
        }
        CHECK(is_share(count, larger, step < GEOMETRIC_STEPS - 1 ? 0.5 : 1));
        for (unsigned i = 0; i < GEOMETRIC_STEP_SIZES; i++) {
            CHECK(is_share(in_step[i], count, 1.0 / GEOMETRIC_STEP_SIZES));
        }
        larger -= count;
    }
    CHECK(larger == 0 && below_128 > DRAWS / 100 * 85);
    CHECK(geometric_size(1) == 470 && geometric_size(UINT64_MAX) == 49);
    return 0;
}
