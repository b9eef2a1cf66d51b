/*
 * reclaim: when an item that was taken out of the table is freed: once no reader can have it.
 *
 * Every worker is a reader from the first command of a turn of its event loop to the turn's end
 * (worker.h). In between it may look at anything that it finds in the table. When each of them has
 * come to the end of a turn, or sleeps, a grace period has passed (liburcu's qsbr flavour).
 *
 * A worker's retired items: `fresh` of late, and `waiting` for a grace period that liburcu's own
 * thread waits for (call_rcu), so that no worker does. The worker frees them itself: most of them
 * are of the sizes that it is about to allocate.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <urcu/list.h>
#include <urcu/urcu-qsbr.h>

struct item;

struct retired {
    struct cds_list_head fresh;
    size_t fresh_bytes;
    struct cds_list_head waiting;
    struct rcu_head period; /* liburcu's while there is one */
    /*
     * [PERIOD] whether one is under way. Cleared by liburcu's thread, release, and read by the
     * worker, acquire, which then frees: so the readers' accesses are before that. Set by the
     * worker, relaxed: call_rcu orders it before the other thread's store.
     */
    atomic_bool has_period;
};

/* Around a worker's life. It sleeps at first. */
void reclaim_thread_begin(struct retired *retired);
void reclaim_thread_end(struct retired *retired);

/* A turn begins. */
void reclaim_awake(void);

/* The item is out of the table and of its ring, and the caller's alone to free. */
void reclaim_retire(struct retired *retired, struct item *item);

/*
 * A turn ends, and the worker sleeps. Frees what has waited long enough, and lets the next ones
 * wait: when they are so many that it is worth to wake a thread, or when `hurries`.
 */
void reclaim_turn_end(struct retired *retired, bool hurries);

/*
 * Waits for a grace period and frees everything, for a thread that has no memory otherwise. What
 * the caller found in the table is invalid afterwards. Returns whether there was anything.
 */
bool reclaim_wait(struct retired *retired);
