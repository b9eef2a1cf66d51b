/*
 * stats: the accounting equation, filled in and printed.
 *
 * Ladder: above tcache. Live slots are not counted anywhere: they are what was carved and is held
 * by nobody else, so the fast paths count nothing.
 */
#include "api/stats.h"

#include "core/decay.h"
#include "core/limit.h"
#include "core/region.h"
#include "tcache/budget.h"
#include "tcache/checked.h"
#include "tcache/registry.h"
#include "tcache/startup.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

_Static_assert(MB_POOL_COUNT == SIZE_CLASS_COUNT && MB_SMALL_MAX == SMALL_BYTES_MAX
                   && MB_OCCUPANCY_BINS == OCCUPANCY_BINS,
               "the public numbers are the internal ones");

/* Starts a turn of the walk: what does not belong to a thread cache. */
static void stats_begin(void *argument)
{
    struct mb_stats *stats = argument;
    memset(stats, 0, sizeof *stats);

    struct registry_totals totals = mbi_registry_totals();
    stats->reserved_bytes = mbi_region_claimed_bytes();
    /* Each read once: another thread may change it meanwhile. */
    size_t limit_bytes = mbi_limit_get();
    size_t budget_bytes = mbi_budget_max();
    struct decay_totals decay = mbi_decay_totals();
    stats->memory_limit = limit_bytes != LIMIT_NONE ? limit_bytes : 0;
    stats->decay_steps = decay.steps;
    stats->decay_step_ns_max = decay.step_ns_max;
    stats->decay_volume_steps = decay.volume_steps;
    stats->cache_bytes = mbi_budget_taken();
    stats->cache_bytes_max = budget_bytes != SIZE_MAX ? budget_bytes : 0;
    stats->threads = totals.threads_active;
    stats->idle_caches = totals.caches_retired + totals.caches_reusable;
    stats->large_allocs =
        totals.departed_large_allocs + counter_read(&mbi_uncached_large.allocs);
    stats->large_frees = totals.departed_large_frees + counter_read(&mbi_uncached_large.frees);

    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        const struct pool *pool = &mbi_pools[class];
        struct mb_pool_stats *out = &stats->pool[class];
        out->slot_bytes = pool->slot_bytes;
        out->magazine_rounds = pool->rounds;
        out->carved = counter_read(&pool->carved);
        out->loose = counter_read(&pool->loose_rounds);
        out->sorted = counter_read(&pool->sorted_slots);
        out->released_bytes = counter_read(&pool->released_bytes);
        out->orphaned = counter_read(&pool->orphaned);
        out->returned = counter_read(&pool->returned_loose); /* and what was flushed, in the end */
        out->refills = counter_read(&pool->departed.refills);
        out->flushes = counter_read(&pool->departed.flushes);
        out->cas_retries = counter_read(&pool->departed.cas_retries);
        out->mutex_acquisitions = counter_read(&pool->mutex_acquisitions);
        out->committed_bytes = counter_read(&pool->committed_bytes);
    }
}

static void stats_add_cache(const struct thread_cache *cache, void *argument)
{
    struct mb_stats *stats = argument;
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        const struct transfer_counts *transfers = &cache->transfers[class];
        struct mb_pool_stats *out = &stats->pool[class];
        out->magazines += mbi_thread_cache_rounds(cache, class);
        out->refills += counter_read(&transfers->refills);
        out->flushes += counter_read(&transfers->flushes);
        out->cas_retries += counter_read(&transfers->cas_retries);
    }
    stats->threads_idle += flag_is_set(&cache->idle);
    stats->large_allocs += counter_read(&cache->large_allocs);
    stats->large_frees += counter_read(&cache->large_frees);
}

/* a - b, or 0 where threads at work made the terms disagree. */
static uint64_t difference(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/*
 * Slots that went from the pool to threads, and back. What threads took is not counted: it is what
 * they gave back and what the pool has carved and does not hold.
 */
static void count_moved(struct mb_pool_stats *out)
{
    out->returned += out->flushes * out->magazine_rounds;
    /* Below zero where threads at work made the terms disagree. */
    if (out->returned > UINT64_MAX / 2) {
        out->returned = 0;
    }
    out->taken = out->returned + difference(out->carved, out->central + out->loose + out->sorted);
}

int mb_stats_get(struct mb_stats *stats)
{
    if (stats == NULL) {
        return -EINVAL;
    }
    if (mbi_startup_patiently() == -EAGAIN) { /* a signal handler interrupted it */
        memset(stats, 0, sizeof *stats);
        return 0;
    }
    mbi_pools_free_deferred();
    mbi_registry_walk(stats_begin, stats_add_cache, stats);

    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        struct mb_pool_stats *out = &stats->pool[class];
        out->central = difference(out->flushes, out->refills) * out->magazine_rounds;
        out->quarantined = mbi_check_quarantined(class);
        out->live = difference(out->carved,
                               out->magazines + out->central + out->loose + out->sorted
                                   + out->orphaned + out->quarantined);
        count_moved(out);
        out->resident_bytes = mbi_pool_resident_bytes(&mbi_pools[class]);
        mbi_pool_count_occupancy(&mbi_pools[class], out->blocks);
        stats->committed_bytes += out->committed_bytes;
        stats->released_bytes += out->released_bytes;
        stats->resident_bytes += out->resident_bytes;
    }
    return 0;
}

void mbi_stats_write(FILE *stream, const struct mb_stats *stats)
{
    fprintf(stream,
            "MemoryBucket: reserved %" PRIu64 " MiB, committed %" PRIu64 " KiB, resident %" PRIu64
            " KiB, given back %" PRIu64 " KiB; %" PRIu64 " threads, %" PRIu64
            " idle caches; large: %" PRIu64 " allocated, %" PRIu64 " freed\n",
            stats->reserved_bytes >> 20, stats->committed_bytes >> 10, stats->resident_bytes >> 10,
            stats->released_bytes >> 10, stats->threads, stats->idle_caches, stats->large_allocs,
            stats->large_frees);
    fprintf(stream, "%5s %10s %10s %10s %10s %6s %10s %8s %11s %10s %10s %8s %8s %12s %12s\n",
            "slot", "carved", "live", "magazines", "central", "loose", "sorted", "orphaned",
            "quarantined", "refills", "flushes", "retries", "mutex", "taken", "returned");
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        const struct mb_pool_stats *pool = &stats->pool[class];
        if (pool->carved == 0) {
            continue;
        }
        fprintf(stream,
                "%5" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %6" PRIu64
                " %10" PRIu64 " %8" PRIu64 " %11" PRIu64 " %10" PRIu64 " %10" PRIu64 " %8" PRIu64
                " %8" PRIu64 " %12" PRIu64 " %12" PRIu64 "\n",
                pool->slot_bytes, pool->carved, pool->live, pool->magazines, pool->central,
                pool->loose, pool->sorted, pool->orphaned, pool->quarantined, pool->refills,
                pool->flushes, pool->cas_retries, pool->mutex_acquisitions, pool->taken,
                pool->returned);
    }
}

void mb_stats_print(FILE *stream)
{
    struct mb_stats stats;
    if (stream == NULL || mb_stats_get(&stats) != 0) {
        return;
    }
    /* Writing to a stream is a cancellation point. */
    struct cancelling cancelling = mbi_lock_forbid_cancel();
    mbi_stats_write(stream, &stats);
    mbi_lock_allow_cancel(cancelling);
}
