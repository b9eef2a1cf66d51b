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
#define SUM_DEPARTED(name, ...) \
    stats->name = counter_read(&mbi_departed_counts.name) + counter_read(&mbi_uncached_counts.name);
    THREAD_COUNTERS(SUM_DEPARTED)

    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        const struct pool *pool = &mbi_pools[class];
        struct mb_pool_stats *out = &stats->pool[class];
        out->slot_bytes = pool->slot_bytes;
        out->magazine_rounds = pool->rounds;
        out->carved = counter_read(&pool->carved);
        out->returned = counter_read(&pool->returned_loose); /* and what was flushed, in the end */
#define READ_SLOTS(name, heading, width, field) out->name = counter_read(&pool->field);
#define READ_POOL(name, ...) out->name = counter_read(&pool->name);
#define READ_DEPARTED(name, ...) out->name = counter_read(&pool->departed.name);
        POOL_SLOT_COUNTERS(READ_SLOTS)
        POOL_BYTE_COUNTERS(READ_POOL)
        POOL_EVENT_COUNTERS(READ_POOL)
        TRANSFER_COUNTERS(READ_DEPARTED)
    }
}

static void stats_add_cache(const struct thread_cache *cache, void *argument)
{
    struct mb_stats *stats = argument;
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        struct mb_pool_stats *out = &stats->pool[class];
        out->magazines += mbi_thread_cache_rounds(cache, class);
#define ADD_TRANSFERS(name, ...) out->name += counter_read(&cache->transfers[class].name);
        TRANSFER_COUNTERS(ADD_TRANSFERS)
    }
    stats->threads_idle += flag_is_set(&cache->idle);
#define ADD_THREAD(name, ...) stats->name += counter_read(&cache->counts.name);
    THREAD_COUNTERS(ADD_THREAD)
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
        uint64_t not_live = out->magazines + out->central + out->quarantined;
#define ADD_SLOTS(name, ...) not_live += out->name;
        POOL_SLOT_COUNTERS(ADD_SLOTS)
        out->live = difference(out->carved, not_live);
        count_moved(out);
        out->resident_bytes = mbi_pool_resident_bytes(&mbi_pools[class]);
        mbi_pool_count_occupancy(&mbi_pools[class], out->blocks);
#define ADD_BYTES(name, ...) stats->name += out->name;
        POOL_BYTE_COUNTERS(ADD_BYTES)
        stats->resident_bytes += out->resident_bytes;
    }
    return 0;
}

/* Behind the slot size. X(name in mb_pool_stats, heading, width) */
#define POOL_COLUMNS(X)                                                                            \
    X(carved, "carved", 10) X(live, "live", 10) X(magazines, "magazines", 10)                      \
    X(central, "central", 10) POOL_SLOT_COUNTERS(X) X(quarantined, "quarantined", 11)              \
    TRANSFER_COUNTERS(X) POOL_EVENT_COUNTERS(X) X(taken, "taken", 12) X(returned, "returned", 12)

void mbi_stats_write(FILE *stream, const struct mb_stats *stats)
{
    fprintf(stream,
            "MemoryBucket: reserved %" PRIu64 " MiB, committed %" PRIu64 " KiB, resident %" PRIu64
            " KiB, given back %" PRIu64 " KiB; %" PRIu64 " threads, %" PRIu64 " idle caches; ",
            stats->reserved_bytes >> 20, stats->committed_bytes >> 10, stats->resident_bytes >> 10,
            stats->released_bytes >> 10, stats->threads, stats->idle_caches);
#define PRINT_THREAD(name, before, after) \
    fprintf(stream, before "%" PRIu64 after, stats->name);
    THREAD_COUNTERS(PRINT_THREAD)
    fprintf(stream, "\n%5s", "slot");
#define PRINT_HEADING(name, heading, width, ...) fprintf(stream, " %*s", width, heading);
    POOL_COLUMNS(PRINT_HEADING)
    fprintf(stream, "\n");
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        const struct mb_pool_stats *pool = &stats->pool[class];
        if (pool->carved == 0) {
            continue;
        }
        fprintf(stream, "%5" PRIu64, pool->slot_bytes);
#define PRINT_NUMBER(name, heading, width, ...) fprintf(stream, " %*" PRIu64, width, pool->name);
        POOL_COLUMNS(PRINT_NUMBER)
        fprintf(stream, "\n");
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
