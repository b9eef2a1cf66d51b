/*
 * rounds: how many slots a magazine holds, and what a thread may cache with such magazines.
 *
 * Ladder: above size_class; pure arithmetic. Callers: config, and what tells the consequences of an
 * option without the library (mbreplay --advise).
 */
#ifndef MEMORYBUCKET_CORE_ROUNDS_H
#define MEMORYBUCKET_CORE_ROUNDS_H

#include "core/size_class.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

enum {
    /* Magazines hold multiples of 8 slots, which are whole cache lines, whatever the class: 8 slots
     * of 8k bytes are 64k bytes. So are fresh runs, and no line is split between two threads. */
    MAGAZINE_ROUNDS_STEP = 8,
    MAGAZINE_ROUNDS_MIN = 8,
    MAGAZINE_ROUNDS_MAX = 4096,
    /* A magazine of large slots begins with fewer than the above. A batch has a second slot. */
    BATCH_ROUNDS_MIN = 2,
    /* Of larger slots so few fit a magazine that a lone thread's may hold two batches. */
    TWO_BATCHES_SLOT_BYTES = 2 << 10,
};
_Static_assert(2 * MAGAZINE_ROUNDS_MAX <= CHAIN_ROUNDS_MAX, "a chain's word holds its rounds");
_Static_assert(MAGAZINE_ROUNDS_STEP * SIZE_STEP_BYTES % LINE_BYTES == 0, "runs end on a line");

/* Two of the smallest magazines of every small class: 16 * (8 + 16 + ... + 512) bytes. */
#define THREAD_CACHE_BYTES_MIN \
    ((size_t)MAGAZINE_ROUNDS_MIN * SIZE_STEP_BYTES * SMALL_CLASS_COUNT * (SMALL_CLASS_COUNT + 1))

/* The default of MB_THREAD_CACHE_MAX, and how many times as much where upper pools are used. */
#define THREAD_CACHE_BYTES_STANDARD (4 * MIB)
enum { THREAD_CACHE_UPPER_FACTOR = 2 };

/* What one thread may cache. */
struct cache_bounds {
    size_t thread_bytes; /* all together */
    size_t extra_bytes;  /* less pairs of small magazines, and less the next */
    size_t upper_bytes;  /* the share of all upper classes' magazines */
};

/* The default. Slots of more than 1,024 bytes are whole cache lines, however few. */
static inline uint16_t rounds_standard(size_t class)
{
    enum { SMALL_ROUNDS_MAX = 256, UPPER_ROUNDS_MIN = 4, UPPER_ROUNDS_MAX = 32 };
    bool upper = class >= SMALL_CLASS_COUNT;
    size_t rounds = (upper ? 64 * KIB : 16 * KIB) / size_class_slot_bytes(class);
    if (class < LINEAR_CLASS_COUNT) {
        rounds = round_down(rounds, MAGAZINE_ROUNDS_STEP);
    }
    rounds = size_max(rounds, UPPER_ROUNDS_MIN);
    return (uint16_t)size_min(rounds, upper ? UPPER_ROUNDS_MAX : SMALL_ROUNDS_MAX);
}

/* Bytes of two full magazines of every small class, the pair that gives hysteresis. */
static inline size_t rounds_pair_bytes(const uint16_t rounds_of_class[])
{
    size_t bytes = 0;
    for (size_t class = 0; class < SMALL_CLASS_COUNT; class++) {
        bytes += size_class_slot_bytes(class) * 2 * rounds_of_class[class];
    }
    return bytes;
}

/* Makes the magazines small enough for two of each to fit the thread cache's bound. */
static inline void rounds_shrink_to(uint16_t rounds_of_class[], size_t bytes_max)
{
    while (rounds_pair_bytes(rounds_of_class) > bytes_max) {
        for (size_t class = 0; class < SMALL_CLASS_COUNT; class++) {
            uint16_t *rounds = &rounds_of_class[class];
            *rounds = (uint16_t)round_up(*rounds / 2u, MAGAZINE_ROUNDS_STEP);
        }
    }
}

/* By MB_THREAD_CACHE_MAX, 0: none was given; may make magazines smaller. */
static inline struct cache_bounds rounds_settle(uint16_t rounds_of_class[], size_t given_bytes,
                                                size_t pool_bytes_max)
{
    bool has_upper = pool_bytes_max > SMALL_BYTES_MAX;
    struct cache_bounds bounds = { .thread_bytes = given_bytes };
    if (given_bytes != 0) {
        rounds_shrink_to(rounds_of_class, given_bytes);
    } else { /* where larger magazines were asked for: room for four of each */
        bounds.thread_bytes =
            size_max(THREAD_CACHE_BYTES_STANDARD, 2 * rounds_pair_bytes(rounds_of_class))
            * (has_upper ? THREAD_CACHE_UPPER_FACTOR : 1);
    }
    bounds.extra_bytes = bounds.thread_bytes - rounds_pair_bytes(rounds_of_class);
    if (has_upper) {
        bounds.upper_bytes = bounds.extra_bytes / 3 * 2;
        bounds.extra_bytes -= bounds.upper_bytes;
    }
    return bounds;
}

#endif
