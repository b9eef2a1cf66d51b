/*
 * live_set: a thread's live objects, of which random ones are replaced. Shared by random, handover,
 * server, oversubscribed and latency.
 *
 *   made - unmade = sum of what the live objects hold
 */
#ifndef MEMORYBUCKET_BENCH_LIVE_SET_H
#define MEMORYBUCKET_BENCH_LIVE_SET_H

#include "geometric.h"
#include "harness.h"
#include "log_uniform.h"

enum { LIVE_SIZE_MIN = 8, LIVE_SIZE_SMALL_MAX = 512 };
/* Of random sizes up to 512. */
enum { LIVE_SIZE_SMALL_MEAN = (LIVE_SIZE_MIN + LIVE_SIZE_SMALL_MAX) / 2 };

/*
 * How sizes are drawn: each from 8 to size_max alike (PAGES: which may be more than a page), as
 * programs ask for them (geometric.h), or from 8 to 16,384 with as many in each doubling
 * (log_uniform.h).
 */
enum live_sizes { LIVE_UNIFORM, LIVE_UNIFORM_PAGES, LIVE_GEOMETRIC, LIVE_LOG_UNIFORM };

/* Two threads' sets share no line. */
struct live_set {
    _Alignas(128) void **objects;
    unsigned count;
    unsigned size_max;
    uint64_t random;
    uint64_t made;   /* the sum of all values written */
    uint64_t unmade; /* the sum of all values read */
};

/* The size that goes with a random number, which is also what the object will hold. */
static inline size_t live_set_size(const struct live_set *set, uint64_t random)
{
    return LIVE_SIZE_MIN + (size_t)((random >> 32) * (set->size_max - LIVE_SIZE_MIN + 1) >> 32);
}

/* `sizes` is a constant where these are called, and so costs nothing. */
static inline __attribute__((always_inline)) size_t live_set_size_by(const struct live_set *set,
                                                                     uint64_t random,
                                                                     enum live_sizes sizes)
{
    switch (sizes) {
    case LIVE_GEOMETRIC:
        return geometric_size(random);
    case LIVE_LOG_UNIFORM:
        return log_uniform_size(random, LOG_UNIFORM_TO_16K);
    default:
        return live_set_size(set, random);
    }
}

static inline __attribute__((always_inline)) void *live_set_make_by(struct live_set *set,
                                                                    enum live_sizes sizes)
{
    uint64_t random = bench_random(&set->random);
    set->made += random;
    const size_t size = live_set_size_by(set, random, sizes);
    return sizes == LIVE_UNIFORM_PAGES || sizes == LIVE_LOG_UNIFORM ? bench_make_pages(size, random)
                                                                    : bench_make(size, random);
}

/* The place of a random live object. */
static inline void **live_set_random(struct live_set *set)
{
    return &set->objects[bench_random_below(&set->random, set->count)];
}

static inline __attribute__((always_inline)) void live_set_replace_by(struct live_set *set,
                                                                      enum live_sizes sizes)
{
    void **object = live_set_random(set);
    set->unmade += bench_unmake(*object);
    *object = live_set_make_by(set, sizes);
}

static inline __attribute__((always_inline)) void *live_set_make(struct live_set *set)
{
    return live_set_make_by(set, LIVE_UNIFORM);
}

static inline __attribute__((always_inline)) void live_set_replace(struct live_set *set)
{
    live_set_replace_by(set, LIVE_UNIFORM);
}

static inline void live_set_fill_by(struct live_set *set, void **objects, unsigned count,
                                    unsigned size_max, unsigned seed, enum live_sizes sizes)
{
    *set = (struct live_set){
        .objects = objects, .count = count, .size_max = size_max, .random = bench_seed(seed)
    };
    for (unsigned i = 0; i < count; i++) {
        objects[i] = live_set_make_by(set, sizes);
    }
}

static inline void live_set_fill(struct live_set *set, void **objects, unsigned count,
                                 unsigned size_max, unsigned seed)
{
    live_set_fill_by(set, objects, count, size_max, seed, LIVE_UNIFORM);
}

static inline void live_set_clear(struct live_set *set)
{
    for (unsigned i = 0; i < set->count; i++) {
        set->unmade += bench_unmake(set->objects[i]);
    }
}

#endif
