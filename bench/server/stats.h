/*
 * stats: what the server counts. Each worker has its own counters, which it alone writes; whoever
 * asks adds them up. STATS_COUNTERS is the one list of them, with the names of memcached's `stats`.
 */
#ifndef MBCACHED_STATS_H
#define MBCACHED_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#define MBCACHED_VERSION "1.6.18-mbcached" /* of the protocol that it speaks */

#define STATS_COUNTERS(X)                                                                          \
    X(total_connections)                                                                           \
    X(rejected_connections) /* because of -c */                                                    \
    X(accept_errors)                                                                               \
    X(cmd_get)                                                                                     \
    X(cmd_set)                                                                                     \
    X(cmd_flush)                                                                                   \
    X(cmd_touch)                                                                                   \
    X(cmd_meta)                                                                                    \
    X(cmd_other)                                                                                   \
    X(get_hits)                                                                                    \
    X(get_misses)                                                                                  \
    X(get_expired) /* dead items that a command met */                                             \
    X(delete_misses)                                                                               \
    X(delete_hits)                                                                                 \
    X(incr_misses)                                                                                 \
    X(incr_hits)                                                                                   \
    X(decr_misses)                                                                                 \
    X(decr_hits)                                                                                   \
    X(cas_misses)                                                                                  \
    X(cas_hits)                                                                                    \
    X(cas_badval)                                                                                  \
    X(touch_hits)                                                                                  \
    X(touch_misses)                                                                                \
    X(bytes_read)                                                                                  \
    X(bytes_written)                                                                               \
    X(total_items)                                                                                 \
    X(items_removed) /* replaced, deleted, evicted or dead */                                      \
    X(evictions)                                                                                   \
    X(reclaimed)       /* dead items that a sweep met */                                           \
    X(memory_waits)    /* times that the allocator asked for memory */                             \
    X(store_no_memory) /* values refused */

enum counter {
#define STATS_ENUM(name) COUNT_##name,
    STATS_COUNTERS(STATS_ENUM)
#undef STATS_ENUM
    COUNTERS
};

/* [COUNTER] relaxed: one writer, its worker; a sum is of about now, and orders nothing. */
struct counters {
    _Atomic uint64_t of[COUNTERS];
};

static inline uint64_t counter_read(const struct counters *counters, enum counter counter)
{
    return atomic_load_explicit(&counters->of[counter], memory_order_relaxed); /* [COUNTER] */
}

static inline void counter_add(struct counters *counters, enum counter counter, uint64_t number)
{
    number += counter_read(counters, counter);
    atomic_store_explicit(&counters->of[counter], number, memory_order_relaxed); /* [COUNTER] */
}

struct connection;

/* Answers `stats [WHAT]`; `what` is "" for the plain one. */
void stats_command(struct connection *connection, const char *what);

/* Calls `each` for all figures of the server: the counters' sums since the start, and what is now. */
typedef void stats_figure(const char *name, uint64_t value, void *argument);
void stats_figures(stats_figure *each, void *argument);

#endif
