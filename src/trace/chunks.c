/* chunks: a place in each chunk, and in a round a heap of those that have records for it. */
#include "trace/chunks.h"

#include <stdlib.h>

/* Of a slot; all zero while nothing of its chunk was read. */
struct cursor {
    const _Atomic uint64_t *words; /* the chunk */
    uint64_t least;    /* time word: when the chunk was taken, with RAW_TIME_BIT */
    uint64_t ticks;    /* of the record at `at`, if there is one; never less than before */
    uint64_t thread;
    uint64_t sequence; /* of equal times, the chunk that was taken earlier is first */
    uint32_t slot;
    uint32_t at;
};

struct mb_chunks {
    struct raw_header *header;
    uint64_t limit;
    uint32_t image;
    unsigned released;    /* in this round */
    struct cursor **heap; /* the first is the one whose record is next */
    size_t heap_count;
    struct cursor cursors[RAW_CHUNKS];
};

struct mb_chunks *mb_chunks_open(struct raw_header *header)
{
    struct mb_chunks *chunks = calloc(1, sizeof *chunks);
    if (chunks == NULL || (chunks->heap = calloc(RAW_CHUNKS, sizeof(void *))) == NULL) {
        free(chunks);
        return NULL;
    }
    chunks->header = header;
    return chunks;
}

void mb_chunks_close(struct mb_chunks *chunks)
{
    if (chunks != NULL) {
        free(chunks->heap);
        free(chunks);
    }
}

static bool is_before(const struct cursor *a, const struct cursor *b)
{
    return a->ticks != b->ticks ? a->ticks < b->ticks : a->sequence < b->sequence;
}

static void push(struct mb_chunks *chunks, struct cursor *cursor)
{
    struct cursor **heap = chunks->heap;
    size_t at = chunks->heap_count++;
    for (; at > 0 && is_before(cursor, heap[(at - 1) / 2]); at = (at - 1) / 2) {
        heap[at] = heap[(at - 1) / 2];
    }
    heap[at] = cursor;
}

/* The first one has changed, or its record. */
static void sift_down(struct mb_chunks *chunks)
{
    struct cursor **heap = chunks->heap;
    struct cursor *first = heap[0];
    size_t at = 0;
    for (size_t below; (below = 2 * at + 1) < chunks->heap_count; at = below) {
        below += below + 1 < chunks->heap_count && is_before(heap[below + 1], heap[below]);
        if (!is_before(heap[below], first)) {
            break;
        }
        heap[at] = heap[below];
    }
    heap[at] = first;
}

/* Of the first one: up to when it is before those below it. */
static uint64_t find_until(const struct mb_chunks *chunks)
{
    struct cursor *const *heap = chunks->heap;
    uint64_t until = UINT64_MAX;
    for (size_t below = 1; below <= 2 && below < chunks->heap_count; below++) {
        uint64_t last = heap[below]->ticks - (heap[below]->sequence < heap[0]->sequence);
        until = last < until ? last : until;
    }
    return until;
}

static inline uint64_t time_at(const struct cursor *cursor)
{
    return mb_chunks_time(cursor->words, cursor->at, cursor->least);
}

/* Whether the round has the record at the cursor, whose time it sets. */
static inline bool has_record(const struct mb_chunks *chunks, struct cursor *cursor)
{
    uint64_t ticks = time_at(cursor);
    if (ticks == 0 || ticks > chunks->limit) {
        return false;
    }
    cursor->ticks = ticks > cursor->ticks ? ticks : cursor->ticks;
    return true;
}

static uint64_t image_of(const struct mb_chunks *chunks, uint32_t slot)
{
    return mb_chunks_load(raw_chunk(chunks->header, slot) + RAW_HEAD_IMAGE);
}

/* The slots that were ever used. */
static uint32_t slots_of(const struct mb_chunks *chunks)
{
    /* relaxed [BACKLOG]: of a slot that is missed, all records are late. */
    uint32_t fresh = atomic_load_explicit(&chunks->header->fresh, memory_order_relaxed);
    return fresh < RAW_CHUNKS ? fresh : RAW_CHUNKS;
}

/* acquire [CHUNK-LOAD]: pairs with [CHUNK-STORE]. */
static uint32_t state_of(const struct mb_chunks *chunks, uint32_t slot)
{
    return atomic_load_explicit(&chunks->header->slots[slot].state, memory_order_acquire);
}

/* For the next thread that takes it. */
static void release(struct mb_chunks *chunks, uint32_t slot, bool was_done)
{
    struct raw_header *header = chunks->header;
    chunks->cursors[slot] = (struct cursor){ 0 };
    /* relaxed [SLOT-PUSH]: the stack's top below publishes it. */
    atomic_store_explicit(&header->slots[slot].state, RAW_FREE_CHUNK, memory_order_relaxed);
    uint64_t top = atomic_load_explicit(&header->free, memory_order_relaxed);
    uint64_t changed;
    do {
        /* relaxed [SLOT-PUSH]: likewise. */
        atomic_store_explicit(&header->slots[slot].next, (uint32_t)top, memory_order_relaxed);
        changed = ((top >> 32) + 1) << 32 | (slot + 1);
        /* release [SLOT-PUSH]: pairs with [SLOT-POP]. */
    } while (!atomic_compare_exchange_weak_explicit(&header->free, &top, changed,
                                                    memory_order_release, memory_order_relaxed));
    if (was_done) {
        /* relaxed [BACKLOG]: a bound only. */
        atomic_fetch_sub_explicit(&header->backlog, 1, memory_order_relaxed);
    }
}

/* Threads that wait may go on. */
static void tell_released(const struct mb_chunks *chunks)
{
    /* relaxed [BACKLOG]: raw_wait looks at it again. */
    atomic_fetch_add_explicit(&chunks->header->read, 1, memory_order_relaxed);
    raw_wake(&chunks->header->read);
}

/* Whether all of a chunk is read, and no thread has it. */
static bool is_read(const struct mb_chunks *chunks, const struct cursor *cursor)
{
    return state_of(chunks, cursor->slot) == RAW_DONE && time_at(cursor) == 0;
}

void mb_chunks_begin(struct mb_chunks *chunks, uint32_t image, uint64_t limit_ticks)
{
    chunks->limit = limit_ticks;
    chunks->image = image;
    chunks->heap_count = 0;
    chunks->released = 0;
    uint32_t slots = slots_of(chunks);
    for (uint32_t slot = 0; slot < slots; slot++) {
        struct cursor *cursor = &chunks->cursors[slot];
        if (state_of(chunks, slot) == RAW_FREE_CHUNK || image_of(chunks, slot) != image) {
            continue;
        }
        if (cursor->at == 0) {
            const _Atomic uint64_t *words = raw_chunk(chunks->header, slot);
            *cursor = (struct cursor){ .words = words, .slot = slot, .at = RAW_CHUNK_HEAD,
                                       .thread = mb_chunks_load(words + RAW_HEAD_THREAD),
                                       .sequence = mb_chunks_load(words + RAW_HEAD_SEQUENCE),
                                       .least = mb_chunks_load(words + RAW_HEAD_TAKEN)
                                                | RAW_TIME_BIT };
        }
        if (has_record(chunks, cursor)) {
            push(chunks, cursor);
        }
    }
}

bool mb_chunks_next(struct mb_chunks *chunks, struct mb_run *run)
{
    if (chunks->heap_count == 0) {
        return false;
    }
    const struct cursor *cursor = chunks->heap[0];
    uint64_t until = find_until(chunks);
    *run = (struct mb_run){ .words = cursor->words, .thread = cursor->thread,
                            .least = cursor->least, .ticks = cursor->ticks, .at = cursor->at,
                            .until = until < chunks->limit ? until : chunks->limit };
    return true;
}

void mb_chunks_leave(struct mb_chunks *chunks, const struct mb_run *run)
{
    struct cursor *cursor = chunks->heap[0];
    cursor->at = run->at;
    cursor->ticks = run->ticks;
    if (!has_record(chunks, cursor)) {
        chunks->heap[0] = chunks->heap[--chunks->heap_count];
        if (is_read(chunks, cursor)) {
            /* At once: what is written next to it is then still in a cache. */
            release(chunks, cursor->slot, true);
            if (++chunks->released % RAW_ASK == 0) {
                tell_released(chunks);
            }
        }
    }
    if (chunks->heap_count > 0) {
        sift_down(chunks);
    }
}

unsigned mb_chunks_end(struct mb_chunks *chunks)
{
    unsigned before = chunks->released;
    uint32_t slots = slots_of(chunks);
    for (uint32_t slot = 0; slot < slots; slot++) {
        const struct cursor *cursor = &chunks->cursors[slot];
        uint32_t state = state_of(chunks, slot);
        bool is_of_past = state != RAW_FREE_CHUNK && image_of(chunks, slot) < chunks->image;
        if (is_of_past || (cursor->at > 0 && is_read(chunks, cursor))) {
            release(chunks, slot, state == RAW_DONE);
            chunks->released++;
        }
    }
    if (chunks->released > before || before % RAW_ASK != 0) {
        tell_released(chunks);
    }
    return chunks->released;
}
