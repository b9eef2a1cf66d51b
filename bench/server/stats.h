/*
 * stats: what the server counts. Each worker has its own counters, which it alone writes; whoever
 * asks adds them up. STATS_COUNTERS is the one list of them, in the order and with the names of
 * memcached's `stats`.
 */
#ifndef MBCACHED_STATS_H
#define MBCACHED_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#define MBCACHED_VERSION "1.6.18-mbcached" /* of the protocol that it speaks */

/* X(name, what /metrics says of it) */
#define STATS_COUNTERS(X)                                                                          \
    X(total_connections, "Connections accepted")                                                   \
    X(closed_connections, "Connections closed")                                                    \
    X(rejected_connections, "Connections refused because of -c")                                   \
    X(accept_errors, "Connections that the kernel did not hand over")                              \
    X(cmd_get, "Keys asked for")                                                                   \
    X(cmd_set, "Values received to be stored")                                                     \
    X(cmd_flush, "Flushes of everything")                                                          \
    X(cmd_touch, "Expiration times to be changed")                                                 \
    X(cmd_meta, "Meta commands")                                                                   \
    X(cmd_other, "All other commands")                                                             \
    X(get_hits, "Keys found")                                                                      \
    X(get_misses, "Keys not found")                                                                \
    X(get_expired, "Dead items that a command met")                                                \
    X(delete_misses, "Deletions of what was not there")                                            \
    X(delete_hits, "Deletions")                                                                    \
    X(incr_misses, "Increments of what was not there")                                             \
    X(incr_hits, "Increments")                                                                     \
    X(decr_misses, "Decrements of what was not there")                                             \
    X(decr_hits, "Decrements")                                                                     \
    X(cas_misses, "Compare-and-swaps of what was not there")                                       \
    X(cas_hits, "Compare-and-swaps that stored")                                                   \
    X(cas_badval, "Compare-and-swaps that came too late")                                          \
    X(touch_hits, "Expiration times changed")                                                      \
    X(touch_misses, "Expiration times of what was not there")                                      \
    X(bytes_read, "Bytes received")                                                                \
    X(bytes_written, "Bytes sent")                                                                 \
    X(total_items, "Items stored")                                                                 \
    X(items_removed, "Items replaced, deleted, evicted or expired")                                \
    X(evictions, "Live items evicted for want of memory")                                          \
    X(reclaimed, "Dead items that a sweep removed")                                                \
    X(memory_waits, "Times that the allocator asked for memory")                                   \
    X(store_no_memory, "Values refused for want of memory")

/*
 * [COUNTER] relaxed: one writer, its worker; the sum is of about now, and orders nothing.
 */
struct counters {
#define STATS_FIELD(name, help) _Atomic uint64_t name;
    STATS_COUNTERS(STATS_FIELD)
#undef STATS_FIELD
};

static inline uint64_t counter_read(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed); /* [COUNTER] */
}

static inline void counter_add(_Atomic uint64_t *counter, uint64_t number)
{
    atomic_store_explicit(counter, counter_read(counter) + number, memory_order_relaxed);
}

/* How many commands a worker has served. */
uint64_t counters_commands(const struct counters *counters);

/* All workers' counters, since the start. */
struct stats {
#define STATS_FIELD(name, help) uint64_t name;
    STATS_COUNTERS(STATS_FIELD)
#undef STATS_FIELD
};
void stats_sum(struct stats *sum);

struct connection;

/* Answers `stats [WHAT]`; `what` is "" for the plain one. */
void stats_command(struct connection *connection, const char *what);

#endif
