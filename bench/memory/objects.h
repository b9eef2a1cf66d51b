/*
 * objects: those of memory_peak, memory_decay and memory_burst: all written, recorded outside
 * the allocator, freed in the order of their allocation or in a random one. A size is a number of
 * bytes, or one of enum mixed_size.
 *
 *   made - unmade = sum of the first words of the live objects
 */
#ifndef MEMORYBUCKET_BENCH_MEMORY_OBJECTS_H
#define MEMORYBUCKET_BENCH_MEMORY_OBJECTS_H

#include "live_set.h"
#include "resident.h"

#include <string.h>

/* 8 to 512 bytes, all alike; 8 to 32,768, as many in each doubling (log_uniform.h). */
enum mixed_size { MIXED_SMALL = 0, MIXED_TO_32K = 1 };

struct memory_objects {
    void **object; /* resident_own_map */
    uint64_t count;
    uint64_t bytes;    /* asked for */
    unsigned position_bits; /* positions of the random order: 2^bits >= count */
    uint64_t made;
    uint64_t unmade;
};

static inline struct memory_objects memory_objects_record_count(uint64_t count)
{
    struct memory_objects objects = { .count = count };
    while ((UINT64_C(1) << objects.position_bits) < objects.count) {
        objects.position_bits++;
    }
    objects.object = resident_own_map(objects.count * sizeof *objects.object);
    return objects;
}

/* As many objects as come to `bytes`. */
static inline struct memory_objects memory_objects_record(uint64_t bytes, size_t size)
{
    const size_t mean = size == MIXED_SMALL    ? LIVE_SIZE_SMALL_MEAN
                        : size == MIXED_TO_32K ? log_uniform_mean(LOG_UNIFORM_TO_32K)
                                               : size;
    return memory_objects_record_count(bytes / mean);
}

/* The size of the object that goes with a random number. */
static inline size_t memory_objects_size(size_t size, uint64_t random)
{
    const struct live_set small = { .size_max = LIVE_SIZE_SMALL_MAX };
    return size == MIXED_SMALL    ? live_set_size(&small, random)
           : size == MIXED_TO_32K ? log_uniform_size(random, LOG_UNIFORM_TO_32K)
                                  : size;
}

static inline void memory_objects_make(struct memory_objects *objects, size_t size)
{
    uint64_t random = bench_seed(0);
    for (uint64_t i = 0; i < objects->count; i++) {
        uint64_t value = bench_random(&random);
        size_t bytes = memory_objects_size(size, value);
        unsigned char *object = bench_make(bytes, value);
        memset(object + sizeof value, (int)(value & 0xFF), bytes - sizeof value);
        objects->object[i] = object;
        objects->bytes += bytes;
        objects->made += value;
    }
}

/*
 * Maps each of the 2^bits positions to another one. Each step can be undone, so no position comes
 * twice. Shuffling an array would take longer than the frees.
 */
static inline uint64_t memory_objects_position(const struct memory_objects *objects, uint64_t i)
{
    const unsigned half = (objects->position_bits + 1) / 2;
    const uint64_t mask = (UINT64_C(1) << objects->position_bits) - 1;
    for (unsigned turn = 0; turn < 3; turn++) {
        i = (i * 0x9E3779B97F4A7C15U + 0x5851F42D4C957F2DU) & mask;
        i ^= i >> half;
    }
    return i;
}

static inline void memory_objects_free(struct memory_objects *objects, uint64_t position)
{
    objects->unmade += bench_unmake(objects->object[position]);
}

/* Frees `count` objects in the random order, from its place `from` on; returns the next place. */
static inline uint64_t memory_objects_free_random(struct memory_objects *objects, uint64_t from,
                                                  uint64_t count)
{
    uint64_t i = from;
    while (count != 0) {
        uint64_t position = memory_objects_position(objects, i++);
        if (position < objects->count) {
            memory_objects_free(objects, position);
            count--;
        }
    }
    return i;
}

static inline void memory_objects_forget(struct memory_objects *objects)
{
    resident_own_unmap(objects->object, objects->count * sizeof *objects->object);
}

#endif
