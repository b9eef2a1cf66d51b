/* mbstat_rates: differences of counters, and a ring of them. */
#include "cli/mbstat_rates.h"

/* Of a counter that may also have begun anew. */
static double rate_of(uint64_t now, uint64_t before, double seconds)
{
    return seconds > 0 && now > before ? (double)(now - before) / seconds : 0;
}

static void add_pool(const uint64_t *pool, const uint64_t *before, double seconds, double *now)
{
    uint64_t slot_bytes = pool[POOL_slot_bytes];
    now[SERIES_LIVE] = (double)(pool[POOL_live] * slot_bytes);
    now[SERIES_CACHED] = (double)(snapshot_cached_slots(pool) * slot_bytes);
    now[SERIES_COMMITTED] = (double)pool[POOL_committed_bytes];
    now[SERIES_REFILLS] = rate_of(pool[POOL_refills], before[POOL_refills], seconds);
    now[SERIES_FLUSHES] = rate_of(pool[POOL_flushes], before[POOL_flushes], seconds);
    now[SERIES_RETRIES] = rate_of(pool[POOL_cas_retries], before[POOL_cas_retries], seconds);
    now[SERIES_WAITS] = rate_of(pool[POOL_mutex_waits], before[POOL_mutex_waits], seconds);
}

void rates_add(struct rates *rates, const struct snapshot *snapshot)
{
    const uint64_t *totals = snapshot->totals;
    const uint64_t *before = rates->last.totals;
    uint64_t between_ns = totals[TOTAL_published_ns] - before[TOTAL_published_ns];
    double seconds = rates->has_last ? (double)between_ns / 1e9 : 0;
    rates->large = rate_of(totals[TOTAL_large_allocs], before[TOTAL_large_allocs], seconds);
    for (size_t pool = 0; pool < MB_POOL_COUNT; pool++) {
        add_pool(snapshot->pools[pool], rates->last.pools[pool], seconds, rates->now[pool]);
        for (size_t series = 0; series < SERIES_COUNT; series++) {
            rates->history[pool][series][rates->readings % HISTORY_MAX] =
                (float)rates->now[pool][series];
        }
    }
    rates->readings++;
    rates->last = *snapshot;
    rates->has_last = true;
}

size_t rates_history(const struct rates *rates, size_t pool, enum series series, float *out,
                     size_t count)
{
    if (count > HISTORY_MAX) {
        count = HISTORY_MAX;
    }
    if (count > rates->readings) {
        count = rates->readings;
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = rates->history[pool][series][(rates->readings - count + i) % HISTORY_MAX];
    }
    return count;
}
