/*
 * merge: what the recorder sees (raw.h) becomes a trace.
 *
 * Ladder: above chunks, addresses and trace. Only mbrun is built from it.
 */
#ifndef MEMORYBUCKET_TRACE_MERGE_H
#define MEMORYBUCKET_TRACE_MERGE_H

#include "trace/raw.h"
#include "trace/trace.h"

struct mb_merge;

struct mb_merged {
    struct mb_trace_header header;
    uint32_t images; /* of programs that were recorded: the trace is of the last */
    int error;       /* errno where not all of it was kept in memory or written, or 0 */
    uint64_t lost;   /* records that fit nothing else: a free of what was not allocated, say */
};

/* Into an open, empty file, of at most `max_bytes`. NULL with errno. */
struct mb_merge *mb_merge_open(struct raw_header *raw, int trace_file, uint64_t max_bytes);

/*
 * Takes what there is, and returns how many chunks were filled. Where it cannot go on it tells the
 * program to stop, and takes nothing more.
 */
unsigned mb_merge_round(struct mb_merge *merge);

/* Ends the trace, after a round behind the program's end, and frees all. */
void mb_merge_close(struct mb_merge *merge, struct mb_merged *merged);

#endif
