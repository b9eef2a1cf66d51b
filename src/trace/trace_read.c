/* trace: the reader. It trusts nothing that the file says. */
#include "trace/layout.h"
#include "trace/numbers.h"
#include "trace/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

enum { PACKED_BYTES = 128 * 1024, HEADER_BYTES_MAX = 4096, WINDOW_LOG_MAX = 23 };
enum { ALIGNMENT_LOG_MAX = 31 };

struct mb_trace {
    struct mb_trace_header header;
    char *path;
    int file;
    uint64_t begin_bytes; /* where the frames begin */
    uint64_t file_bytes;
    uint64_t tick_ns;
    ZSTD_DCtx *context;
    struct mb_numbers threads;
    struct mb_numbers objects;
    uint32_t thread; /* of the event before */
    uint64_t ticks;  /* likewise */
    uint64_t events; /* read so far */
    uint64_t read_bytes;
    ZSTD_inBuffer input;
    const unsigned char *next; /* .. end: what is left of the frame in `plain` */
    const unsigned char *end;
    char error[MB_TRACE_ERROR_MAX];
    unsigned char packed[PACKED_BYTES];
    unsigned char plain[MB_TRACE_FRAME_BYTES];
};

/* -1, with "PATH: text" in the trace's error. */
__attribute__((format(printf, 2, 3))) static int refuse(struct mb_trace *trace, const char *format,
                                                        ...)
{
    int length = snprintf(trace->error, sizeof trace->error, "%.300s: ", trace->path);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(trace->error + length, sizeof trace->error - (size_t)length, format, arguments);
    va_end(arguments);
    return -1;
}

static int damaged(struct mb_trace *trace)
{
    trace->next = trace->end = NULL;
    return refuse(trace, "is damaged: event %llu of %llu cannot be read",
                  (unsigned long long)trace->events + 1,
                  (unsigned long long)trace->header.events);
}

/* What the header says; the reader holds it to that later. */
static int read_fields(struct mb_trace *trace, const unsigned char *bytes, size_t name_bytes)
{
    struct mb_trace_header *header = &trace->header;
    header->events = layout_load(bytes + AT_EVENTS, 8);
    header->start_ns = layout_load(bytes + AT_START, 8);
    header->duration_ns = layout_load(bytes + AT_DURATION, 8);
    header->threads = (uint32_t)layout_load(bytes + AT_THREADS, 4);
    header->objects = (uint32_t)layout_load(bytes + AT_OBJECTS, 4);
    header->page_bytes = (uint32_t)layout_load(bytes + AT_PAGE, 4);
    header->truncated = (layout_load(bytes + AT_FLAGS, 4) & FLAG_TRUNCATED) != 0;
    trace->tick_ns = layout_load(bytes + AT_TICK, 4);
    if (name_bytes >= sizeof header->program) {
        name_bytes = sizeof header->program - 1;
    }
    memcpy(header->program, bytes + AT_PROGRAM, name_bytes);
    for (char *c = header->program; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            *c = '?'; /* it goes to terminals */
        }
    }
    if (header->threads > header->events || header->objects > header->events
        || trace->tick_ns == 0) {
        return refuse(trace, "is damaged: its header contradicts itself");
    }
    return 0;
}

static int read_header(struct mb_trace *trace)
{
    unsigned char bytes[HEADER_BYTES_MAX] = { 0 };
    struct stat status;
    ssize_t got = pread(trace->file, bytes, sizeof bytes, 0);
    if (got < 0 || fstat(trace->file, &status) != 0) {
        return refuse(trace, "%s", strerror(errno));
    }
    if (!S_ISREG(status.st_mode) || got < LAYOUT_MAGIC_BYTES
        || memcmp(bytes, MB_TRACE_MAGIC, LAYOUT_MAGIC_BYTES) != 0) {
        return refuse(trace, "is no trace of mbrun --record");
    }
    uint64_t version = layout_load(bytes + AT_VERSION, 4);
    if (got >= AT_HEADER_BYTES && version > LAYOUT_VERSION) {
        return refuse(trace, "is of format %llu; this program reads format %d",
                      (unsigned long long)version, LAYOUT_VERSION);
    }
    uint64_t header_bytes = layout_load(bytes + AT_HEADER_BYTES, 4);
    uint64_t file_bytes = layout_load(bytes + AT_FILE_BYTES, 8);
    if (got < AT_PROGRAM || (uint64_t)status.st_size < file_bytes) {
        return refuse(trace, "is cut off: it has %lld bytes of %llu", (long long)status.st_size,
                      (unsigned long long)(got < AT_PROGRAM ? AT_PROGRAM : file_bytes));
    }
    if (version != LAYOUT_VERSION || header_bytes < AT_PROGRAM || header_bytes > sizeof bytes
        || header_bytes > file_bytes || file_bytes != (uint64_t)status.st_size
        || layout_sum(bytes, header_bytes) != layout_load(bytes + AT_SUM, 4)) {
        return refuse(trace, "is damaged: its header is not what was written");
    }
    trace->begin_bytes = header_bytes;
    trace->file_bytes = file_bytes;
    return read_fields(trace, bytes, header_bytes - AT_PROGRAM);
}

int mb_trace_open(const char *path, struct mb_trace **result, char *error, size_t error_bytes)
{
    struct mb_trace *trace = calloc(1, sizeof *trace);
    if (trace == NULL || (trace->path = strdup(path)) == NULL
        || (trace->context = ZSTD_createDCtx()) == NULL) {
        snprintf(error, error_bytes, "%.300s: %s", path, strerror(ENOMEM));
        mb_trace_close(trace);
        return -1;
    }
    ZSTD_DCtx_setParameter(trace->context, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    /* Non-blocking: a pipe of that name must not hold up the reader. */
    trace->file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int status = trace->file < 0 ? refuse(trace, "%s", strerror(errno)) : read_header(trace);
    if (status == 0) {
        status = mb_trace_rewind(trace);
    }
    if (status != 0) {
        snprintf(error, error_bytes, "%s", trace->error);
        mb_trace_close(trace);
        return -1;
    }
    *result = trace;
    return 0;
}

const struct mb_trace_header *mb_trace_header(const struct mb_trace *trace)
{
    return &trace->header;
}

const char *mb_trace_error(const struct mb_trace *trace)
{
    return trace->error;
}

int mb_trace_rewind(struct mb_trace *trace)
{
    mb_numbers_clear(&trace->threads);
    mb_numbers_clear(&trace->objects);
    ZSTD_DCtx_reset(trace->context, ZSTD_reset_session_only);
    trace->thread = 0;
    trace->ticks = 0;
    trace->events = 0;
    trace->read_bytes = trace->begin_bytes;
    trace->input = (ZSTD_inBuffer){ trace->packed, 0, 0 };
    trace->next = trace->end = trace->plain;
    return 0;
}

void mb_trace_close(struct mb_trace *trace)
{
    if (trace == NULL) {
        return;
    }
    if (trace->context != NULL && trace->file >= 0) {
        close(trace->file);
    }
    ZSTD_freeDCtx(trace->context);
    mb_numbers_free(&trace->threads);
    mb_numbers_free(&trace->objects);
    free(trace->path);
    free(trace);
}

/* More of the file for zstd: 1, or 0 at its end, or -1. */
static int read_packed(struct mb_trace *trace)
{
    uint64_t left = trace->file_bytes - trace->read_bytes;
    size_t want = left < sizeof trace->packed ? (size_t)left : sizeof trace->packed;
    if (want == 0) {
        return 0;
    }
    ssize_t got = pread(trace->file, trace->packed, want, (off_t)trace->read_bytes);
    if (got < 0) {
        return refuse(trace, "%s", strerror(errno));
    }
    if (got == 0) {
        return refuse(trace, "was cut off while it was read");
    }
    trace->read_bytes += (uint64_t)got;
    trace->input = (ZSTD_inBuffer){ trace->packed, (size_t)got, 0 };
    return 1;
}

/* The next frame in `plain`: 1, or 0 at the file's end, or -1. */
static int read_frame(struct mb_trace *trace)
{
    ZSTD_outBuffer output = { trace->plain, sizeof trace->plain, 0 };
    bool has_begun = false;
    for (;;) {
        if (trace->input.pos == trace->input.size) {
            int more = read_packed(trace);
            if (more <= 0) {
                return more == 0 && has_begun ? damaged(trace) : more;
            }
        }
        size_t before = trace->input.pos + output.pos;
        size_t left = ZSTD_decompressStream(trace->context, &output, &trace->input);
        if (ZSTD_isError(left)) {
            return damaged(trace);
        }
        if (left == 0) {
            trace->next = trace->plain;
            trace->end = trace->plain + output.pos;
            return 1;
        }
        if (trace->input.pos + output.pos == before) {
            return damaged(trace); /* larger than a frame may be */
        }
        has_begun = true;
    }
}

/* False at the frame's end, and where the number has more than 64 bits. */
static bool get_number(struct mb_trace *trace, uint64_t *number)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && trace->next < trace->end; shift += 7) {
        unsigned char byte = *trace->next++;
        uint64_t bits = byte & 0x7f;
        if (shift == 63 && bits > 1) {
            return false;
        }
        value |= bits << shift;
        if (byte < 0x80) {
            *number = value;
            return true;
        }
    }
    return false;
}

/* The event's thread, which must live. */
static bool get_thread(struct mb_trace *trace, uint64_t head, struct mb_trace_event *event)
{
    uint64_t thread = trace->thread;
    if ((head & SAME_THREAD) == 0 && !get_number(trace, &thread)) {
        return false;
    }
    event->thread = (uint32_t)thread;
    return mb_numbers_is_live(&trace->threads, thread);
}

static bool get_object(struct mb_trace *trace, struct mb_trace_event *event)
{
    uint64_t object;
    if (!get_number(trace, &object) || !mb_numbers_is_live(&trace->objects, object)) {
        return false;
    }
    event->object = (uint32_t)object;
    return true;
}

static bool get_allocation(struct mb_trace *trace, enum layout_tag tag,
                           struct mb_trace_event *event)
{
    uint64_t log = 0;
    if (!get_number(trace, &event->size)
        || (tag == TAG_ALLOCATE_ALIGNED
            && (!get_number(trace, &log) || log > ALIGNMENT_LOG_MAX))
        || !mb_numbers_begin(&trace->objects, &event->object)) {
        return false;
    }
    event->kind = MB_TRACE_ALLOCATE;
    event->zeroed = tag == TAG_ALLOCATE_ZEROED;
    event->alignment = tag == TAG_ALLOCATE_ALIGNED ? (uint32_t)1 << log : 0;
    return event->object < trace->header.objects;
}

static bool get_event(struct mb_trace *trace, struct mb_trace_event *event)
{
    uint64_t head;
    *event = (struct mb_trace_event){ 0 };
    if (!get_number(trace, &head)) {
        return false;
    }
    uint64_t passed = head >> TICKS_SHIFT;
    if (passed > (UINT64_MAX / trace->tick_ns) - trace->ticks) {
        return false;
    }
    trace->ticks += passed;
    event->time_ns = trace->ticks * trace->tick_ns;
    enum layout_tag tag = head & TAG_MASK;
    if (tag == TAG_THREAD_START) {
        event->kind = MB_TRACE_THREAD_START;
        return mb_numbers_begin(&trace->threads, &event->thread)
               && event->thread < trace->header.threads;
    }
    if (!get_thread(trace, head, event)) {
        return false;
    }
    switch (tag) {
    case TAG_ALLOCATE:
    case TAG_ALLOCATE_ZEROED:
    case TAG_ALLOCATE_ALIGNED:
        return get_allocation(trace, tag, event);
    case TAG_FREE:
        event->kind = MB_TRACE_FREE;
        return get_object(trace, event) && mb_numbers_end(&trace->objects, event->object);
    case TAG_RESIZE:
        event->kind = MB_TRACE_RESIZE;
        return get_object(trace, event) && get_number(trace, &event->size);
    case TAG_THREAD_EXIT:
        event->kind = MB_TRACE_THREAD_EXIT;
        return mb_numbers_end(&trace->threads, event->thread);
    default:
        return false;
    }
}

int mb_trace_next(struct mb_trace *trace, struct mb_trace_event *event)
{
    if (trace->next == NULL) {
        return -1; /* it was damaged before */
    }
    while (trace->next == trace->end) {
        int status = read_frame(trace);
        if (status == 0 && trace->events != trace->header.events) {
            return damaged(trace);
        }
        if (status <= 0) {
            return status;
        }
    }
    if (trace->events == trace->header.events || !get_event(trace, event)) {
        return damaged(trace);
    }
    trace->thread = event->thread;
    trace->events++;
    return 1;
}
