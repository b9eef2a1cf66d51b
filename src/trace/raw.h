/*
 * raw: the memory through which the recorder, in the program, gives mbrun what it saw.
 *
 * Ladder: below recorder and merge. Both are of one build, so there is no version.
 *
 * A memory file that both map: what the program has stored is there however it ends. Only pages
 * that are used take memory. One thread at a time writes to a chunk; mbrun reads it meanwhile.
 *
 *   struct raw_header | struct raw_slot, one for each chunk | chunk, chunk, ...
 *
 * A thread has one chunk, and a second one for what its signal handlers do in the middle of a
 * record.
 *
 *   free ──thread takes──> taken ──thread leaves──> done ──mbrun has read──> free
 *
 * A chunk has RAW_CHUNK_HEAD words, and then records of two words, or three:
 *
 *   time      in ticks of the clock; stored last, so that the rest is there. Bit 63 is set
 *   packed    address / 8: 45 bits · kind: 4 bits · size: 14 bits, or all ones: a third word has it
 *   size      size: 56 bits · log2 of the alignment: 7 bits
 *
 * What else stands in a chunk is of its use before: words without bit 63, and times before it was
 * taken.
 *
 * The time of an allocation is taken after it, and that of a free before it; both before the record
 * is stored. Reading the clock waits for the loads before it. So what happened to one address has
 * times in its true order, whichever threads did it. And a record that is stored only after mbrun
 * looked, though its time is before that, has nothing that depends on it before that time.
 *
 * A thread that is the process's only one does not wait for its loads: what it did stands in its
 * chunk in that order, whatever the times. It waits where it begins a chunk, and for each record in
 * its second one. Another thread begins behind a system call, and so behind those times.
 */
#ifndef MEMORYBUCKET_TRACE_RAW_H
#define MEMORYBUCKET_TRACE_RAW_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RAW_MAGIC UINT64_C(0x776172656361724d)
#define RAW_VARIABLE "MBRUN_RECORD" /* descriptor, inode and process: "%d %llu %d" */

enum {
    RAW_CHUNK_BYTES = 16 * 1024,
    RAW_CHUNK_WORDS = RAW_CHUNK_BYTES / 8,
    RAW_CHUNKS = 16384,     /* each running thread has one, or two */
    RAW_BACKLOG_MAX = 2048, /* chunks that wait for mbrun; with more, threads wait for it */
    RAW_ASK = 64,           /* so many at a time are worth waking mbrun for */
    RAW_PROGRAM_MAX = 256,
};
enum { RAW_HEAD_THREAD, RAW_HEAD_SEQUENCE, RAW_HEAD_IMAGE, RAW_HEAD_TAKEN, RAW_CHUNK_HEAD };
#define RAW_TIME_BIT (UINT64_C(1) << 63)
enum { RAW_RECORD_WORDS = 2, RAW_LONG_WORDS = 3 };
enum { RAW_KIND_SHIFT = 45, RAW_SIZE_SHIFT = 49, RAW_SIZE_LONG = 0x3fff, RAW_ALIGNMENT_SHIFT = 56 };

enum raw_kind {
    RAW_EXIT = 1, /* of the thread */
    RAW_ALLOCATE,
    RAW_ZEROED,
    RAW_ALIGNED, /* always with a third word */
    RAW_FREE,
    RAW_RESIZE_FROM, /* what became of it, a later record of the thread says */
    RAW_RESIZE_TO,
    RAW_RESIZE_FAILED, /* the object is where it was */
    RAW_RESIZE_FREED,  /* to 0 bytes, by an allocator that frees then */
};

enum raw_clock { RAW_CLOCK_MONOTONIC, RAW_CLOCK_COUNTER };
enum raw_state { RAW_FREE_CHUNK, RAW_TAKEN, RAW_DONE };

struct raw_slot {
    _Atomic uint32_t state;
    _Atomic uint32_t next; /* of a free one: the next free one, plus 1 */
};

struct raw_header {
    uint64_t magic;
    uint32_t clock;           /* enum raw_clock */
    int32_t recorder;         /* mbrun's process. Up to here before the program runs */
    _Atomic uint32_t images;  /* of programs that the process was: each exec begins anew */
    _Atomic uint32_t stopped; /* by mbrun, which takes no more, or by the program, which cannot */
    int32_t error;            /* why the program cannot: errno */
    uint64_t begin_ticks;     /* of this image, before `images` counts it; and the same moment: */
    uint64_t begin_ns;        /* of CLOCK_MONOTONIC */
    uint64_t start_ns;        /* since 1970 */
    char program[RAW_PROGRAM_MAX];
    _Atomic uint64_t free;     /* a stack: slot plus 1; a count of changes in the upper half */
    _Atomic uint32_t fresh;    /* slots from here on were never used */
    _Atomic uint32_t backlog;  /* slots that are done */
    _Atomic uint32_t sequence; /* chunks taken so far */
    _Atomic uint32_t asked;    /* changes with every RAW_ASK chunks that wait; mbrun waits for it */
    _Atomic uint32_t read;     /* changes when chunks were read; threads wait for it */
    _Alignas(4096) struct raw_slot slots[RAW_CHUNKS];
};

#define RAW_CHUNKS_AT                                                                              \
    ((sizeof(struct raw_header) / RAW_CHUNK_BYTES + 1) * RAW_CHUNK_BYTES)
#define RAW_FILE_BYTES (RAW_CHUNKS_AT + (size_t)RAW_CHUNKS * RAW_CHUNK_BYTES)

/* Of a slot. */
static inline _Atomic uint64_t *raw_chunk(struct raw_header *header, uint32_t slot)
{
    char *chunks = (char *)header + RAW_CHUNKS_AT;
    return (_Atomic uint64_t *)(void *)(chunks + (size_t)slot * RAW_CHUNK_BYTES);
}

static inline uint64_t raw_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* In the order of the thread's program only where raw_wait_for_loads comes before it. */
static inline uint64_t raw_ticks_unordered(uint32_t clock)
{
#if defined(__x86_64__)
    if (clock == RAW_CLOCK_COUNTER) {
        uint32_t low, high;
        __asm__ volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
        return (uint64_t)high << 32 | low;
    }
#elif defined(__aarch64__)
    if (clock == RAW_CLOCK_COUNTER) {
        uint64_t count;
        __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count)::"memory");
        return count;
    }
#endif
    (void)clock;
    return raw_monotonic_ns();
}

static inline void raw_wait_for_loads(void)
{
#if defined(__x86_64__)
    __asm__ volatile("lfence" ::: "memory");
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

static inline uint64_t raw_ticks(uint32_t clock)
{
    raw_wait_for_loads();
    return raw_ticks_unordered(clock);
}

/* Until the word is no longer `seen`, a wake, a signal, or so many milliseconds. */
static inline void raw_wait(_Atomic uint32_t *word, uint32_t seen, unsigned most_ms)
{
    struct timespec most = { most_ms / 1000, (long)(most_ms % 1000) * 1000000 };
    (void)syscall(SYS_futex, word, FUTEX_WAIT, seen, &most, NULL, 0);
}

static inline void raw_wake(_Atomic uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

#endif
