/*
 * chunks: the records of a raw file, of all its chunks, in one order by time.
 *
 * Ladder: above raw, below merge. A chunk is in order itself; those that overlap in time are merged
 * through a heap. So only chunks of threads that ran at one time are in memory together.
 */
#ifndef MEMORYBUCKET_TRACE_CHUNKS_H
#define MEMORYBUCKET_TRACE_CHUNKS_H

#include "trace/raw.h"

#include <stddef.h>

struct mb_chunks;

struct mb_record {
    enum raw_kind kind;
    unsigned alignment_log;
    uint64_t ticks;
    uint64_t thread; /* its owner's number, from 1 on */
    uint64_t address;
    uint64_t size;
};

/* The chunks from `begin` to `end`, both of RAW_CHUNK_BYTES, in an open file. NULL with errno. */
struct mb_chunks *mb_chunks_open(int file, uint64_t begin, uint64_t end);

/*
 * 1 with the next record, 0 at the end, -1 with errno. Of OWNER records the reader keeps the owner;
 * they are not handed out. A chunk that has been read gives its blocks of the file back.
 */
int mb_chunks_next(struct mb_chunks *chunks, struct mb_record *record);

void mb_chunks_close(struct mb_chunks *chunks);

#endif
