/*
 * reclaim: when an item that was taken out of the table is freed: once no reader can have it.
 *
 * Every worker is a reader from the first command of a turn of its event loop to the turn's end
 * (worker.h). In between it may look at anything that it finds in the table. When each of them has
 * come to the end of a turn, or sleeps, a grace period has passed (liburcu's qsbr flavour).
 *
 * A worker's retired items: `fresh` of late, and `waiting` for the grace period `ticket`. One
 * thread beside the workers waits for grace periods, so that no worker does; it serves all of them
 * with one period.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct item;

struct retired {
    struct item *fresh;
    size_t fresh_bytes;
    struct item *waiting;
    uint64_t ticket;
};

void reclaim_start(void);

/* After the last worker has ended. */
void reclaim_stop(void);

/* Around a worker's life, and around each of its turns. */
void reclaim_thread_begin(void);
void reclaim_thread_end(struct retired *retired);
void reclaim_awake(void);
void reclaim_asleep(void);

/* The item is out of the table and of its ring, and the caller's alone to free. */
void reclaim_retire(struct retired *retired, struct item *item);

/*
 * At a turn's end: frees what has waited long enough, and lets the next ones wait: when they are so
 * many that a grace period, which wakes two threads, is worth it, or when `hurries`.
 */
void reclaim_turn_end(struct retired *retired, bool hurries);

/*
 * Waits for a grace period and frees everything, for a thread that has no memory otherwise. What
 * the caller found in the table is invalid afterwards. Returns whether there was anything.
 */
bool reclaim_wait(struct retired *retired);
