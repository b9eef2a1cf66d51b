/*
 * format: a snapshot as text, as JSON and for Prometheus.
 *
 * Ladder: above snapshot. Callers: mb_stats_write; mbstat, in another program. It allocates nothing
 * and opens nothing: its caller says where the text goes.
 */
#ifndef MEMORYBUCKET_INSIGHT_FORMAT_H
#define MEMORYBUCKET_INSIGHT_FORMAT_H

#include "insight/snapshot.h"

#include <stdbool.h>
#include <stddef.h>

/* Gets the text in pieces; 0, or a negative errno value, which ends the writing. */
typedef int format_sink(void *argument, const char *text, size_t bytes);

/*
 * Writes a snapshot; `now_ns` is the monotonic clock, from which the figures' age follows. 0, or
 * what the sink returned.
 */
int mbi_format_write(const struct snapshot *snapshot, const struct snapshot_owner *owner,
                     uint64_t now_ns, enum mb_stats_format format, format_sink *sink,
                     void *argument);

/* Whether the pool was used. */
static inline bool snapshot_has_pool(const uint64_t *pool)
{
    return pool[POOL_carved] != 0;
}

/* Slots that threads have cached, those of parked caches included. */
static inline uint64_t snapshot_cached_slots(const uint64_t *pool)
{
    return pool[POOL_magazines] + pool[POOL_parked];
}

/* How much of the committed memory live slots take, in percent. */
static inline unsigned snapshot_occupancy(const uint64_t *pool)
{
    uint64_t live_bytes = pool[POOL_live] * pool[POOL_slot_bytes];
    uint64_t committed_bytes = pool[POOL_committed_bytes];
    uint64_t percent = committed_bytes != 0 ? live_bytes * 100 / committed_bytes : 0;
    return percent < 100 ? (unsigned)percent : 100;
}

#endif
