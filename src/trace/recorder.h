/*
 * recorder: writes records, in the program that is recorded.
 *
 * Ladder: above raw. recorder_malloc sees the calls, recorder.c has the chunks. Nothing of
 * MemoryBucket itself is in it. It prints nothing and allocates nothing. Where mbrun falls behind,
 * threads wait for it; where that stops, the program goes on. A child of fork is not recorded: in
 * it, the page with `recording` is zeros.
 */
#ifndef MEMORYBUCKET_TRACE_RECORDER_H
#define MEMORYBUCKET_TRACE_RECORDER_H

#include "trace/raw.h"

#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
/* Whether the process has one thread. Where the C library is not sure, or has no word for it, 0. */
#define RECORDER_IS_ALONE __libc_single_threaded
#else
#define RECORDER_IS_ALONE 0
#endif

#define RECORDER_COLD __attribute__((noinline, cold))
#define RECORDER_LIKELY(condition) __builtin_expect((condition), 1)
#define RECORDER_PER_THREAD _Thread_local __attribute__((tls_model("initial-exec")))

/* Its page is one of its own, once there is something to record. */
struct recorder_state {
    atomic_bool recording;
};
extern struct recorder_state *mb_recorder_state;

extern uint32_t mb_recorder_clock; /* enum raw_clock */

/* The calling thread's chunk; none at first, and after its end. */
struct recorder_chunk {
    _Atomic uint64_t *next;
    _Atomic uint64_t *end; /* a long record fits while next < end */
    uint32_t slot;
    atomic_bool is_busy; /* a call of mb_recorder_add is between its two stores to this */
};
extern RECORDER_PER_THREAD struct recorder_chunk mb_recorder_chunk;

/* A new chunk, as the last one is full, and the time when it was taken; 0 when there is none. */
uint64_t mb_recorder_take_chunk(void);

/* mb_recorder_add inside another one, of a signal handler: to a second chunk of the thread. */
void mb_recorder_add_inside(enum raw_kind kind, const void *pointer, uint64_t size,
                            unsigned alignment_log);

/* Begins to record if this process is to be. Once, when the next malloc is known. */
void mb_recorder_begin(void);

/* Of a chunk that has room, and that no signal handler writes to meanwhile. */
static inline void mb_recorder_write(struct recorder_chunk *chunk, enum raw_kind kind,
                                     uint64_t time, uint64_t address, uint64_t size,
                                     unsigned alignment_log)
{
    _Atomic uint64_t *record = chunk->next;
    bool is_long = kind == RAW_ALIGNED || !RECORDER_LIKELY(size < RAW_SIZE_LONG);
    chunk->next = record + (is_long ? RAW_LONG_WORDS : RAW_RECORD_WORDS);
    if (is_long) {
        /* relaxed [RECORD-STORE]: the time below publishes both. */
        atomic_store_explicit(&record[2], size | (uint64_t)alignment_log << RAW_ALIGNMENT_SHIFT,
                              memory_order_relaxed);
    }
    uint64_t short_size = is_long ? (uint64_t)RAW_SIZE_LONG : size;
    atomic_store_explicit(&record[1], address | (uint64_t)kind << RAW_KIND_SHIFT
                                          | short_size << RAW_SIZE_SHIFT,
                          memory_order_relaxed);
    /* release [RECORD-STORE]: pairs with [RECORD-LOAD]. */
    atomic_store_explicit(&record[0], time | RAW_TIME_BIT, memory_order_release);
}

static inline bool mb_recorder_is_on(void)
{
    /* relaxed [RECORDING]: what is written after a stop is not read. */
    return atomic_load_explicit(&mb_recorder_state->recording, memory_order_relaxed);
}

/* Of what the thread does here: see raw.h. */
static inline uint64_t mb_recorder_time(void)
{
    if (!RECORDER_IS_ALONE) {
        raw_wait_for_loads();
    }
    return raw_ticks_unordered(mb_recorder_clock);
}

/*
 * What is recorded is either done already, or waits. A signal handler that comes before the first
 * store to is_busy, or after the last one, may fill the chunk and take another: so the time is read
 * between them, too, as a time before that of the chunk is none.
 */
static inline void mb_recorder_add(enum raw_kind kind, const void *pointer, uint64_t size,
                                   unsigned alignment_log)
{
    struct recorder_chunk *chunk = &mb_recorder_chunk;
    /* relaxed [RECORD-BUSY]: of this thread, whose handlers are all that comes between. */
    if (!RECORDER_LIKELY(!atomic_load_explicit(&chunk->is_busy, memory_order_relaxed))) {
        mb_recorder_add_inside(kind, pointer, size, alignment_log);
        return;
    }
    atomic_store_explicit(&chunk->is_busy, true, memory_order_relaxed); /* [RECORD-BUSY] */
    atomic_signal_fence(memory_order_seq_cst); /* [RECORD-BUSY]: it comes first */
    uint64_t time = RECORDER_LIKELY(chunk->next < chunk->end) ? mb_recorder_time()
                                                              : mb_recorder_take_chunk();
    if (RECORDER_LIKELY(time != 0)) {
        mb_recorder_write(chunk, kind, time, (uintptr_t)pointer >> 3, size, alignment_log);
    }
    atomic_signal_fence(memory_order_seq_cst); /* [RECORD-BUSY]: it comes last */
    atomic_store_explicit(&chunk->is_busy, false, memory_order_relaxed); /* [RECORD-BUSY] */
}

#endif
