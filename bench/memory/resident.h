/*
 * resident: what of the process is in memory, without what the measuring itself needs.
 *
 * From /proc/self/smaps_rollup, for which the kernel walks the page tables: exact, where the
 * counters of statm lag behind by pages per processor. Nothing here allocates.
 *
 *   shown = resident - own
 */
#ifndef MEMORYBUCKET_BENCH_RESIDENT_H
#define MEMORYBUCKET_BENCH_RESIDENT_H

#include <stddef.h>

/* In bytes. */
struct resident {
    double all;       /* Rss: also pages of the program and its libraries */
    double anonymous; /* of them, without a file behind */
    double lazy_free; /* of the anonymous: given back by MADV_FREE, and not taken away yet */
};

struct resident resident_now(void);

/* Rows PHASE_bytes, PHASE_anonymous_bytes and PHASE_lazyfree_bytes. */
void resident_rows(const char *phase, struct resident resident);

/* Zeroed memory of the program's own: in memory at once and as a whole, and never counted. */
void *resident_own_map(size_t bytes);
void resident_own_unmap(void *memory, size_t bytes);

/* What is mapped of it now. */
double resident_own_bytes(void);

/*
 * Resident memory over time, for a chart and for a line through it. Seconds count from
 * series_begin.
 */
enum { SERIES_SAMPLES_MAX = 8192 };

struct series_sample {
    double seconds;
    double bytes;
};

struct series {
    double began_ns;
    unsigned count;
    struct series_sample *samples; /* resident_own_map; no more than SERIES_SAMPLES_MAX are taken */
};

struct series series_create(void);
void series_begin(struct series *series);
/* Adds one and returns it. */
struct series_sample series_take(struct series *series);
/* Lines "seconds MiB"; `path` "-": none. */
void series_write(const struct series *series, const char *path);

#endif
