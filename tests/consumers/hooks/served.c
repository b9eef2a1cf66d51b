/*
 * served: linked to an example, which it leaves as it is. When the program ends, after its atexit handlers, it checks
 * that pools served, and that all was given back.
 */
#include "check.h"

#include <inttypes.h>
#include <memorybucket/memorybucket.h>

__attribute__((destructor)) static void check_served(void)
{
    if (getenv("MB_CHECK") != NULL) {
        return; /* nearly all objects are on guarded pages, not in pools, and checked mode reports leaks itself */
    }
    static struct mb_stats stats;
    uint64_t live = 0, taken = 0;
    CHECK(mb_stats_get_quick(&stats, sizeof stats) == 0);
    for (int i = 0; i < MB_POOL_COUNT; i++) {
        live += stats.pool[i].live;
        taken += stats.pool[i].taken;
    }
    fprintf(stderr, "served: %" PRIu64 " slots taken, %" PRIu64 " large requests\n", taken, stats.large_allocs);
    CHECK(taken > 0);
    CHECK(live == 0, "%" PRIu64 " slots are live", live);
    CHECK(stats.large_allocs == stats.large_frees, "%" PRIu64 " large, %" PRIu64 " freed", stats.large_allocs,
          stats.large_frees);
}
