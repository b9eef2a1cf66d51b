/* chunks: a heap of those that are being read, and a list of those that come later. */
#include "trace/chunks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK_WORDS = RAW_CHUNK_BYTES / 8 };

struct cursor {
    uint64_t ticks; /* of the record at `at`; never less than before */
    uint64_t order; /* where the chunk lies in the file: of equal times the lower one first */
    uint64_t thread;
    size_t at;
    uint64_t words[CHUNK_WORDS];
};

struct waiting {
    uint64_t ticks; /* of the chunk's first record */
    uint64_t order;
};

struct mb_chunks {
    int file;
    struct waiting *waiting; /* by time */
    size_t waiting_count;
    size_t waiting_next;
    struct cursor **heap; /* the first is the one whose record is next */
    size_t heap_count;
    size_t heap_room;
    struct cursor *spare;
};

static int compare_waiting(const void *a, const void *b)
{
    const struct waiting *one = a, *other = b;
    uint64_t x = one->ticks != other->ticks ? one->ticks : one->order;
    uint64_t y = one->ticks != other->ticks ? other->ticks : other->order;
    return x < y ? -1 : x > y;
}

/* Up to `bytes`, fewer at the file's end; -1 with errno. */
static ssize_t read_at(int file, void *to, size_t bytes, uint64_t at)
{
    ssize_t got;
    do {
        got = pread(file, to, bytes, (off_t)at);
    } while (got < 0 && errno == EINTR);
    return got;
}

/* False with errno. A chunk of which nothing was written is left out. */
static bool list_chunks(struct mb_chunks *chunks, uint64_t begin, uint64_t end)
{
    for (uint64_t at = begin; at + RAW_CHUNK_BYTES <= end; at += RAW_CHUNK_BYTES) {
        uint64_t first = 0;
        if (read_at(chunks->file, &first, sizeof first, at) < 0) {
            return false;
        }
        if (first != 0) {
            chunks->waiting[chunks->waiting_count++] = (struct waiting){ first, at };
        }
    }
    qsort(chunks->waiting, chunks->waiting_count, sizeof *chunks->waiting, compare_waiting);
    return true;
}

struct mb_chunks *mb_chunks_open(int file, uint64_t begin, uint64_t end)
{
    struct mb_chunks *chunks = calloc(1, sizeof *chunks);
    if (chunks == NULL) {
        return NULL;
    }
    chunks->file = file;
    size_t count = end > begin ? (size_t)((end - begin) / RAW_CHUNK_BYTES) : 0;
    chunks->waiting = calloc(count + 1, sizeof *chunks->waiting);
    if (chunks->waiting == NULL || !list_chunks(chunks, begin, end)) {
        int why = errno;
        mb_chunks_close(chunks);
        errno = why;
        return NULL;
    }
    return chunks;
}

void mb_chunks_close(struct mb_chunks *chunks)
{
    for (size_t i = 0; i < chunks->heap_count; i++) {
        free(chunks->heap[i]);
    }
    free(chunks->heap);
    free(chunks->spare);
    free(chunks->waiting);
    free(chunks);
}

static bool is_before(const struct cursor *a, const struct cursor *b)
{
    return a->ticks != b->ticks ? a->ticks < b->ticks : a->order < b->order;
}

static void sift_up(struct mb_chunks *chunks, size_t at)
{
    struct cursor **heap = chunks->heap;
    for (; at > 0 && is_before(heap[at], heap[(at - 1) / 2]); at = (at - 1) / 2) {
        struct cursor *moved = heap[at];
        heap[at] = heap[(at - 1) / 2];
        heap[(at - 1) / 2] = moved;
    }
}

static void sift_down(struct mb_chunks *chunks)
{
    struct cursor **heap = chunks->heap;
    size_t at = 0;
    for (;;) {
        size_t least = at;
        for (size_t below = 2 * at + 1; below <= 2 * at + 2 && below < chunks->heap_count; below++) {
            least = is_before(heap[below], heap[least]) ? below : least;
        }
        if (least == at) {
            return;
        }
        struct cursor *moved = heap[at];
        heap[at] = heap[least];
        heap[least] = moved;
        at = least;
    }
}

/* Reads the chunk that is next in time, and lets its blocks go: the trace may need them. */
static bool begin_chunk(struct mb_chunks *chunks)
{
    if (chunks->heap_count == chunks->heap_room) {
        size_t room = chunks->heap_room * 2 + 16;
        struct cursor **heap = realloc(chunks->heap, room * sizeof *heap);
        if (heap == NULL) {
            return false;
        }
        chunks->heap = heap;
        chunks->heap_room = room;
    }
    struct cursor *cursor = chunks->spare != NULL ? chunks->spare : malloc(sizeof *cursor);
    if (cursor == NULL) {
        return false;
    }
    chunks->spare = NULL;
    const struct waiting *waiting = &chunks->waiting[chunks->waiting_next++];
    cursor->ticks = waiting->ticks;
    cursor->order = waiting->order;
    cursor->thread = 0;
    cursor->at = 0;
    chunks->heap[chunks->heap_count++] = cursor;
    memset(cursor->words, 0, sizeof cursor->words);
    if (read_at(chunks->file, cursor->words, sizeof cursor->words, cursor->order) < 0) {
        return false;
    }
    (void)fallocate(chunks->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)cursor->order,
                    RAW_CHUNK_BYTES);
    sift_up(chunks, chunks->heap_count - 1);
    return true;
}

/* The record at the cursor, which moves on; false at the chunk's end. */
static bool read_record(struct cursor *cursor, struct mb_record *record)
{
    const uint64_t *words = cursor->words + cursor->at;
    if (cursor->at + RAW_LONG_WORDS > CHUNK_WORDS || words[0] == 0) {
        return false;
    }
    *record = (struct mb_record){
        .kind = (enum raw_kind)(words[1] >> RAW_KIND_SHIFT & 15),
        .ticks = cursor->ticks,
        .address = (words[1] & ((UINT64_C(1) << RAW_KIND_SHIFT) - 1)) << 3,
        .size = words[1] >> RAW_SIZE_SHIFT,
    };
    cursor->at += RAW_RECORD_WORDS;
    if (record->size == RAW_SIZE_LONG) {
        record->size = words[2] & ((UINT64_C(1) << RAW_ALIGNMENT_SHIFT) - 1);
        record->alignment_log = (unsigned)(words[2] >> RAW_ALIGNMENT_SHIFT);
        cursor->at += RAW_LONG_WORDS - RAW_RECORD_WORDS;
    }
    if (record->kind == RAW_OWNER) {
        cursor->thread = record->address >> 3;
    }
    record->thread = cursor->thread;
    if (cursor->at < CHUNK_WORDS && cursor->words[cursor->at] > cursor->ticks) {
        cursor->ticks = cursor->words[cursor->at];
    }
    return true;
}

/* As mb_chunks_next, with OWNER records. */
static int next_of_all(struct mb_chunks *chunks, struct mb_record *record)
{
    for (;;) {
        while (chunks->waiting_next < chunks->waiting_count
               && (chunks->heap_count == 0
                   || chunks->waiting[chunks->waiting_next].ticks <= chunks->heap[0]->ticks)) {
            if (!begin_chunk(chunks)) {
                return -1;
            }
        }
        if (chunks->heap_count == 0) {
            return 0;
        }
        struct cursor *first = chunks->heap[0];
        bool is_record = read_record(first, record);
        if (!is_record) {
            free(chunks->spare);
            chunks->spare = first;
            chunks->heap[0] = chunks->heap[--chunks->heap_count];
        }
        sift_down(chunks);
        if (is_record) {
            return 1;
        }
    }
}

int mb_chunks_next(struct mb_chunks *chunks, struct mb_record *record)
{
    int status;
    do {
        status = next_of_all(chunks, record);
    } while (status == 1 && record->kind == RAW_OWNER);
    return status;
}
