/*
 * chunks: the records of all threads' chunks, in one order by time, while the program runs.
 *
 * Ladder: above raw, below merge.
 *
 * A round hands out what has a time up to its limit, through a heap of chunks. It must begin after
 * the clock has shown its limit. What it misses, as that is stored late, then has nothing in the
 * round that depends on it (raw.h), and comes in a later one.
 */
#ifndef MEMORYBUCKET_TRACE_CHUNKS_H
#define MEMORYBUCKET_TRACE_CHUNKS_H

#include "trace/raw.h"

struct mb_chunks;

struct mb_record {
    enum raw_kind kind;
    unsigned alignment_log;
    uint64_t ticks;
    uint64_t thread; /* from 1 on */
    uint64_t address;
    uint64_t size;
    uint64_t later; /* likely the address of a record that comes soon; any value */
};

/* NULL without memory. */
struct mb_chunks *mb_chunks_open(struct raw_header *header);

/* Begins a round: of records of this image, up to a time. */
void mb_chunks_begin(struct mb_chunks *chunks, uint32_t image, uint64_t limit_ticks);

/* True with the round's next record; false at its end. */
bool mb_chunks_next(struct mb_chunks *chunks, struct mb_record *record);

/* Gives chunks that are read back to the program. How many there were. */
unsigned mb_chunks_end(struct mb_chunks *chunks);

/* NULL does nothing. */
void mb_chunks_close(struct mb_chunks *chunks);

#endif
