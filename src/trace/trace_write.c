/* trace: the writer. A frame is written whole or not at all, so that what fits is a trace. */
#include "trace/trace_put.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADER_BYTES = AT_PROGRAM + MB_TRACE_PROGRAM_MAX, ZSTD_LEVEL = 1 };

static int write_all(int file, const unsigned char *bytes, size_t count, uint64_t at)
{
    while (count > 0) {
        ssize_t done = pwrite(file, bytes, count, (off_t)at);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            errno = done == 0 ? ENOSPC : errno;
            return -1;
        }
        bytes += done;
        count -= (size_t)done;
        at += (uint64_t)done;
    }
    return 0;
}

static void writer_free(struct mb_trace_writer *writer)
{
    ZSTD_freeCCtx(writer->context);
    mb_numbers_free(&writer->threads);
    mb_numbers_free(&writer->objects);
    free(writer->packed);
    free(writer);
}

struct mb_trace_writer *mb_trace_create(int file, uint64_t max_bytes)
{
    struct mb_trace_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL) {
        return NULL;
    }
    writer->file = file;
    writer->max_bytes = max_bytes;
    writer->packed_room = ZSTD_compressBound(sizeof writer->plain);
    writer->packed = malloc(writer->packed_room);
    writer->context = ZSTD_createCCtx();
    if (writer->packed == NULL || writer->context == NULL) {
        writer_free(writer);
        errno = ENOMEM;
        return NULL;
    }
    ZSTD_CCtx_setParameter(writer->context, ZSTD_c_compressionLevel, ZSTD_LEVEL);
    ZSTD_CCtx_setParameter(writer->context, ZSTD_c_checksumFlag, 1);
    /* The header's place, so that it fits in the end; no trace begins with zeros. */
    static const unsigned char nothing[HEADER_BYTES];
    if (write_all(file, nothing, sizeof nothing, 0) != 0) {
        int why = errno;
        writer_free(writer);
        errno = why;
        return NULL;
    }
    writer->written.file_bytes = sizeof nothing;
    return writer;
}

static int write_frame(struct mb_trace_writer *writer)
{
    if (writer->plain_bytes == 0) {
        return 0;
    }
    size_t bytes = ZSTD_compress2(writer->context, writer->packed, writer->packed_room,
                                  writer->plain, writer->plain_bytes);
    if (ZSTD_isError(bytes)) {
        return mb_trace_fail(writer, ENOMEM);
    }
    if (bytes > writer->max_bytes - writer->written.file_bytes) {
        return mb_trace_fail(writer, EOVERFLOW);
    }
    if (write_all(writer->file, writer->packed, bytes, writer->written.file_bytes) != 0) {
        return mb_trace_fail(writer, errno);
    }
    writer->plain_bytes = 0;
    writer->written = (struct written){
        .file_bytes = writer->written.file_bytes + bytes,
        .events = writer->events,
        .threads = writer->threads.next,
        .objects = writer->objects.next,
    };
    return 0;
}

static inline void put_number(struct mb_trace_writer *writer, uint64_t number)
{
    for (; number >= 0x80; number >>= 7) {
        writer->plain[writer->plain_bytes++] = (unsigned char)(number | 0x80);
    }
    writer->plain[writer->plain_bytes++] = (unsigned char)number;
}

/* Tag, time, and the thread unless it is the same. */
static void put_head(struct mb_trace_writer *writer, uint64_t head, uint32_t thread)
{
    put_number(writer, head);
    if ((head & SAME_THREAD) == 0) {
        put_number(writer, thread);
        writer->thread = thread;
    }
}

void mb_trace_put_long(struct mb_trace_writer *writer, uint32_t thread, uint64_t head,
                       uint64_t operand)
{
    put_head(writer, head, thread);
    put_number(writer, operand);
}

int mb_trace_make_room(struct mb_trace_writer *writer)
{
    if (writer->failed != 0) {
        return mb_trace_fail(writer, writer->failed);
    }
    return writer->plain_bytes + EVENT_BYTES_MAX > sizeof writer->plain ? write_frame(writer) : 0;
}

/* Numbers what begins, ends what ends, and puts it: false without memory, or where it is not. */
static bool put_slow(struct mb_trace_writer *writer, struct mb_trace_event *event)
{
    uint32_t thread = event->thread;
    uint64_t time_ns = event->time_ns;
    if (event->kind == MB_TRACE_THREAD_START) {
        if (!mb_numbers_begin(&writer->threads, &event->thread)) {
            return false;
        }
        writer->thread = event->thread;
        put_number(writer, mb_trace_make_head(writer, event->thread, time_ns, TAG_THREAD_START));
        return true;
    }
    if (!mb_numbers_is_live(&writer->threads, thread)) {
        return false;
    }
    if (event->kind == MB_TRACE_THREAD_EXIT) {
        put_head(writer, mb_trace_make_head(writer, thread, time_ns, TAG_THREAD_EXIT), thread);
        return mb_numbers_end(&writer->threads, thread);
    }
    if (event->kind == MB_TRACE_RESIZE) {
        mb_trace_put_event(writer, thread, time_ns, TAG_RESIZE, event->object);
        put_number(writer, event->size);
        return mb_numbers_is_live(&writer->objects, event->object);
    }
    if (!mb_numbers_begin(&writer->objects, &event->object)) {
        return false;
    }
    if (event->alignment != 0) {
        mb_trace_put_event(writer, thread, time_ns, TAG_ALLOCATE_ALIGNED, event->size);
        put_number(writer, (uint64_t)__builtin_ctz(event->alignment));
    } else {
        mb_trace_put_event(writer, thread, time_ns, TAG_ALLOCATE_ZEROED, event->size);
    }
    return true;
}

int mb_trace_put(struct mb_trace_writer *writer, struct mb_trace_event *event)
{
    if (event->kind == MB_TRACE_FREE) {
        return mb_trace_put_free(writer, event->thread, event->time_ns, event->object);
    }
    if (event->kind == MB_TRACE_ALLOCATE && event->alignment == 0 && !event->zeroed) {
        return mb_trace_put_allocate(writer, event->thread, event->time_ns, event->size,
                                     &event->object);
    }
    if (mb_trace_make_room(writer) != 0) {
        return -1;
    }
    if (!put_slow(writer, event)) {
        return mb_trace_fail(writer, ENOMEM);
    }
    writer->events++;
    return 0;
}

int mb_trace_finish(struct mb_trace_writer *writer, struct mb_trace_header *header)
{
    int status = writer->failed != 0 ? mb_trace_fail(writer, writer->failed) : write_frame(writer);
    int why = errno;
    const struct written *written = &writer->written;
    header->events = written->events;
    header->threads = written->threads;
    header->objects = written->objects;
    header->truncated = header->truncated || status != 0;
    unsigned char bytes[HEADER_BYTES] = MB_TRACE_MAGIC;
    layout_store(bytes + AT_VERSION, 4, LAYOUT_VERSION);
    layout_store(bytes + AT_HEADER_BYTES, 4, sizeof bytes);
    layout_store(bytes + AT_FILE_BYTES, 8, written->file_bytes);
    layout_store(bytes + AT_EVENTS, 8, written->events);
    layout_store(bytes + AT_START, 8, header->start_ns);
    layout_store(bytes + AT_DURATION, 8, header->duration_ns);
    layout_store(bytes + AT_THREADS, 4, written->threads);
    layout_store(bytes + AT_OBJECTS, 4, written->objects);
    layout_store(bytes + AT_PAGE, 4, header->page_bytes);
    layout_store(bytes + AT_FLAGS, 4, header->truncated ? FLAG_TRUNCATED : 0);
    layout_store(bytes + AT_TICK, 4, TRACE_TICK_NS);
    memcpy(bytes + AT_PROGRAM, header->program,
           strnlen(header->program, MB_TRACE_PROGRAM_MAX - 1));
    layout_store(bytes + AT_SUM, 4, layout_sum(bytes, sizeof bytes));
    /* What a write has left behind the last whole frame goes. */
    if (ftruncate(writer->file, (off_t)written->file_bytes) != 0
        || write_all(writer->file, bytes, sizeof bytes, 0) != 0) {
        status = -1;
        why = errno;
    }
    writer_free(writer);
    errno = why;
    return status;
}
