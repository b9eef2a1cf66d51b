/* merge: record by record, addresses become objects and the recorder's threads become a trace's. */
#include "trace/merge.h"

#include "trace/addresses.h"
#include "trace/chunks.h"
#include "trace/trace_put.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More are of handlers that were left by longjmp: the oldest is forgotten. */
enum { RESIZING_MAX = 4 };

/* A thread as the recorder counted it. */
struct thread {
    bool is_started;
    uint8_t resizing; /* calls of realloc between their two records: of signal handlers, too */
    uint32_t number;  /* in the trace */
    uint32_t objects[RESIZING_MAX]; /* theirs, or ADDRESSES_NONE; the last call is the first done */
};

/* One moment on two clocks. */
struct moment {
    uint64_t ticks;
    uint64_t ns; /* since the image began */
};

struct mb_merge {
    struct raw_header *raw;
    int trace_file;
    uint64_t max_bytes;
    uint32_t image;
    bool is_stopped;
    int error;
    struct moment from; /* the round is between the two */
    struct moment to;
    uint64_t tick_scale; /* ns of a tick between them, times 2^TICK_SCALE_LOG */
    struct mb_chunks *chunks;
    struct mb_trace_writer *writer;
    struct mb_addresses addresses;
    struct thread *threads;
    size_t thread_room;
    uint64_t lost;
};

/* So a round of an hour is right to two microseconds. */
enum { TICK_SCALE_LOG = 32 };
__extension__ typedef unsigned __int128 product;

/* The recorder counts from 1 on; far more threads than that are no threads. */
enum { THREADS_MAX = 1 << 28 };

/* NULL with errno. */
static struct thread *thread_of(struct mb_merge *merge, uint64_t number)
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

static bool start(struct mb_merge *merge, struct thread *thread, uint64_t time_ns)
{
    struct mb_trace_event event = { .kind = MB_TRACE_THREAD_START, .time_ns = time_ns };
    if (mb_trace_put(merge->writer, &event) != 0) {
        return false;
    }
    thread->is_started = true;
    thread->number = event.thread;
    return true;
}

/* Of an object that no free's record names: rarely, and so not inlined. */
static __attribute__((noinline)) bool put_free_rarely(struct mb_merge *merge,
                                                      const struct thread *thread,
                                                      uint64_t time_ns, uint32_t object)
{
    return mb_trace_put_free(merge->writer, thread->number, time_ns, object) == 0;
}

/* Gives an object its place. What still lies there was freed unseen. False with errno. */
static inline __attribute__((always_inline)) bool place(struct mb_merge *merge,
                                                        const struct thread *thread,
                                                        uint64_t time_ns, uint64_t address,
                                                        uint32_t object)
{
    uint32_t before;
    if (!mb_addresses_put(&merge->addresses, address, object, &before)) {
        return false;
    }
    if (before == ADDRESSES_NONE) {
        return true;
    }
    merge->lost++;
    return put_free_rarely(merge, thread, time_ns, before);
}

/* Other than by malloc. */
static bool allocate_specially(struct mb_merge *merge, const struct thread *thread,
                               uint64_t time_ns, const struct mb_record *record)
{
    struct mb_trace_event event = {
        .kind = MB_TRACE_ALLOCATE,
        .thread = thread->number,
        .alignment = record->kind == RAW_ALIGNED ? 1U << (record->alignment_log & 31) : 0,
        .size = record->size,
        .zeroed = record->kind == RAW_ZEROED,
        .time_ns = time_ns,
    };
    return mb_trace_put(merge->writer, &event) == 0
           && place(merge, thread, time_ns, record->address, event.object);
}

static inline bool allocate(struct mb_merge *merge, const struct thread *thread, uint64_t time_ns,
                            uint64_t address, uint64_t size)
{
    uint32_t object;
    return mb_trace_put_allocate(merge->writer, thread->number, time_ns, size, &object) == 0
           && place(merge, thread, time_ns, address, object);
}

static inline bool release(struct mb_merge *merge, const struct thread *thread, uint64_t time_ns,
                           uint64_t address)
{
    uint32_t object;
    if (!mb_addresses_take(&merge->addresses, address, &object)) {
        merge->lost++;
        return true;
    }
    return mb_trace_put_free(merge->writer, thread->number, time_ns, object) == 0;
}

static bool resize_from(struct mb_merge *merge, struct thread *thread,
                        const struct mb_record *record)
{
    if (thread->resizing == RESIZING_MAX) {
        thread->resizing--;
        memmove(thread->objects, thread->objects + 1, thread->resizing * sizeof *thread->objects);
    }
    uint32_t object;
    if (!mb_addresses_take(&merge->addresses, record->address, &object)) {
        object = ADDRESSES_NONE;
        merge->lost++;
    }
    thread->objects[thread->resizing++] = object;
    return true;
}

/* The second record of a realloc. */
static bool resize(struct mb_merge *merge, struct thread *thread, uint64_t time_ns,
                   const struct mb_record *record)
{
    uint32_t object = thread->resizing > 0 ? thread->objects[--thread->resizing] : ADDRESSES_NONE;
    if (object == ADDRESSES_NONE) { /* it was not seen before */
        return record->kind != RAW_RESIZE_TO
               || allocate_specially(merge, thread, time_ns, record);
    }
    if (record->kind == RAW_RESIZE_FREED) {
        return put_free_rarely(merge, thread, time_ns, object);
    }
    struct mb_trace_event event = { .kind = MB_TRACE_RESIZE, .thread = thread->number,
                                    .object = object, .size = record->size, .time_ns = time_ns };
    return (record->kind == RAW_RESIZE_FAILED || mb_trace_put(merge->writer, &event) == 0)
           && place(merge, thread, time_ns, record->address, object);
}

/* Other than malloc and free. False with errno. */
static __attribute__((noinline)) bool take_other(struct mb_merge *merge, struct thread *thread,
                                                 const struct mb_record *record, uint64_t time_ns)
{
    switch (record->kind) {
    case RAW_EXIT:
        thread->is_started = false;
        struct mb_trace_event event = { .kind = MB_TRACE_THREAD_EXIT, .thread = thread->number,
                                        .time_ns = time_ns };
        return mb_trace_put(merge->writer, &event) == 0;
    case RAW_ZEROED:
    case RAW_ALIGNED:
        return allocate_specially(merge, thread, time_ns, record);
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

/* On the line through the two moments of the round. */
static inline uint64_t to_ns(const struct mb_merge *merge, uint64_t ticks)
{
    uint64_t passed = ticks > merge->from.ticks ? ticks - merge->from.ticks : 0;
    return merge->from.ns + (uint64_t)((product)passed * merge->tick_scale >> TICK_SCALE_LOG);
}

/* All of it. False with errno. */
static bool take_run(struct mb_merge *merge, struct mb_run *whole)
{
    struct thread *thread = thread_of(merge, whole->thread);
    struct mb_run run = *whole; /* in registers, as only what is rare has a pointer to a record */
    struct mb_record record;
    bool good = thread != NULL;
    while (good && mb_run_take(&run, &record)) {
        mb_addresses_prefetch(&merge->addresses, record.later);
        uint64_t time_ns = to_ns(merge, record.ticks);
        if (!thread->is_started && !start(merge, thread, time_ns)) {
            good = false;
        } else if (record.kind == RAW_FREE) {
            good = release(merge, thread, time_ns, record.address);
        } else if (record.kind == RAW_ALLOCATE) {
            good = allocate(merge, thread, time_ns, record.address, record.size);
        } else {
            struct mb_record other = record;
            good = take_other(merge, thread, &other, time_ns);
        }
    }
    *whole = run;
    return good;
}

struct mb_merge *mb_merge_open(struct raw_header *raw, int trace_file, uint64_t max_bytes)
{
    struct mb_merge *merge = calloc(1, sizeof *merge);
    if (merge == NULL) {
        return NULL;
    }
    *merge = (struct mb_merge){ .raw = raw, .trace_file = trace_file, .max_bytes = max_bytes };
    merge->chunks = mb_chunks_open(raw);
    merge->writer = mb_trace_create(trace_file, max_bytes);
    if (merge->chunks == NULL || merge->writer == NULL) {
        int why = errno;
        mb_chunks_close(merge->chunks);
        free(merge);
        errno = why;
        return NULL;
    }
    return merge;
}

static void stop(struct mb_merge *merge, int error)
{
    merge->is_stopped = true;
    merge->error = error;
    /* relaxed [BACKLOG]: the program takes no error from mbrun. */
    atomic_store_explicit(&merge->raw->stopped, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&merge->raw->read, 1, memory_order_relaxed); /* [BACKLOG] */
    raw_wake(&merge->raw->read);
}

/* The process has become another program: the trace begins anew. */
static bool begin_image(struct mb_merge *merge, uint32_t image)
{
    if (merge->image != 0) {
        merge->is_stopped = false;
        merge->error = 0;
        struct mb_trace_header none = { .program = "" };
        if (merge->writer != NULL) {
            (void)mb_trace_finish(merge->writer, &none);
        }
        merge->writer = ftruncate(merge->trace_file, 0) == 0
                            ? mb_trace_create(merge->trace_file, merge->max_bytes)
                            : NULL;
        mb_addresses_free(&merge->addresses);
        free(merge->threads);
        merge->threads = NULL;
        merge->thread_room = 0;
        merge->lost = 0;
    }
    merge->image = image;
    merge->to = (struct moment){ .ticks = merge->raw->begin_ticks };
    return merge->writer != NULL;
}

unsigned mb_merge_round(struct mb_merge *merge)
{
    /* acquire [STOP-LOAD]: pairs with [STOP-STORE]. */
    uint32_t image = atomic_load_explicit(&merge->raw->images, memory_order_acquire);
    if (image != merge->image && !begin_image(merge, image)) {
        stop(merge, errno);
    }
    if (merge->is_stopped || image == 0) {
        return 0;
    }
    merge->from = merge->to;
    merge->to.ns = raw_monotonic_ns() - merge->raw->begin_ns;
    merge->to.ticks = raw_ticks(merge->raw->clock);
    (void)raw_ticks(merge->raw->clock); /* waits: no load of the round comes before the first */
    merge->tick_scale = merge->to.ticks > merge->from.ticks
                            ? (uint64_t)((double)(merge->to.ns - merge->from.ns)
                                         / (double)(merge->to.ticks - merge->from.ticks)
                                         * (double)(UINT64_C(1) << TICK_SCALE_LOG))
                            : 0;
    mb_chunks_begin(merge->chunks, image, merge->to.ticks);
    struct mb_run run;
    while (!merge->is_stopped && mb_chunks_next(merge->chunks, &run)) {
        if (!take_run(merge, &run)) {
            stop(merge, errno);
        }
        mb_chunks_leave(merge->chunks, &run);
    }
    return mb_chunks_end(merge->chunks);
}

void mb_merge_close(struct mb_merge *merge, struct mb_merged *merged)
{
    const struct raw_header *raw = merge->raw;
    *merged = (struct mb_merged){ .images = merge->image, .error = merge->error,
                                  .lost = merge->lost };
    /* acquire [STOP-LOAD]: pairs with [STOP-STORE]. */
    bool is_cut = atomic_load_explicit(&raw->stopped, memory_order_acquire) != 0;
    merged->error = merged->error == 0 && is_cut ? raw->error : merged->error;
    struct mb_trace_header *header = &merged->header;
    header->start_ns = raw->start_ns;
    header->duration_ns = merge->to.ns;
    header->page_bytes = (uint32_t)getpagesize();
    header->truncated = is_cut;
    memcpy(header->program, raw->program, sizeof header->program - 1);
    if (merge->writer == NULL || mb_trace_finish(merge->writer, header) != 0) {
        merged->error = merged->error == 0 ? errno : merged->error;
    }
    mb_chunks_close(merge->chunks);
    mb_addresses_free(&merge->addresses);
    free(merge->threads);
    free(merge);
}
