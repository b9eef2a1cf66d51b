/* merge: record by record, addresses become objects and the recorder's threads become a trace's. */
#include "trace/merge.h"

#include "trace/addresses.h"
#include "trace/chunks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A thread as the recorder counted it. */
struct thread {
    bool is_started;
    bool is_resizing; /* between the two records of a realloc, of `object` */
    uint32_t number;  /* in the trace */
    uint32_t object;
};

struct merge {
    struct mb_trace_writer *writer;
    struct mb_addresses addresses;
    struct thread *threads;
    size_t thread_room;
    uint64_t lost;
};

/* The recorder counts from 1 on; far more threads than that are no threads. */
enum { THREADS_MAX = 1 << 28 };

/* NULL with errno. */
static struct thread *thread_of(struct merge *merge, uint64_t number)
{
    if (number >= THREADS_MAX) {
        errno = EILSEQ;
        return NULL;
    }
    if (number >= merge->thread_room) {
        size_t room = (size_t)number * 2 + 16;
        struct thread *threads = realloc(merge->threads, room * sizeof *threads);
        if (threads == NULL) {
            return NULL;
        }
        memset(threads + merge->thread_room, 0, (room - merge->thread_room) * sizeof *threads);
        merge->threads = threads;
        merge->thread_room = room;
    }
    return &merge->threads[number];
}

static bool start(struct merge *merge, struct thread *thread, uint64_t time_ns)
{
    struct mb_trace_event event = { .kind = MB_TRACE_THREAD_START, .time_ns = time_ns };
    if (mb_trace_put(merge->writer, &event) != 0) {
        return false;
    }
    thread->is_started = true;
    thread->number = event.thread;
    return true;
}

static bool put_free(struct merge *merge, const struct thread *thread, uint64_t time_ns,
                     uint32_t object)
{
    struct mb_trace_event event = { .kind = MB_TRACE_FREE, .time_ns = time_ns, .object = object,
                                    .thread = thread->number };
    return mb_trace_put(merge->writer, &event) == 0;
}

/* What still lies at the address of a new object was freed unseen. */
static bool clear_address(struct merge *merge, const struct thread *thread, uint64_t time_ns,
                          uint64_t address)
{
    uint32_t object;
    if (!mb_addresses_take(&merge->addresses, address, &object)) {
        return true;
    }
    merge->lost++;
    return put_free(merge, thread, time_ns, object);
}

static bool allocate(struct merge *merge, const struct thread *thread, uint64_t time_ns,
                     const struct mb_record *record)
{
    struct mb_trace_event event = {
        .kind = MB_TRACE_ALLOCATE,
        .thread = thread->number,
        .alignment = record->kind == RAW_ALIGNED ? 1U << (record->alignment_log & 31) : 0,
        .size = record->size,
        .zeroed = record->kind == RAW_ZEROED,
        .time_ns = time_ns,
    };
    return clear_address(merge, thread, time_ns, record->address)
           && mb_trace_put(merge->writer, &event) == 0
           && mb_addresses_add(&merge->addresses, record->address, event.object);
}

static bool release(struct merge *merge, const struct thread *thread, uint64_t time_ns,
                    const struct mb_record *record)
{
    uint32_t object;
    if (!mb_addresses_take(&merge->addresses, record->address, &object)) {
        merge->lost++;
        return true;
    }
    return put_free(merge, thread, time_ns, object);
}

static bool resize_from(struct merge *merge, struct thread *thread, const struct mb_record *record)
{
    thread->is_resizing = mb_addresses_take(&merge->addresses, record->address, &thread->object);
    merge->lost += !thread->is_resizing;
    return true;
}

/* The second record of a realloc. */
static bool resize(struct merge *merge, struct thread *thread, uint64_t time_ns,
                   const struct mb_record *record)
{
    struct mb_trace_event event = { .kind = MB_TRACE_RESIZE, .thread = thread->number,
                                    .object = thread->object, .size = record->size,
                                    .time_ns = time_ns };
    if (!thread->is_resizing) { /* of an object that was not seen before */
        return record->kind != RAW_RESIZE_TO || allocate(merge, thread, time_ns, record);
    }
    thread->is_resizing = false;
    if (record->kind == RAW_RESIZE_FREED) {
        return put_free(merge, thread, time_ns, thread->object);
    }
    return clear_address(merge, thread, time_ns, record->address)
           && (record->kind == RAW_RESIZE_FAILED || mb_trace_put(merge->writer, &event) == 0)
           && mb_addresses_add(&merge->addresses, record->address, thread->object);
}

/* False with errno. */
static bool take(struct merge *merge, const struct mb_record *record, uint64_t time_ns)
{
    struct thread *thread = thread_of(merge, record->thread);
    if (thread == NULL || (!thread->is_started && !start(merge, thread, time_ns))) {
        return false;
    }
    switch (record->kind) {
    case RAW_EXIT:
        thread->is_started = false;
        struct mb_trace_event event = { .kind = MB_TRACE_THREAD_EXIT, .thread = thread->number,
                                        .time_ns = time_ns };
        return mb_trace_put(merge->writer, &event) == 0;
    case RAW_ALLOCATE:
    case RAW_ZEROED:
    case RAW_ALIGNED:
        return allocate(merge, thread, time_ns, record);
    case RAW_FREE:
        return release(merge, thread, time_ns, record);
    case RAW_RESIZE_FROM:
        return resize_from(merge, thread, record);
    case RAW_RESIZE_TO:
    case RAW_RESIZE_FAILED:
    case RAW_RESIZE_FREED:
        return resize(merge, thread, time_ns, record);
    default:
        merge->lost++;
        return true;
    }
}

/* Ticks since the image began, in ns; as long as the two clocks agree. */
static uint64_t to_ns(const struct raw_header *raw, uint64_t ticks, uint64_t end_ticks,
                      uint64_t end_ns)
{
    if (ticks <= raw->begin_ticks || end_ticks <= raw->begin_ticks || end_ns <= raw->begin_ns) {
        return 0;
    }
    long double scale = (long double)(end_ns - raw->begin_ns)
                        / (long double)(end_ticks - raw->begin_ticks);
    return (uint64_t)((long double)(ticks - raw->begin_ticks) * scale);
}

static bool take_all(struct merge *merge, int raw_file, const struct raw_header *raw,
                     uint64_t end_ticks, uint64_t end_ns)
{
    /* relaxed [RECORD]: the program has ended. */
    uint64_t end = atomic_load_explicit(&raw->used_bytes, memory_order_relaxed);
    end = end < raw->file_bytes ? end : raw->file_bytes;
    struct mb_chunks *chunks = mb_chunks_open(raw_file, raw->first_bytes, end);
    if (chunks == NULL) {
        return false;
    }
    struct mb_record record;
    int status;
    while ((status = mb_chunks_next(chunks, &record)) == 1) {
        if (!take(merge, &record, to_ns(raw, record.ticks, end_ticks, end_ns))) {
            status = -1;
            break;
        }
    }
    int why = errno;
    mb_chunks_close(chunks);
    errno = why;
    return status == 0;
}

void mb_merge(int raw_file, const struct raw_header *raw, uint64_t end_ticks, uint64_t end_ns,
              int trace_file, struct mb_merged *merged)
{
    struct merge merge = { .writer = mb_trace_create(trace_file) };
    *merged = (struct mb_merged){ 0 };
    if (merge.writer == NULL) {
        merged->error = errno;
        return;
    }
    bool is_whole = take_all(&merge, raw_file, raw, end_ticks, end_ns);
    merged->error = is_whole ? 0 : errno;
    merged->lost = merge.lost;
    /* relaxed [RECORD]: as above. */
    uint64_t stop = atomic_load_explicit(&raw->stop_ticks, memory_order_relaxed);
    struct mb_trace_header *header = &merged->header;
    header->start_ns = raw->start_ns;
    header->duration_ns = to_ns(raw, stop != 0 ? stop : end_ticks, end_ticks, end_ns);
    header->page_bytes = (uint32_t)getpagesize();
    header->truncated = stop != 0 || !is_whole;
    memcpy(header->program, raw->program, sizeof header->program - 1);
    if (mb_trace_finish(merge.writer, header) != 0 && merged->error == 0) {
        merged->error = errno;
    }
    mb_addresses_free(&merge.addresses);
    free(merge.threads);
}
