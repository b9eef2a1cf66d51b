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
    uint64_t address;
    uint64_t size;
    uint64_t later; /* likely the address of a record that comes soon; any value */
};

/* Records of one chunk that come before all others'. */
struct mb_run {
    const _Atomic uint64_t *words; /* the chunk */
    uint64_t thread;               /* from 1 on */
    uint64_t least; /* time word: when the chunk was taken, with RAW_TIME_BIT */
    uint64_t ticks; /* of the record before; times are never less than before */
    uint64_t until; /* the last time that is still in the run */
    uint32_t at;
};

/* NULL without memory. */
struct mb_chunks *mb_chunks_open(struct raw_header *header);

/* Begins a round: of records of this image, up to a time. */
void mb_chunks_begin(struct mb_chunks *chunks, uint32_t image, uint64_t limit_ticks);

/* True with the round's next run, which may be empty; false at its end. */
bool mb_chunks_next(struct mb_chunks *chunks, struct mb_run *run);

/* Of that run: what is not taken is the chunk's next record. */
void mb_chunks_leave(struct mb_chunks *chunks, const struct mb_run *run);

/* Gives chunks that are read back to the program. How many there were. */
unsigned mb_chunks_end(struct mb_chunks *chunks);

/* NULL does nothing. */
void mb_chunks_close(struct mb_chunks *chunks);

/* So many words ahead lies the record that is foretold. */
enum { CHUNKS_AHEAD_WORDS = 12 * RAW_RECORD_WORDS };

/* The time of the record there; 0 when there is none. */
static inline uint64_t mb_chunks_time(const _Atomic uint64_t *words, uint32_t at, uint64_t least)
{
    if (at + RAW_LONG_WORDS > RAW_CHUNK_WORDS) {
        return 0;
    }
    /* acquire [RECORD-LOAD]: pairs with [RECORD-STORE]. */
    uint64_t time = atomic_load_explicit(words + at, memory_order_acquire);
    return time >= least ? time ^ RAW_TIME_BIT : 0;
}

/* relaxed [RECORD-LOAD]: mb_chunks_time, or the chunk's state, has made it visible. */
static inline uint64_t mb_chunks_load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static inline uint64_t mb_chunks_address(uint64_t packed)
{
    return (packed & ((UINT64_C(1) << RAW_KIND_SHIFT) - 1)) << 3;
}

/* True with the run's next record; false at its end. */
static inline bool mb_run_take(struct mb_run *run, struct mb_record *record)
{
    uint64_t ticks = mb_chunks_time(run->words, run->at, run->least);
    if (ticks == 0 || ticks > run->until) {
        return false;
    }
    run->ticks = ticks > run->ticks ? ticks : run->ticks;
    uint64_t packed = mb_chunks_load(run->words + run->at + 1);
    record->kind = (enum raw_kind)(packed >> RAW_KIND_SHIFT & 15);
    record->alignment_log = 0;
    record->ticks = run->ticks;
    record->address = mb_chunks_address(packed);
    record->size = packed >> RAW_SIZE_SHIFT;
    size_t ahead = (run->at + 1 + CHUNKS_AHEAD_WORDS) % RAW_CHUNK_WORDS;
    record->later = mb_chunks_address(mb_chunks_load(run->words + ahead));
    if (record->size == RAW_SIZE_LONG) {
        uint64_t size = mb_chunks_load(run->words + run->at + 2);
        record->size = size & ((UINT64_C(1) << RAW_ALIGNMENT_SHIFT) - 1);
        record->alignment_log = (unsigned)(size >> RAW_ALIGNMENT_SHIFT);
        run->at += RAW_LONG_WORDS - RAW_RECORD_WORDS;
    }
    run->at += RAW_RECORD_WORDS;
    return true;
}

#endif
