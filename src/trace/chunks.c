/* chunks: a place in each chunk, and in a round a heap of those that have records for it. */
#include "trace/chunks.h"

#include <stdlib.h>

/* So many words ahead lies the record that is foretold. */
enum { AHEAD_WORDS = 8 * RAW_RECORD_WORDS };

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
    uint64_t until; /* times of the first one's records that come before all others' */
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

/* Of the first one: how far it is before those below it, so that they need not be asked again. */
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

/* 0 when there is no record. */
static inline uint64_t time_at(const struct cursor *cursor)
{
    if (cursor->at + RAW_LONG_WORDS > RAW_CHUNK_WORDS) {
        return 0;
    }
    /* acquire [RECORD-LOAD]: pairs with [RECORD-STORE]. */
    uint64_t time = atomic_load_explicit(cursor->words + cursor->at, memory_order_acquire);
    return time >= cursor->least ? time ^ RAW_TIME_BIT : 0;
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

/* relaxed [RECORD-LOAD]: time_at, or the chunk's state, has made it visible. */
static inline uint64_t load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static uint64_t image_of(const struct mb_chunks *chunks, uint32_t slot)
{
    return load(raw_chunk(chunks->header, slot) + RAW_HEAD_IMAGE);
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
                                       .thread = load(words + RAW_HEAD_THREAD),
                                       .sequence = load(words + RAW_HEAD_SEQUENCE),
                                       .least = load(words + RAW_HEAD_TAKEN) | RAW_TIME_BIT };
        }
        if (has_record(chunks, cursor)) {
            push(chunks, cursor);
        }
    }
    chunks->until = chunks->heap_count > 0 ? find_until(chunks) : 0;
}

/* The first one's records no longer come first, or it has no more. */
static __attribute__((noinline)) void change_first(struct mb_chunks *chunks, bool has_more)
{
    struct cursor *cursor = chunks->heap[0];
    if (!has_more) {
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
        chunks->until = find_until(chunks);
    }
}

static inline uint64_t address_in(uint64_t packed)
{
    return (packed & ((UINT64_C(1) << RAW_KIND_SHIFT) - 1)) << 3;
}

bool mb_chunks_next(struct mb_chunks *chunks, struct mb_record *record)
{
    if (chunks->heap_count == 0) {
        return false;
    }
    struct cursor *cursor = chunks->heap[0];
    const _Atomic uint64_t *words = cursor->words + cursor->at;
    uint64_t packed = load(words + 1);
    record->kind = (enum raw_kind)(packed >> RAW_KIND_SHIFT & 15);
    record->alignment_log = 0;
    record->ticks = cursor->ticks;
    record->thread = cursor->thread;
    record->address = address_in(packed);
    size_t ahead = (cursor->at + 1 + AHEAD_WORDS) % RAW_CHUNK_WORDS;
    record->later = address_in(load(cursor->words + ahead));
    record->size = packed >> RAW_SIZE_SHIFT;
    cursor->at += RAW_RECORD_WORDS;
    if (record->size == RAW_SIZE_LONG) {
        uint64_t size = load(words + 2);
        record->size = size & ((UINT64_C(1) << RAW_ALIGNMENT_SHIFT) - 1);
        record->alignment_log = (unsigned)(size >> RAW_ALIGNMENT_SHIFT);
        cursor->at += RAW_LONG_WORDS - RAW_RECORD_WORDS;
    }
    bool has_more = has_record(chunks, cursor);
    if (!has_more || cursor->ticks > chunks->until) {
        change_first(chunks, has_more);
    }
    return true;
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
