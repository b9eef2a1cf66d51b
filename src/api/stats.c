/*
 * stats: the accounting equation, filled in and printed.
 *
 * Ladder: above tcache. Live slots are those that were carved and that no part of the library
 * holds. So the fast paths count nothing.
 */
#include "api/stats.h"

#include "check/home.h"
#include "core/config.h"
#include "core/decay.h"
#include "core/limit.h"
#include "core/os.h"
#include "core/region.h"
#include "tcache/budget.h"
#include "tcache/registry.h"
#include "tcache/startup.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

_Static_assert(MB_POOL_COUNT == SIZE_CLASS_COUNT && MB_SMALL_MAX == SMALL_BYTES_MAX
                   && MB_SMALL_POOL_COUNT == SMALL_CLASS_COUNT
                   && MB_OCCUPANCY_BINS == OCCUPANCY_BINS,
               "the public numbers are the internal ones");

enum { SUMS_BYTES = offsetof(struct mb_stats, pool) };

/* What the caller wants filled: the sums, and whole rows of so many pools. */
struct destination {
    struct mb_stats *stats;
    size_t bytes;
    size_t pools;
    const struct stats_companion *companion; /* NULL: none */
};

/* What does not belong to a thread cache. */
static void read_process(struct mb_stats *stats)
{
    stats->reserved_bytes = mbi_region_claimed_bytes();
    /* Each read once: another thread may change it meanwhile. */
    size_t limit_bytes = bounded_most(&mbi_committed);
    size_t budget_bytes = bounded_most(&mbi_budget);
    stats->memory_limit = limit_bytes != BOUNDED_NONE ? limit_bytes : 0;
    stats->pool_max = mbi_region.bytes != 0 ? mbi_config.pool_bytes_max : 0;
    stats->cache_bytes = bounded_taken(&mbi_budget);
    stats->cache_bytes_max = budget_bytes != SIZE_MAX ? budget_bytes : 0;
    stats->threads = mbi_registry_threads();
    stats->parked_caches = counter_read(&mbi_cache_counts.parked);
    stats->vacant_caches =
        counter_read(&mbi_cache_counts.retired) + counter_read(&mbi_cache_counts.reusable);
#define READ_DECAY(name) stats->name = counter_read(&mbi_decay_counts.name);
    DECAY_COUNTERS(READ_DECAY)
#define SUM_DEPARTED(name, ...) \
    stats->name = counter_read(&mbi_departed_counts.name) + counter_read(&mbi_uncached_counts.name);
    THREAD_COUNTERS(SUM_DEPARTED)
}

static void read_pool(const struct pool *pool, struct mb_pool_stats *out)
{
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

/* Starts a turn of the walk. */
static void begin_turn(void *argument)
{
    struct destination *to = argument;
    memset(to->stats, 0, to->bytes);
    if (to->companion != NULL) {
        to->companion->begin(to->companion->argument);
    }
    read_process(to->stats);
    for (size_t class = 0; class < to->pools; class++) {
        struct mb_pool_stats *out = &to->stats->pool[class];
        out->slot_bytes = size_class_slot_bytes(class);
        out->magazine_rounds = mbi_config.magazine_rounds[class];
        if (pool_is_laid_out(class)) {
            read_pool(pool_at(class), out);
        }
    }
}

static void add_cache(const struct thread_cache *cache, void *argument)
{
    struct destination *to = argument;
    struct mb_stats *stats = to->stats;
    bool parked = flag_is_set(&cache->parked);
    for (size_t class = pools_next(0); class < to->pools; class = pools_next(class + 1)) {
        struct mb_pool_stats *out = &stats->pool[class];
        *(parked ? &out->parked : &out->magazines) += mbi_thread_cache_rounds(cache, class);
#define ADD_TRANSFERS(name, ...) out->name += counter_read(&cache->transfers[class].name);
        TRANSFER_COUNTERS(ADD_TRANSFERS)
    }
    stats->threads_idle += flag_is_set(&cache->idle);
#define ADD_THREAD(name, ...) stats->name += counter_read(&cache->counts.name);
    THREAD_COUNTERS(ADD_THREAD)
    if (to->companion != NULL) {
        to->companion->add(cache, to->companion->argument);
    }
}

/*
 * Derives the slots that went from the pool to threads, and back. No path counts what threads took:
 * it is what they gave back, plus what was carved and is not with the pool. A number that threads
 * at work make negative becomes 0.
 */
static void pool_stats_derive_moved(struct mb_pool_stats *out)
{
    out->returned += out->flushes * out->magazine_rounds;
    if (out->returned > UINT64_MAX / 2) { /* below zero */
        out->returned = 0;
    }
    out->taken = out->returned + size_above(out->carved, out->central + out->loose + out->sorted);
}

/* What follows from the terms that the walk added up. */
static void pool_stats_derive(size_t class, struct mb_pool_stats *out)
{
    out->central = size_above(out->flushes, out->refills) * out->magazine_rounds;
    out->quarantined = mbi_home_quarantined(class);
    uint64_t not_live = out->magazines + out->parked + out->central + out->quarantined;
#define ADD_SLOTS(name, ...) not_live += out->name;
    POOL_SLOT_COUNTERS(ADD_SLOTS)
    out->live = size_above(out->carved, not_live);
    pool_stats_derive_moved(out);
}

/* The pages of a pool, for the sum and for its row, if the caller has one. */
static void look_at_pages(struct pool *pool, struct mb_stats *stats, struct mb_pool_stats *row)
{
    uint64_t resident_bytes = mbi_pool_resident_bytes(pool);
    stats->resident_bytes += resident_bytes;
    if (row != NULL) {
        row->resident_bytes = resident_bytes;
        mbi_pool_count_occupancy(pool, row->tiles);
    }
}

/* Behind a walk: what follows from its sums, and what no thread cache has. */
static void derive_pools(struct mb_stats *stats, size_t pools, bool with_pages)
{
    for (size_t class = pools_next(0); class < SIZE_CLASS_COUNT; class = pools_next(class + 1)) {
        struct pool *pool = pool_at(class);
        bool has_row = class < pools;
        struct mb_pool_stats *row = has_row ? &stats->pool[class] : NULL;
        if (has_row) {
            pool_stats_derive(class, row);
        }
        /* From the row where there is one: the sums are those of the rows. */
#define ADD_BYTES(name, ...) stats->name += has_row ? row->name : counter_read(&pool->name);
        POOL_BYTE_COUNTERS(ADD_BYTES)
        if (with_pages) {
            look_at_pages(pool, stats, row);
        }
    }
}

static int stats_fill(struct mb_stats *stats, size_t size_bytes, bool with_pages,
                      const struct stats_companion *companion)
{
    if (stats == NULL || size_bytes < SUMS_BYTES) {
        return -EINVAL;
    }
    size_t rows = (size_bytes - SUMS_BYTES) / sizeof stats->pool[0];
    struct destination to = { stats, size_bytes, size_min(rows, SIZE_CLASS_COUNT), companion };
    if (mbi_startup_patiently() == -EAGAIN) { /* a signal handler interrupted the start */
        memset(stats, 0, size_bytes);
        return 0;
    }
    int saved_errno = errno; /* a walk does without memory that it does not get */
    mbi_pools_free_deferred();
    mbi_registry_walk(begin_turn, add_cache, &to);
    derive_pools(stats, to.pools, with_pages);
    errno = saved_errno;
    return 0;
}

int mbi_stats_get_with(struct mb_stats *stats, const struct stats_companion *companion)
{
    return stats_fill(stats, sizeof *stats, false, companion);
}

bool mbi_stats_sample(struct mb_stats *stats, const struct stats_companion *companion)
{
    struct destination to = { stats, sizeof *stats, SIZE_CLASS_COUNT, companion };
    bool walked = mbi_registry_try_walk(begin_turn, add_cache, &to);
    if (walked) {
        derive_pools(stats, to.pools, false);
    }
    return walked;
}

int mb_stats_get(struct mb_stats *stats, size_t size_bytes)
{
    return stats_fill(stats, size_bytes, true, NULL);
}

int mb_stats_get_quick(struct mb_stats *stats, size_t size_bytes)
{
    return stats_fill(stats, size_bytes, false, NULL);
}

/* Behind the slot size. X(name in mb_pool_stats, heading, width) */
#define POOL_COLUMNS(X)                                                                            \
    X(carved, "carved", 10) X(live, "live", 10) X(magazines, "magazines", 10)                      \
    X(parked, "parked", 10) X(central, "central", 10) POOL_SLOT_COUNTERS(X)                        \
    X(quarantined, "quarantined", 11) TRANSFER_COUNTERS(X) POOL_EVENT_COUNTERS(X)                  \
    X(taken, "taken", 12) X(returned, "returned", 12)

/* Not inlined: of print_sums the compiler would see that there is no whole structure, and warn. */
static MBI_COLD void write_sums(FILE *stream, const struct mb_stats *stats)
{
    fprintf(stream,
            "MemoryBucket: reserved %" PRIu64 " KiB, committed %" PRIu64 " KiB, resident %" PRIu64
            " KiB, given back %" PRIu64 " KiB; pools of up to %" PRIu64 " bytes; %" PRIu64
            " thread%s, %" PRIu64 " parked and %" PRIu64 " vacant caches; ",
            stats->reserved_bytes >> 10, stats->committed_bytes >> 10, stats->resident_bytes >> 10,
            stats->released_bytes >> 10, stats->pool_max, stats->threads,
            stats->threads == 1 ? "" : "s", stats->parked_caches, stats->vacant_caches);
#define PRINT_THREAD(name, before, after) \
    fprintf(stream, before "%" PRIu64 after, stats->name);
    THREAD_COUNTERS(PRINT_THREAD)
    fprintf(stream, "\n");
}

void mbi_stats_write(FILE *stream, const struct mb_stats *stats)
{
    write_sums(stream, stats);
    fprintf(stream, "%5s", "slot");
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

struct mb_stats *mbi_stats_take(bool with_pages)
{
    int saved_errno = errno;
    struct mb_stats *stats = mbi_os_map(sizeof *stats);
    if (stats != NULL) {
        (void)stats_fill(stats, sizeof *stats, with_pages, NULL);
    }
    errno = saved_errno;
    return stats;
}

void mbi_stats_drop(struct mb_stats *stats)
{
    mbi_os_unreserve(stats, sizeof *stats);
}

/* Prints the sums alone, where the kernel refuses memory for the rows. */
static void print_sums(FILE *stream)
{
    uint64_t words[SUMS_BYTES / sizeof(uint64_t)] = { 0 };
    struct mb_stats *sums = (struct mb_stats *)(void *)words;
    (void)stats_fill(sums, SUMS_BYTES, true, NULL);
    write_sums(stream, sums);
}

void mb_stats_print(FILE *stream)
{
    if (stream == NULL) {
        return;
    }
    struct cancelling cancelling = mbi_lock_forbid_cancel(); /* writing is a cancellation point */
    struct mb_stats *stats = mbi_stats_take(true);
    if (stats != NULL) {
        mbi_stats_write(stream, stats);
        mbi_stats_drop(stats);
    } else {
        print_sums(stream);
    }
    mbi_lock_allow_cancel(cancelling);
}
