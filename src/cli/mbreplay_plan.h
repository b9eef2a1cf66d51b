/*
 * mbreplay_plan: a trace made ready for being replayed, in memory that processes share.
 *
 * Ladder: above trace/. Callers: mbreplay, which makes it; mbreplay_run, which follows it in a
 * process of each allocator.
 *
 *   struct plan | struct plan_life ... | operations left of each chunk ... | words ...
 *
 * A life is a thread from its start to its exit; its operations are words that lie together. The
 * trace's events, in their order, are cut into chunks of CHUNK_EVENTS. No life is in a chunk while
 * one that is two or more before it is not complete. So the lives run freely, but the amount of
 * memory in use at once is nearly that of the recorded program.
 *
 * Each object lies in a place. It is put there once and taken once, by a free or a resize, and the
 * thread that takes it waits until it is there: that keeps the order in which the recorded threads
 * had it. A place is used again by the thread that took from it, or two chunks later by any. So
 * that none takes what was there before, both count how often something was put there.
 */
#ifndef MEMORYBUCKET_CLI_MBREPLAY_PLAN_H
#define MEMORYBUCKET_CLI_MBREPLAY_PLAN_H

#include "trace/trace.h"

enum { CHUNK_EVENTS = 4096, CHUNKS_APART = 2 };

/*
 * A word: step, place << 3, size << 32. A size that does not fit, SIZE_IN_NEXT_WORD, is the next
 * word. Behind an aligned allocation comes a word with the alignment, behind a resize one with the
 * place from which it takes the object, and the count of puts there << 32. A free has that count in
 * place of the size. STEP_CHUNK has the chunk there: the life enters it.
 */
enum step { STEP_ALLOCATE, STEP_ZEROED, STEP_ALIGNED, STEP_FREE, STEP_RESIZE, STEP_CHUNK };
enum { STEP_BITS = 3, SIZE_SHIFT = 32 };
#define SIZE_IN_NEXT_WORD UINT32_MAX
#define PLACES_MAX (UINT32_C(1) << (SIZE_SHIFT - STEP_BITS))

struct plan_life {
    uint64_t first; /* of its words */
    uint64_t words;
    uint32_t first_chunk;
    uint32_t thread;
    uint32_t before; /* the life that its thread's number had before, or itself */
    bool ends;       /* before the trace does */
};

/* What one replay measured. Bytes are those of the process less those of the replay itself. */
struct plan_result {
    bool complete;
    uint64_t operations; /* that were done, and succeeded */
    uint64_t bytes;      /* that they asked for */
    uint64_t ns;
    uint64_t cpu_ns;
    uint64_t peak_bytes;
    uint64_t end_bytes;
    uint64_t own_bytes;
};

struct plan {
    uint64_t bytes; /* of all */
    uint64_t lives;
    uint64_t chunks;
    uint64_t places;
    uint64_t words;
    uint64_t operations; /* what a replay has to do */
    uint64_t asked_bytes;
    uint64_t live_bytes_max; /* asked for and not freed, at most at a time and at the end */
    uint64_t live_bytes_end;
    struct plan_result result; /* written by the replay */
};

static inline struct plan_life *plan_lives(struct plan *plan)
{
    return (struct plan_life *)(plan + 1);
}

/* How many lives are in each chunk. */
static inline uint32_t *plan_left(struct plan *plan)
{
    return (uint32_t *)(plan_lives(plan) + plan->lives);
}

static inline uint64_t plan_words_offset(const struct plan *plan)
{
    return sizeof *plan + plan->lives * sizeof(struct plan_life)
           + (plan->chunks + 1) / 2 * sizeof(uint64_t);
}

static inline uint64_t *plan_words(struct plan *plan)
{
    return (uint64_t *)((char *)plan + plan_words_offset(plan));
}

/*
 * Reads the whole trace and makes its plan, in a file of memory: its number, which an exec keeps,
 * is set. NULL where the trace is damaged or memory is short, after a line.
 */
struct plan *mbreplay_plan_make(struct mb_trace *trace, int *file);

#endif
