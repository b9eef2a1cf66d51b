/*
 * trace: what is written is read, object numbers and all; what is cut off, foreign, newer or damaged
 * is refused in one line, and no byte that is wrong makes the reader crash or go on for ever.
 */
#include "trace/layout.h"
#include "trace/trace.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EVENTS = 3000, THREADS = 3, LIVE_MAX = 40 };

static char path[] = "/tmp/mbtrace-XXXXXX";

static void make_path(void)
{
    close(mkstemp(path));
}

static void remove_path(void)
{
    unlink(path);
}

TestSuite(trace, .init = make_path, .fini = remove_path);

/* A small program of chance, the same each time: its n-th event. `objects` live, of `count`. */
struct story {
    uint64_t state;
    uint64_t time_ns;
    uint32_t live[LIVE_MAX];
    uint32_t count;
    uint32_t written;
};

static uint32_t chance(struct story *story, uint32_t below)
{
    story->state = story->state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(story->state >> 33) % below;
}

static struct mb_trace_event tell(struct story *story)
{
    struct mb_trace_event event = { .thread = chance(story, THREADS) };
    story->time_ns += chance(story, 8) == 0 ? chance(story, 1U << 30) : chance(story, 300);
    event.time_ns = story->time_ns;
    if (story->written < THREADS) {
        event.kind = MB_TRACE_THREAD_START;
        event.thread = story->written;
    } else if (story->count == LIVE_MAX || (story->count > 0 && chance(story, 2) == 0)) {
        uint32_t at = chance(story, story->count);
        event.object = story->live[at];
        event.kind = chance(story, 4) == 0 ? MB_TRACE_RESIZE : MB_TRACE_FREE;
        event.size = event.kind == MB_TRACE_RESIZE ? chance(story, 5000) : 0;
        if (event.kind == MB_TRACE_FREE) {
            story->live[at] = story->live[--story->count];
        }
    } else {
        event.kind = MB_TRACE_ALLOCATE;
        uint32_t form = chance(story, 3);
        event.zeroed = form == 1;
        event.alignment = form == 2 ? 1U << chance(story, 20) : 0;
        event.size = chance(story, 10) == 0 ? (uint64_t)chance(story, 100) << 40 : chance(story, 99);
    }
    story->written++;
    return event;
}

/* Writes a trace of `count` events, and the header as the writer left it. */
static void write_story(uint32_t count, struct mb_trace_header *header)
{
    int file = open(path, O_RDWR | O_TRUNC);
    struct mb_trace_writer *writer = mb_trace_create(file, UINT64_MAX);
    cr_assert_not_null(writer);
    struct story story = { .state = 1 };
    for (uint32_t i = 0; i < count; i++) {
        struct mb_trace_event event = tell(&story);
        cr_assert_eq(mb_trace_put(writer, &event), 0);
        if (event.kind == MB_TRACE_ALLOCATE) {
            story.live[story.count++] = event.object;
        }
    }
    *header = (struct mb_trace_header){ .program = "a program", .start_ns = 5, .duration_ns = 7,
                                        .page_bytes = 4096 };
    cr_assert_eq(mb_trace_finish(writer, header), 0);
    close(file);
}

static struct mb_trace *open_trace(void)
{
    struct mb_trace *trace = NULL;
    char error[MB_TRACE_ERROR_MAX] = "";
    cr_assert_eq(mb_trace_open(path, &trace, error, sizeof error), 0, "%s", error);
    return trace;
}

static void assert_story(struct mb_trace *trace, uint32_t count)
{
    struct story story = { .state = 1 };
    struct mb_trace_event event;
    for (uint32_t i = 0; i < count; i++) {
        struct mb_trace_event told = tell(&story);
        cr_assert_eq(mb_trace_next(trace, &event), 1, "%s", mb_trace_error(trace));
        cr_assert(event.kind == told.kind && event.thread == told.thread && event.size == told.size);
        cr_assert(event.zeroed == told.zeroed && event.alignment == told.alignment);
        cr_assert(event.time_ns <= told.time_ns && told.time_ns - event.time_ns < 64);
        if (event.kind == MB_TRACE_ALLOCATE) {
            story.live[story.count++] = event.object;
        } else if (event.kind != MB_TRACE_THREAD_START) {
            cr_assert_eq(event.object, told.object);
        }
    }
    cr_assert_eq(mb_trace_next(trace, &event), 0);
    cr_assert_eq(mb_trace_next(trace, &event), 0);
}

Test(trace, what_is_written_is_read)
{
    struct mb_trace_header written;
    write_story(EVENTS, &written);
    struct mb_trace *trace = open_trace();
    const struct mb_trace_header *header = mb_trace_header(trace);
    cr_assert_str_eq(header->program, "a program");
    cr_assert(header->start_ns == 5 && header->duration_ns == 7 && header->page_bytes == 4096);
    cr_assert(header->events == EVENTS && header->threads == THREADS && !header->truncated);
    cr_assert(header->objects <= LIVE_MAX && header->objects == written.objects);
    assert_story(trace, EVENTS);
    cr_assert_eq(mb_trace_rewind(trace), 0);
    assert_story(trace, EVENTS);
    mb_trace_close(trace);
    mb_trace_close(NULL);
}

Test(trace, many_frames)
{
    struct mb_trace_header written;
    write_story(400000, &written);
    struct mb_trace *trace = open_trace();
    assert_story(trace, 400000);
    mb_trace_close(trace);
}

Test(trace, empty)
{
    struct mb_trace_header written;
    write_story(0, &written);
    struct mb_trace *trace = open_trace();
    assert_story(trace, 0);
    mb_trace_close(trace);
}

Test(trace, numbers_are_reused)
{
    int file = open(path, O_RDWR | O_TRUNC);
    struct mb_trace_writer *writer = mb_trace_create(file, UINT64_MAX);
    struct mb_trace_event start = { .kind = MB_TRACE_THREAD_START };
    struct mb_trace_event exit = { .kind = MB_TRACE_THREAD_EXIT };
    struct mb_trace_event allocate = { .kind = MB_TRACE_ALLOCATE, .size = 8 };
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(mb_trace_put(writer, &start), 0);
        cr_assert_eq(start.thread, 0);
        cr_assert_eq(mb_trace_put(writer, &allocate), 0);
        cr_assert_eq(allocate.object, 0);
        struct mb_trace_event release = { .kind = MB_TRACE_FREE, .object = allocate.object };
        cr_assert_eq(mb_trace_put(writer, &release), 0);
        cr_assert_eq(mb_trace_put(writer, &exit), 0);
    }
    /* What does not live ends in an error, for good. */
    cr_assert_eq(mb_trace_put(writer, &exit), -1);
    cr_assert_eq(mb_trace_put(writer, &start), -1);
    struct mb_trace_header header = { .program = "" };
    cr_assert_eq(mb_trace_finish(writer, &header), -1);
    close(file);
    cr_assert(header.truncated && header.threads == 0);
}

/* The file may not grow past a MiB: what fits is a trace. */
Test(trace, full_disk)
{
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = { .rlim_cur = 1 << 20, .rlim_max = RLIM_INFINITY };
    int file = open(path, O_RDWR | O_TRUNC);
    struct mb_trace_writer *writer = mb_trace_create(file, UINT64_MAX);
    struct story story = { .state = 1 };
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int status = 0;
    for (int i = 0; i < 2000000 && status == 0; i++) {
        struct mb_trace_event event = tell(&story);
        status = mb_trace_put(writer, &event);
        if (status == 0 && event.kind == MB_TRACE_ALLOCATE) {
            story.live[story.count++] = event.object;
        }
    }
    cr_assert(status == -1 && errno == EFBIG);
    struct mb_trace_header header = { .program = "cut" };
    cr_assert(mb_trace_finish(writer, &header) == -1 && errno == EFBIG);
    close(file);
    cr_assert(header.truncated && header.events > 100000);
    struct mb_trace *trace = open_trace();
    cr_assert(mb_trace_header(trace)->truncated);
    assert_story(trace, (uint32_t)header.events);
    mb_trace_close(trace);
}

static void refused(const char *what)
{
    struct mb_trace *trace = NULL;
    char error[MB_TRACE_ERROR_MAX] = "";
    cr_assert_eq(mb_trace_open(path, &trace, error, sizeof error), -1);
    cr_assert(strstr(error, path) == error && strstr(error, what) != NULL, "%s", error);
    cr_assert_null(strchr(error, '\n'));
}

static void patch(size_t at, const void *bytes, size_t count)
{
    int file = open(path, O_WRONLY);
    cr_assert_eq(pwrite(file, bytes, count, (off_t)at), (ssize_t)count);
    close(file);
}

Test(trace, what_is_refused)
{
    struct mb_trace_header written;
    struct stat status;
    refused("is no trace"); /* empty */
    patch(0, "some other file", 15);
    refused("is no trace");
    write_story(EVENTS, &written);
    patch(AT_VERSION, "\2", 1);
    refused("is of format 2");
    write_story(EVENTS, &written);
    patch(AT_EVENTS, "\1", 1);
    refused("is damaged");
    write_story(EVENTS, &written);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(truncate(path, status.st_size - 1), 0);
    refused("is cut off");
    cr_assert_eq(truncate(path, status.st_size + 1), 0);
    refused("is damaged");
    cr_assert_eq(truncate(path, 50), 0);
    refused("is cut off");
    unlink(path);
    refused("No such file");
    cr_assert_eq(mkdir(path, 0700), 0);
    refused("");
    rmdir(path);
    cr_assert_eq(mkfifo(path, 0600), 0);
    refused("");
}

/* Reads all that the file in `bytes` has; whether it says that something is wrong. */
static bool is_damaged(const unsigned char *bytes, size_t count)
{
    int file = open(path, O_WRONLY | O_TRUNC);
    cr_assert_eq(write(file, bytes, count), (ssize_t)count);
    close(file);
    struct mb_trace *trace = NULL;
    char error[MB_TRACE_ERROR_MAX];
    if (mb_trace_open(path, &trace, error, sizeof error) != 0) {
        return true;
    }
    struct mb_trace_event event;
    int status;
    while ((status = mb_trace_next(trace, &event)) == 1) {
        cr_assert(event.thread < mb_trace_header(trace)->threads);
        cr_assert(event.object < mb_trace_header(trace)->objects || event.kind > MB_TRACE_RESIZE);
    }
    if (status < 0) {
        cr_assert(strlen(mb_trace_error(trace)) > 0 && mb_trace_next(trace, &event) == -1);
    }
    mb_trace_close(trace);
    return status < 0;
}

/* Each byte of a short trace is changed, with the header's sum put right where it is the header's. */
Test(trace, no_wrong_byte_does_harm)
{
    struct mb_trace_header written;
    static unsigned char good[1 << 16], bad[1 << 16];
    write_story(200, &written);
    int file = open(path, O_RDONLY);
    ssize_t size = read(file, good, sizeof good);
    close(file);
    cr_assert(size > AT_PROGRAM && size < (ssize_t)sizeof good);
    size_t header_bytes = layout_load(good + AT_HEADER_BYTES, 4);
    for (size_t at = 0; at < (size_t)size; at++) {
        for (int change = 1; change < 256; change += 84) {
            memcpy(bad, good, (size_t)size);
            bad[at] = (unsigned char)(bad[at] ^ change);
            bool is_header = at < header_bytes;
            if (is_header) {
                layout_store(bad + AT_SUM, 4, layout_sum(bad, header_bytes));
            }
            bool damaged = is_damaged(bad, (size_t)size);
            if (!is_header && !damaged) { /* a bit that zstd does not use */
                struct mb_trace *trace = open_trace();
                assert_story(trace, 200);
                mb_trace_close(trace);
            }
        }
        if (at % 16 == 0) {
            cr_assert(is_damaged(good, at)); /* cut off there */
        }
    }
    cr_assert(!is_damaged(good, (size_t)size));
}

/* Whole frames that zstd finds right, of any bytes: events that make no sense. */
Test(trace, no_wrong_event_does_harm)
{
    struct mb_trace_header written;
    struct story story = { .state = 7 };
    write_story(200, &written);
    static unsigned char bytes[1 << 16];
    int file = open(path, O_RDONLY);
    ssize_t size = read(file, bytes, sizeof bytes);
    close(file);
    size_t header_bytes = layout_load(bytes + AT_HEADER_BYTES, 4);
    for (int round = 0; round < 3000; round++) {
        /* A frame of one raw block, without a checksum: magic, descriptor, size, header, bytes. */
        unsigned char *frame = bytes + header_bytes;
        uint32_t count = 1 + chance(&story, 200);
        layout_store(frame, 4, 0xFD2FB528);
        frame[4] = 0x20;
        frame[5] = (unsigned char)count;
        layout_store(frame + 6, 3, 1 | count << 3);
        for (uint32_t i = 0; i < count; i++) {
            frame[9 + i] = (unsigned char)chance(&story, i % 2 == 0 ? 256 : 16);
        }
        frame[9] = TAG_THREAD_START;
        layout_store(bytes + AT_FILE_BYTES, 8, header_bytes + 9 + count);
        layout_store(bytes + AT_SUM, 4, layout_sum(bytes, header_bytes));
        (void)is_damaged(bytes, header_bytes + 9 + count);
    }
    cr_assert(size > 0);
}
