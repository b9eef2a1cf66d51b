/*
 * raw: what the recorder writes while the program runs, and mbrun reads when it has ended.
 *
 * Ladder: below recorder and merge. Both are of one build, so there is no version.
 *
 * An unlinked file, which the program maps as a whole: so what it has stored is there however it
 * ends, and it needs no descriptor. One thread at a time writes to a chunk.
 *
 *   0                 struct raw_header
 *   RAW_CHUNK_BYTES   chunk, chunk, ...   of records, by time; a time of 0 ends a chunk
 *
 * A record is two words, or three:
 *
 *   time      in ticks of the clock; stored last, so that the rest is there
 *   packed    address / 8: 45 bits · kind: 4 bits · size: 15 bits, all ones when a third word has it
 *   size      log2 of the alignment: 8 bits at the top · size: 56 bits
 *
 * The time of an allocation is taken after it, and that of a free before it. Each clock reading
 * waits for the loads before it. So for one address the times are in the order of what happened to
 * it, whichever threads did that.
 */
#ifndef MEMORYBUCKET_TRACE_RAW_H
#define MEMORYBUCKET_TRACE_RAW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define RAW_MAGIC UINT64_C(0x776172656361724d)
#define RAW_VARIABLE "MBRUN_RECORD" /* descriptor, inode and process: "%d %llu %d" */

enum { RAW_CHUNK_BYTES = 64 * 1024, RAW_PROGRAM_MAX = 256 };
enum { RAW_RECORD_WORDS = 2, RAW_LONG_WORDS = 3 };
enum { RAW_KIND_SHIFT = 45, RAW_SIZE_SHIFT = 49, RAW_SIZE_LONG = 0x7fff, RAW_ALIGNMENT_SHIFT = 56 };

enum raw_kind {
    RAW_OWNER = 1, /* the "address": the thread that writes from here on */
    RAW_EXIT,      /* of the owner */
    RAW_ALLOCATE,
    RAW_ZEROED,
    RAW_ALIGNED, /* always with a third word */
    RAW_FREE,
    RAW_RESIZE_FROM, /* the thread's next record says what became of it */
    RAW_RESIZE_TO,
    RAW_RESIZE_FAILED, /* the object is where it was */
    RAW_RESIZE_FREED,  /* to 0 bytes, by an allocator that frees then */
};

enum raw_clock { RAW_CLOCK_MONOTONIC, RAW_CLOCK_COUNTER };

struct raw_header {
    uint64_t magic;
    uint64_t file_bytes;
    uint32_t clock;               /* enum raw_clock. All up to here is mbrun's */
    _Atomic uint32_t images;      /* of programs that the process was: each exec begins anew */
    _Atomic uint64_t used_bytes;  /* up to which chunks were taken; may be more than there are */
    uint64_t first_bytes;         /* where the chunks of this image begin */
    uint64_t begin_ticks;         /* of this image; and the same moment on other clocks: */
    uint64_t begin_ns;            /* CLOCK_MONOTONIC */
    uint64_t start_ns;            /* since 1970 */
    _Atomic uint64_t stop_ticks;  /* when recording stopped early, or 0; set last */
    int32_t stop_error;           /* why: errno, or 0 for the file's size */
    char program[RAW_PROGRAM_MAX];
};

static inline uint64_t raw_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static inline uint64_t raw_ticks(uint32_t clock)
{
#if defined(__x86_64__)
    if (clock == RAW_CLOCK_COUNTER) {
        uint32_t low, high;
        __asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high)::"memory");
        return (uint64_t)high << 32 | low;
    }
#elif defined(__aarch64__)
    if (clock == RAW_CLOCK_COUNTER) {
        uint64_t count;
        __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(count)::"memory");
        return count;
    }
#endif
    (void)clock;
    return raw_monotonic_ns();
}

#endif
