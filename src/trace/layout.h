/*
 * layout: where what stands in a trace, for its reader and its writer. trace.h describes it.
 *
 * Ladder: below trace.
 */
#ifndef MEMORYBUCKET_TRACE_LAYOUT_H
#define MEMORYBUCKET_TRACE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define MB_TRACE_MAGIC "MBTRACE\n"

enum { LAYOUT_MAGIC_BYTES = 8, LAYOUT_VERSION = 1 };

enum layout_offset {
    AT_VERSION = 8,
    AT_HEADER_BYTES = 12,
    AT_FILE_BYTES = 16,
    AT_EVENTS = 24,
    AT_START = 32,
    AT_DURATION = 40,
    AT_THREADS = 48,
    AT_OBJECTS = 52,
    AT_PAGE = 56,
    AT_FLAGS = 60,
    AT_TICK = 64,
    AT_SUM = 68,
    AT_PROGRAM = 72,
};

enum layout_flag { FLAG_TRUNCATED = 1 };

enum layout_tag {
    TAG_ALLOCATE,
    TAG_ALLOCATE_ZEROED,
    TAG_ALLOCATE_ALIGNED,
    TAG_FREE,
    TAG_RESIZE,
    TAG_THREAD_START,
    TAG_THREAD_EXIT,
    TAGS,
};

enum { TAG_MASK = 7, SAME_THREAD = 8, TICKS_SHIFT = 4 };

/* Tag with thread, and the longest operands: 10 bytes each. */
enum { EVENT_BYTES_MAX = 40 };

static inline uint64_t layout_load(const unsigned char *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = bytes; i-- > 0;) {
        value = value << 8 | at[i];
    }
    return value;
}

static inline void layout_store(unsigned char *at, size_t bytes, uint64_t value)
{
    for (size_t i = 0; i < bytes; i++, value >>= 8) {
        at[i] = (unsigned char)value;
    }
}

/* FNV-1a over a header without its own sum. */
static inline uint32_t layout_sum(const unsigned char *header, size_t bytes)
{
    uint32_t sum = 2166136261U;
    for (size_t i = 0; i < bytes; i++) {
        if (i < AT_SUM || i >= AT_PROGRAM) {
            sum = (sum ^ header[i]) * 16777619U;
        }
    }
    return sum;
}

#endif
