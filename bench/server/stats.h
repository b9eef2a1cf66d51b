/*
 * stats: what the server counts, shown by `stats` and by GET /metrics. Each worker has its own
 * counters, which it alone writes; whoever asks adds them up. STATS_COUNTERS is the one list of them,
 * with the names of memcached's `stats`.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#define MBCACHED_VERSION "1.6.18-mbcached" /* of the protocol that it speaks */

/* reclaimed: dead items that a sweep met. */
#define STATS_COUNTERS(X)                                                                          \
    X(total_connections) X(rejected_connections)                                                   \
    X(cmd_get) X(cmd_set) X(cmd_flush) X(cmd_touch) X(cmd_meta)                                    \
    X(get_hits) X(get_misses) X(delete_misses) X(delete_hits)                       \
    X(incr_misses) X(incr_hits) X(decr_misses) X(decr_hits)                                        \
    X(cas_misses) X(cas_hits) X(cas_badval) X(touch_hits) X(touch_misses)                          \
    X(bytes_read) X(bytes_written) X(total_items) X(items_removed)                                 \
    X(evictions) X(reclaimed) X(memory_waits) X(store_no_memory)

enum counter {
#define STATS_ENUM(name) COUNT_##name,
    STATS_COUNTERS(STATS_ENUM)
#undef STATS_ENUM
    COUNTERS
};

struct connection;
struct line;

/* Answers `stats [WHAT]`. */
void stats_command(struct connection *connection, struct line *line);

/*
 * Takes in a line of an HTTP request, which ends with '\n'. Once its head has ended, answers GET
 * /metrics with all figures, and anything else with an error; a connection has one answer.
 */
void stats_http_line(struct connection *connection, const char *line);

/* What is called for each of several figures. */
typedef void stats_figure(const char *name, uint64_t value, void *argument);
