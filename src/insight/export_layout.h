/*
 * export_layout: the file in which a process publishes its statistics, word by word.
 *
 * Ladder: above snapshot. Callers: export, the only writer; export_read, for mbstat and tests.
 *
 *   | header, 64 words | totals | pools | threads |
 *
 * The header says where each table begins, how many words its rows have, and how many rows there
 * are. So a newer writer, whose rows are longer, is read as far as the reader knows them, and an
 * older one leaves words at 0. EXPORT_VERSION changes only where that is not enough.
 *
 * All words are 64 bits of the machine's own byte order: reader and writer are on one machine.
 *
 * A sequence lock without fences, which ThreadSanitizer would not follow. Every word of the payload
 * is its own atomic:
 *
 *   writer  [EXPORT-BEGIN] the sequence becomes odd, relaxed; then each word, [EXPORT-WORD],
 *           release; then [EXPORT-END] the sequence becomes even, release
 *   reader  [EXPORT-LOAD] the sequence, acquire: even, else again; then each word, [EXPORT-WORD],
 *           acquire; then [EXPORT-CHECK] the sequence, relaxed: the same, else again
 *
 * A reader that meets a word of a later publication has, by that word's pair, the odd number behind
 * it, and its check finds another number than it began with. And by END and LOAD it misses
 * no word of the publication that it began with. The writer waits for no reader.
 */
#ifndef MEMORYBUCKET_INSIGHT_EXPORT_LAYOUT_H
#define MEMORYBUCKET_INSIGHT_EXPORT_LAYOUT_H

#include "insight/snapshot.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* "MBEXPORT", as a little-endian machine reads it. */
#define EXPORT_MAGIC UINT64_C(0x54524f505845424d)
enum { EXPORT_VERSION = 1, EXPORT_NAME_WORDS = 4, EXPORT_HEADER_WORDS = 64 };

/* The words of the header. Written before the magic and constant from then on, but for the last
 * four. */
enum export_header {
    EXPORT_AT_MAGIC,
    EXPORT_AT_VERSION,
    EXPORT_AT_HEADER_BYTES,
    EXPORT_AT_TOTAL_BYTES,
    EXPORT_AT_PROCESS,
    EXPORT_AT_START_TICKS,
    EXPORT_AT_NAME,
    EXPORT_AT_LIBRARY = EXPORT_AT_NAME + EXPORT_NAME_WORDS, /* its version, 1,000,000 a major */
    EXPORT_AT_TOTALS, /* where the table begins in words, and how many there are */
    EXPORT_AT_TOTALS_WORDS,
    EXPORT_AT_POOLS,
    EXPORT_AT_POOLS_WORDS,
    EXPORT_AT_POOLS_ROWS,
    EXPORT_AT_THREADS,
    EXPORT_AT_THREADS_WORDS,
    EXPORT_AT_THREADS_ROWS,
    EXPORT_AT_TRIM_ALLOWED,
    EXPORT_AT_SEQUENCE = 32, /* a line of its own, with: */
    EXPORT_AT_TRIMS_ASKED,   /* the reader adds 1 where a trim is allowed */
    EXPORT_AT_TRIMS_DONE,    /* and the writer makes this the same behind it */
    EXPORT_AT_TRIM_BYTES,    /* what the last one gave back */
};

enum {
    EXPORT_WORDS = EXPORT_HEADER_WORDS + sizeof(struct snapshot) / sizeof(uint64_t),
    EXPORT_BYTES = EXPORT_WORDS * sizeof(uint64_t),
};

/* relaxed [EXPORT-CONSTANT]: of the header; published by the magic, and the trims order nothing. */
static inline uint64_t export_header_word(const _Atomic uint64_t *file, enum export_header at)
{
    return atomic_load_explicit(&file[at], memory_order_relaxed); /* [EXPORT-CONSTANT] */
}

static inline void export_set_header_word(_Atomic uint64_t *file, enum export_header at,
                                          uint64_t value)
{
    atomic_store_explicit(&file[at], value, memory_order_relaxed); /* [EXPORT-CONSTANT] */
}

/* A reader that sees the magic sees the header. */
static inline void export_set_magic(_Atomic uint64_t *file)
{
    /* release [MAGIC-STORE]: pairs with [MAGIC-LOAD]. */
    atomic_store_explicit(&file[EXPORT_AT_MAGIC], EXPORT_MAGIC, memory_order_release);
}

static inline bool export_has_magic(const _Atomic uint64_t *file)
{
    /* acquire [MAGIC-LOAD]: pairs with [MAGIC-STORE]. */
    return atomic_load_explicit(&file[EXPORT_AT_MAGIC], memory_order_acquire) == EXPORT_MAGIC;
}

/* Around all that one publication writes; the writer has no other beside it. */
static inline void export_begin(_Atomic uint64_t *file)
{
    _Atomic uint64_t *sequence = &file[EXPORT_AT_SEQUENCE];
    /* relaxed [EXPORT-BEGIN]: each word that follows releases it. */
    uint64_t old = atomic_load_explicit(sequence, memory_order_relaxed);
    atomic_store_explicit(sequence, old | 1, memory_order_relaxed); /* [EXPORT-BEGIN] */
}

static inline void export_end(_Atomic uint64_t *file)
{
    _Atomic uint64_t *sequence = &file[EXPORT_AT_SEQUENCE];
    uint64_t odd = atomic_load_explicit(sequence, memory_order_relaxed); /* [EXPORT-BEGIN] */
    /* release [EXPORT-END]: pairs with [EXPORT-LOAD]. */
    atomic_store_explicit(sequence, odd + 1, memory_order_release);
}

static inline void export_store(_Atomic uint64_t *word, uint64_t value)
{
    /* release [EXPORT-WORD]: pairs with itself. */
    atomic_store_explicit(word, value, memory_order_release);
}

static inline uint64_t export_load(const _Atomic uint64_t *word)
{
    /* acquire [EXPORT-WORD]: pairs with itself. */
    return atomic_load_explicit(word, memory_order_acquire);
}

/* Even: a publication is there; 0: none yet. */
static inline uint64_t export_sequence(const _Atomic uint64_t *file)
{
    /* acquire [EXPORT-LOAD]: pairs with [EXPORT-END]. */
    return atomic_load_explicit(&file[EXPORT_AT_SEQUENCE], memory_order_acquire);
}

static inline bool export_is_still(const _Atomic uint64_t *file, uint64_t sequence)
{
    /* relaxed [EXPORT-CHECK]: the words' acquire loads stand before it. */
    return atomic_load_explicit(&file[EXPORT_AT_SEQUENCE], memory_order_relaxed) == sequence;
}

/*
 * What is wrong with a file of so many bytes, in words that follow its name; NULL: nothing.
 */
const char *mbi_export_flaw(const _Atomic uint64_t *file, size_t bytes);

/* Of a file without a flaw. */
void mbi_export_owner(const _Atomic uint64_t *file, struct snapshot_owner *owner);

/*
 * Reads the last publication of a file without a flaw; words that it does not have become 0. False
 * when there is none yet, or each of some tries met the writer.
 */
bool mbi_export_read(const _Atomic uint64_t *file, struct snapshot *out);

#endif
