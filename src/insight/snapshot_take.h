/*
 * snapshot_take: fills a snapshot from this process's statistics.
 *
 * Ladder: above api/stats. Callers: export, on slow paths; mb_stats_write.
 */
#ifndef MEMORYBUCKET_INSIGHT_SNAPSHOT_TAKE_H
#define MEMORYBUCKET_INSIGHT_SNAPSHOT_TAKE_H

#include "insight/snapshot.h"

#include <stdbool.h>

/* A snapshot in the making; zeros at first. Large: in a mapping. */
struct snapshot_room {
    struct snapshot snapshot;
    struct mb_stats stats;
    uint64_t caches; /* that the walk has met */
};

/*
 * Takes the figures; published_ns and what only the publisher knows are left to the caller. With
 * `on_slow_path` it does only what a slow path may; false when that has to wait.
 */
bool mbi_snapshot_take(struct snapshot_room *room, bool on_slow_path);

/* This process: its number, start and name. Allocates nothing. */
void mbi_snapshot_own(struct snapshot_owner *owner);

/* What of this process is resident; 0: unknown. */
uint64_t mbi_snapshot_own_resident_bytes(void);

#endif
