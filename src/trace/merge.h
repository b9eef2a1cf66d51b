/*
 * merge: a raw file (raw.h) becomes a trace.
 *
 * Ladder: above chunks, addresses and trace. Only mbrun is built from it.
 */
#ifndef MEMORYBUCKET_TRACE_MERGE_H
#define MEMORYBUCKET_TRACE_MERGE_H

#include "trace/raw.h"
#include "trace/trace.h"

struct mb_merged {
    struct mb_trace_header header;
    int error;     /* errno where not all of it could be read, kept in memory or written; or 0 */
    uint64_t lost; /* records that fit nothing else: a free of what was not allocated, say */
};

/*
 * Writes what the last image of the program did, which has ended at `end_ticks` and `end_ns`. What
 * is left of an error is a trace, marked as truncated. Gives the blocks of `raw_file` back.
 */
void mb_merge(int raw_file, const struct raw_header *raw, uint64_t end_ticks, uint64_t end_ns,
              int trace_file, struct mb_merged *merged);

#endif
