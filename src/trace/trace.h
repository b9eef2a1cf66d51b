/*
 * trace: the file of what a program asked its allocator for. mbrun --record writes it, mbreplay
 * reads it, and only this folder knows the format.
 *
 * Ladder: stands alone; programs are built from it, and neither library is.
 *
 *   bytes 0..71   the fixed header, integers little-endian:
 *       0  "MBTRACE\n"
 *       8  u32 version: 1       12  u32 bytes of header and program name: where the frames begin
 *      16  u64 bytes of the file                  24  u64 events
 *      32  u64 start, ns since 1970               40  u64 duration, ns
 *      48  u32 threads     52  u32 objects        56  u32 bytes of a page
 *      60  u32 flags: 1 truncated                 64  u32 ns of a tick
 *      68  u32 FNV-1a of header and program name without these four bytes
 *   72 ..         the program's name
 *   the rest      zstd frames, each with its checksum and at most MB_TRACE_FRAME_BYTES once
 *                 decompressed; an event lies in one frame
 *
 * An event is a varint (7 bits a byte, the lowest first; bit 7: more follow),
 *
 *   ticks since the event before << 4 | same thread as the event before << 3 | tag
 *
 * then, unless the thread is the same, the thread; and then what the tag needs, all varints:
 *
 *   0 allocate            size
 *   1 allocate, zeroed    size
 *   2 allocate, aligned   size, log2 of the alignment
 *   3 free                object
 *   4 resize              object, size
 *   5 thread starts       (it is then the "thread of the event before")
 *   6 thread exits
 *
 * Objects and threads that begin are not numbered in the file: each takes the number that became
 * free last, or where none is free the next new one. So numbers stay small, and there are as many
 * as lived at once. The start of a thread gives no thread.
 */
#ifndef MEMORYBUCKET_TRACE_TRACE_H
#define MEMORYBUCKET_TRACE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MB_TRACE_PROGRAM_MAX = 256, MB_TRACE_ERROR_MAX = 512, MB_TRACE_FRAME_BYTES = 1 << 20 };

enum mb_trace_kind {
    MB_TRACE_ALLOCATE,
    MB_TRACE_FREE,
    MB_TRACE_RESIZE,
    MB_TRACE_THREAD_START,
    MB_TRACE_THREAD_EXIT,
};

struct mb_trace_header {
    char program[MB_TRACE_PROGRAM_MAX]; /* its arguments, with spaces between; may be cut off */
    uint64_t start_ns;                  /* since 1970 */
    uint64_t duration_ns;
    uint64_t events;
    uint32_t threads; /* most that lived at once: they are 0 .. threads - 1 */
    uint32_t objects; /* likewise */
    uint32_t page_bytes;
    bool truncated; /* the program went on after the last event: --record-max, or a full disk */
};

/*
 * A thread's events come between its start and its exit; a thread that runs when the recording ends
 * has no exit. A free and a resize name a live object, of any thread.
 */
struct mb_trace_event {
    enum mb_trace_kind kind;
    uint32_t thread;
    uint32_t object;    /* of ALLOCATE, FREE, RESIZE */
    uint32_t alignment; /* of ALLOCATE: a power of two, or 0 for malloc's own */
    uint64_t size;      /* of ALLOCATE and RESIZE: bytes; may be 0 */
    bool zeroed;        /* of ALLOCATE: calloc */
    uint64_t time_ns;   /* since the recording began; never less than the event's before */
};

/* ---- reading ---- */

struct mb_trace;

/*
 * Opens a trace. 0; or -1, with one line in `error` that names the file: it cannot be read, is no
 * trace, is of a newer format, is cut off, or its header is damaged.
 */
int mb_trace_open(const char *path, struct mb_trace **trace, char *error, size_t error_bytes);

/* Valid until mb_trace_close. */
const struct mb_trace_header *mb_trace_header(const struct mb_trace *trace);

/* 1 with the next event; 0 at the end; -1 where the file is damaged, see mb_trace_error. */
int mb_trace_next(struct mb_trace *trace, struct mb_trace_event *event);

/* What went wrong in mb_trace_next, in one line that names the file. */
const char *mb_trace_error(const struct mb_trace *trace);

/* The next event is the first again. 0, or -1 as mb_trace_next. */
int mb_trace_rewind(struct mb_trace *trace);

/* Closes and frees; NULL does nothing. */
void mb_trace_close(struct mb_trace *trace);

/* ---- writing ---- */

struct mb_trace_writer;

/*
 * Begins a trace in an open, empty file, which the caller closes after mb_trace_finish: before that
 * it is no trace. It will have at most `max_bytes`, some KiB or more. NULL with errno.
 */
struct mb_trace_writer *mb_trace_create(int file, uint64_t max_bytes);

/*
 * Appends an event. It sets `object` of an ALLOCATE and `thread` of a THREAD_START; all else must
 * be as struct mb_trace_event says, but a time below the last one counts as that. 0; or -1 with
 * errno where the file cannot grow, and then at each further call: EOVERFLOW at its maximum.
 */
int mb_trace_put(struct mb_trace_writer *writer, struct mb_trace_event *event);

/*
 * Ends the trace and frees the writer. Takes program, start_ns, duration_ns, page_bytes and
 * truncated from the header, and sets the rest. 0; or -1 with errno where not all fits: the file is
 * then a trace of what did, marked as truncated, if any of it did.
 */
int mb_trace_finish(struct mb_trace_writer *writer, struct mb_trace_header *header);

#endif
