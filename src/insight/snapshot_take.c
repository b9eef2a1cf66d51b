/* snapshot_take: from mb_stats, and from each thread cache, to a snapshot's words. */
#include "insight/snapshot_take.h"

#include "api/stats.h"
#include "core/os.h"
#include "tcache/registry.h"

#include <string.h>

static void begin_turn(void *argument)
{
    ((struct snapshot_room *)argument)->caches = 0;
}

static void add_cache(const struct thread_cache *cache, void *argument)
{
    struct snapshot_room *room = argument;
    if (room->caches++ >= SNAPSHOT_THREADS_MAX) {
        return;
    }
    uint64_t *row = room->snapshot.threads[room->caches - 1];
    memset(row, 0, THREAD_WORDS * sizeof *row);
    row[THREAD_thread] = thread_cache_thread(cache);
    row[THREAD_state] = flag_is_set(&cache->parked) ? THREAD_PARKED
                        : flag_is_set(&cache->idle) ? THREAD_IDLE
                                                    : THREAD_AT_WORK;
    for (size_t class = pools_next(0); class < SIZE_CLASS_COUNT; class = pools_next(class + 1)) {
        row[THREAD_cached_bytes] +=
            mbi_thread_cache_rounds(cache, class) * pool_at(class)->slot_bytes;
#define ADD_TRANSFERS(name, ...) row[THREAD_##name] += counter_read(&cache->transfers[class].name);
        TRANSFER_COUNTERS(ADD_TRANSFERS)
    }
#define ADD_COUNTS(name, ...) row[THREAD_##name] = counter_read(&cache->counts.name);
    THREAD_COUNTERS(ADD_COUNTS)
}

/* The largest request that a class serves: below 1,024 bytes two classes' slots have one size. */
static uint64_t size_max_of(size_t class, const struct mb_pool_stats *pool)
{
    return class < LINEAR_CLASS_COUNT ? (class + 1) * SIZE_STEP_BYTES : pool->slot_bytes;
}

static void copy_totals(const struct mb_stats *stats, uint64_t *totals)
{
    totals[TOTAL_reserved_bytes] = stats->reserved_bytes;
    totals[TOTAL_committed_bytes] = stats->committed_bytes;
    totals[TOTAL_released_bytes] = stats->released_bytes;
    totals[TOTAL_memory_limit] = stats->memory_limit;
    totals[TOTAL_cache_bytes] = stats->cache_bytes;
    totals[TOTAL_cache_bytes_max] = stats->cache_bytes_max;
    totals[TOTAL_threads] = stats->threads;
    totals[TOTAL_threads_idle] = stats->threads_idle;
    totals[TOTAL_parked_caches] = stats->parked_caches;
    totals[TOTAL_vacant_caches] = stats->vacant_caches;
    totals[TOTAL_large_allocs] = stats->large_allocs;
    totals[TOTAL_large_frees] = stats->large_frees;
    totals[TOTAL_decay_steps] = stats->decay_steps;
    totals[TOTAL_decay_volume_steps] = stats->decay_volume_steps;
    totals[TOTAL_decay_step_ns_max] = stats->decay_step_ns_max;
    totals[TOTAL_pool_max] = stats->pool_max;
}

static void copy_pool(size_t class, const struct mb_pool_stats *pool, uint64_t *row)
{
    row[POOL_size_bytes] = size_max_of(class, pool);
    row[POOL_slot_bytes] = pool->slot_bytes;
    row[POOL_magazine_rounds] = pool->magazine_rounds;
    row[POOL_carved] = pool->carved;
    row[POOL_live] = pool->live;
    row[POOL_magazines] = pool->magazines;
    row[POOL_parked] = pool->parked;
    row[POOL_central] = pool->central;
    row[POOL_quarantined] = pool->quarantined;
    row[POOL_taken] = pool->taken;
    row[POOL_returned] = pool->returned;
#define COPY_WORD(name, ...) row[POOL_##name] = pool->name;
    POOL_SLOT_COUNTERS(COPY_WORD)
    POOL_BYTE_COUNTERS(COPY_WORD)
    POOL_EVENT_COUNTERS(COPY_WORD)
    TRANSFER_COUNTERS(COPY_WORD)
}

bool mbi_snapshot_take(struct snapshot_room *room, bool on_slow_path)
{
    const struct stats_companion companion = { begin_turn, add_cache, room };
    struct mb_stats *stats = &room->stats;
    room->caches = 0; /* no walk is made before the library is up */
    bool taken = on_slow_path ? mbi_stats_sample(stats, &companion)
                              : mbi_stats_get_with(stats, &companion) == 0;
    if (!taken) {
        return false;
    }
    uint64_t *totals = room->snapshot.totals;
    totals[TOTAL_thread_rows] = size_min(room->caches, SNAPSHOT_THREADS_MAX);
    totals[TOTAL_threads_left_out] = size_above(room->caches, SNAPSHOT_THREADS_MAX);
    copy_totals(stats, totals);
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        if (pool_is_laid_out(class)) {
            copy_pool(class, &stats->pool[class], room->snapshot.pools[class]);
        }
    }
    return true;
}

/* The number that stands `skipped` fields behind the text's place; 0 without one. */
static uint64_t field_behind(const char *text, int skipped)
{
    uint64_t number = 0;
    while (text != NULL && skipped-- > 0) {
        text = strchr(text, ' ');
        text = text != NULL ? text + 1 : NULL;
    }
    return text != NULL && mbi_read_number(&text, &number) ? number : 0;
}

void mbi_snapshot_own(struct snapshot_owner *owner)
{
    enum { FIELDS_TO_START = 20 }; /* from behind the name to the start: fields 2 and 22 */
    char text[1024];
    memset(owner, 0, sizeof *owner);
    owner->process = mbi_os_process();
    if (!mbi_os_read_file("/proc/self/stat", text, sizeof text)) {
        return;
    }
    const char *begin = strchr(text, '(');
    const char *end = strrchr(text, ')'); /* the name may hold any character */
    if (begin != NULL && end != NULL && begin < end) {
        size_t length = size_min((size_t)(end - begin - 1), sizeof owner->name - 1);
        memcpy(owner->name, begin + 1, length);
        owner->start_ticks = field_behind(end, FIELDS_TO_START);
    }
}

uint64_t mbi_snapshot_own_resident_bytes(void)
{
    char text[256];
    return mbi_os_read_file("/proc/self/statm", text, sizeof text)
               ? field_behind(text, 1) * mbi_os_page_bytes()
               : 0;
}
