/*
 * trace_put: the writer's memory, and how malloc and free, the two events that a program has most,
 * are put into it without a call.
 *
 * Ladder: below trace_write and merge, above layout and numbers.
 */
#ifndef MEMORYBUCKET_TRACE_TRACE_PUT_H
#define MEMORYBUCKET_TRACE_TRACE_PUT_H

#include "trace/layout.h"
#include "trace/numbers.h"
#include "trace/trace.h"

#include <errno.h>
#include <zstd.h>

/* A tick is short beside what an event costs, and most events then come within 8 ticks. */
enum { TRACE_TICK_NS = 64 };

/* Of a frame, in the file about a third of that: so much may be lost at a full disk. */
enum { TRACE_PLAIN_BYTES = 256 * 1024 };

/* Numbers below that have at most two bytes. */
enum { TRACE_SHORT_END = 1 << 14 };

struct mb_trace_writer {
    int file;
    uint64_t max_bytes;
    int failed; /* errno of the first failure */
    ZSTD_CCtx *context;
    struct mb_numbers threads;
    struct mb_numbers objects;
    uint32_t thread; /* of the event before */
    uint64_t ticks;  /* likewise */
    uint64_t events;
    struct written { /* in whole frames */
        uint64_t file_bytes;
        uint64_t events;
        uint32_t threads;
        uint32_t objects;
    } written;
    size_t plain_bytes;
    size_t packed_room;
    unsigned char *packed;
    unsigned char plain[TRACE_PLAIN_BYTES];
};

/* Room for an event of any length; as mb_trace_put. */
int mb_trace_make_room(struct mb_trace_writer *writer);

/* An event with its first operand, of any length. */
void mb_trace_put_long(struct mb_trace_writer *writer, uint32_t thread, uint64_t head,
                       uint64_t operand);

/* There is no room from now on, so each further call fails, too. */
static inline int mb_trace_fail(struct mb_trace_writer *writer, int why)
{
    writer->failed = why;
    writer->plain_bytes = TRACE_PLAIN_BYTES;
    errno = why;
    return -1;
}

static inline uint64_t mb_trace_make_head(struct mb_trace_writer *writer, uint32_t thread,
                                          uint64_t time_ns, enum layout_tag tag)
{
    uint64_t ticks = time_ns / TRACE_TICK_NS;
    uint64_t passed = ticks > writer->ticks ? ticks - writer->ticks : 0;
    writer->ticks += passed;
    return passed << TICKS_SHIFT | (thread == writer->thread ? SAME_THREAD : 0) | tag;
}

/* An event with its first operand. Short ones take no branch that depends on their bytes. */
static inline void mb_trace_put_event(struct mb_trace_writer *writer, uint32_t thread,
                                      uint64_t time_ns, enum layout_tag tag, uint64_t operand)
{
    uint64_t head = mb_trace_make_head(writer, thread, time_ns, tag);
    if ((head & SAME_THREAD) == 0 || (head | operand) >= TRACE_SHORT_END) {
        mb_trace_put_long(writer, thread, head, operand);
        return;
    }
    unsigned char *at = writer->plain + writer->plain_bytes;
    unsigned head_more = head >= 0x80;
    unsigned operand_more = operand >= 0x80;
    at[0] = (unsigned char)(head | head_more << 7);
    at[1] = (unsigned char)(head >> 7);
    at += 1 + head_more;
    at[0] = (unsigned char)(operand | operand_more << 7);
    at[1] = (unsigned char)(operand >> 7);
    writer->plain_bytes += 2 + head_more + operand_more;
}

/* Room for an event; as mb_trace_put. */
static inline int mb_trace_prepare(struct mb_trace_writer *writer)
{
    return writer->plain_bytes + EVENT_BYTES_MAX > TRACE_PLAIN_BYTES ? mb_trace_make_room(writer)
                                                                     : 0;
}

/* malloc, and its object's number; as mb_trace_put. */
static inline int mb_trace_put_allocate(struct mb_trace_writer *writer, uint32_t thread,
                                        uint64_t time_ns, uint64_t size, uint32_t *object)
{
    if (mb_trace_prepare(writer) != 0) {
        return -1;
    }
    if (!mb_numbers_is_live(&writer->threads, thread)
        || !mb_numbers_begin(&writer->objects, object)) {
        return mb_trace_fail(writer, ENOMEM);
    }
    mb_trace_put_event(writer, thread, time_ns, TAG_ALLOCATE, size);
    writer->events++;
    return 0;
}

static inline int mb_trace_put_free(struct mb_trace_writer *writer, uint32_t thread,
                                    uint64_t time_ns, uint32_t object)
{
    if (mb_trace_prepare(writer) != 0) {
        return -1;
    }
    if (!mb_numbers_is_live(&writer->threads, thread)
        || !mb_numbers_end(&writer->objects, object)) {
        return mb_trace_fail(writer, ENOMEM);
    }
    mb_trace_put_event(writer, thread, time_ns, TAG_FREE, object);
    writer->events++;
    return 0;
}

#endif
