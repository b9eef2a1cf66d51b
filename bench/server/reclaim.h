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
#include <urcu/urcu-qsbr.h>

/*
 * liburcu is compiled without ThreadSanitizer, which so does not see the order that its barriers
 * and grace periods make: it is told of it, on both sides.
 */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#define TELL_RELEASE(of) __tsan_release(of)
#define TELL_ACQUIRE(of) __tsan_acquire(of)
#else
#define TELL_RELEASE(of) ((void)(of))
#define TELL_ACQUIRE(of) ((void)(of))
#endif

struct item;

enum {
    RETIRED_MAX = 2048,
    RETIRED_AT_ONCE = 128, /* at most, between two calls of reclaim_make_room */
};

/* Not linked: readers may still look at every field that an item has. */
struct retired_items {
    size_t count;
    void *items[RETIRED_MAX];
};

struct retired {
    struct retired_items fresh;
    size_t fresh_bytes;
    struct retired_items waiting;
    struct rcu_head period; /* liburcu's while there is one */
    /*
     * [PERIOD] whether one is under way. Cleared by liburcu's thread, release, and read by the
     * worker, acquire, which then frees: so the readers' accesses are before that. Set by the
     * worker, relaxed: call_rcu orders it before the other thread's store.
     */
    atomic_bool has_period;
};

/* Around a worker's life. It sleeps at first. */
void reclaim_thread_begin(void);
void reclaim_thread_end(struct retired *retired);

/* A turn begins. */
void reclaim_awake(void);

/*
 * Sees to it that RETIRED_AT_ONCE items can be retired. It may wait for a grace period: with no
 * lock held, and what the caller found in the table is invalid afterwards.
 */
void reclaim_make_room(struct retired *retired);

/* The item is out of the table, and the caller's alone to free. There is room for it. */
void reclaim_retire(struct retired *retired, struct item *item);

/*
 * A turn ends, and the worker sleeps. Frees what has waited long enough, and lets the next ones
 * wait: when they are so many that it is worth waking a thread, or when `hurries`.
 */
void reclaim_turn_end(struct retired *retired, bool hurries);

/*
 * Waits for a grace period and frees everything, for a thread that has no memory otherwise. What
 * the caller found in the table is invalid afterwards. Returns whether there was anything.
 */
bool reclaim_wait(struct retired *retired);
