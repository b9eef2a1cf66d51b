/* log_uniform.h: sizes from 8 bytes to a power of two, as many in each doubling, and as many in each
 * eighth of one; an end belongs half to either side; the mean is what it says. */
#include "log_uniform.h"

#include "check.h"

#include <stdbool.h>
#include <string.h>

enum { DRAWS = 4000000, SIZE_MAX_DRAWN = 32768 };
static unsigned drawn[SIZE_MAX_DRAWN + 1];

/* Within five standard deviations of a binomial distribution, with `share` of `all`. */
static bool is_share(unsigned count, double all, double share)
{
    double off = count - all * share;
    return off * off <= 25 * all * share * (1 - share);
}

static void test_shares(unsigned doublings)
{
    uint64_t state = 88172645463325252U;
    uint64_t sum = 0;
    const size_t largest = (size_t)8 << doublings;
    memset(drawn, 0, sizeof drawn);
    for (unsigned i = 0; i < DRAWS; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        size_t size = log_uniform_size(state, doublings);
        CHECK(size >= 8 && size <= largest);
        drawn[size]++;
        sum += size;
    }
    for (size_t least = 8; least < largest; least *= 2) {
        /* An end belongs to two doublings, with half of another size's share in each. */
        const double share = 1.0 / doublings / (double)least;
        CHECK(is_share(drawn[least], DRAWS, share / 2 + (least > 8 ? share : 0)));
        for (size_t eighth = 0; eighth < 8; eighth++) {
            const size_t end = least + (eighth + 1) * (least / 8);
            size_t sizes = 0;
            unsigned count = 0;
            for (size_t size = least + eighth * (least / 8) + (eighth == 0); size < end; size++) {
                sizes++;
                count += drawn[size];
            }
            CHECK(is_share(count, DRAWS, share * (double)sizes));
        }
    }
    const double mean = (double)sum / DRAWS;
    const double expected = (double)log_uniform_mean(doublings);
    CHECK(mean > 0.99 * expected && mean < 1.01 * expected);
}

int main(void)
{
    test_shares(LOG_UNIFORM_TO_16K);
    test_shares(LOG_UNIFORM_TO_32K);
    CHECK(log_uniform_size(0, LOG_UNIFORM_TO_16K) == 8);
    CHECK(log_uniform_size(UINT64_MAX, LOG_UNIFORM_TO_16K) == 16384);
    CHECK(log_uniform_size(UINT64_MAX, LOG_UNIFORM_TO_32K) == 32768);
    return 0;
}
