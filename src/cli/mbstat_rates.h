/*
 * mbstat_rates: what happened between two publications, a second; and the last minutes of it.
 *
 * Ladder: above insight/snapshot. Callers: mbstat_view.
 */
#ifndef MEMORYBUCKET_CLI_MBSTAT_RATES_H
#define MEMORYBUCKET_CLI_MBSTAT_RATES_H

#include "insight/format.h"

/* Of a pool, for each reading. Bytes, and what happened a second. */
enum series { SERIES_LIVE, SERIES_CACHED, SERIES_COMMITTED, SERIES_REFILLS, SERIES_FLUSHES,
              SERIES_RETRIES, SERIES_WAITS, SERIES_COUNT };

enum { HISTORY_MAX = 300 };

struct rates {
    struct snapshot last; /* the publication before this one */
    bool has_last;
    double large; /* requests a second that went to the system allocator */
    double now[MB_POOL_COUNT][SERIES_COUNT];
    float history[MB_POOL_COUNT][SERIES_COUNT][HISTORY_MAX]; /* a ring */
    size_t readings;                                         /* that the ring ever got */
};

/*
 * Takes a reading. Where it is the publication of the last reading once more, nothing happened as
 * far as can be known: a process that sleeps takes no slow paths.
 */
void rates_add(struct rates *rates, const struct snapshot *snapshot);

/* The newest `count` values of a series, oldest first; returns how many there are. */
size_t rates_history(const struct rates *rates, size_t pool, enum series series, float *out,
                     size_t count);

#endif
