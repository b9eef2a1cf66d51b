/*
 * object: what the soak test's threads allocate: each object carries a pattern of its own, and
 * each thread counts what it allocates and frees.
 *
 * The pattern comes from a random stamp, not from the address: a slot that is handed out twice, or
 * whose page was given back while it was live, no longer holds what its owner wrote.
 *
 *   live objects of a class = sum over the actors of (allocated - freed)
 */
#ifndef MEMORYBUCKET_TESTS_SOAK_OBJECT_H
#define MEMORYBUCKET_TESTS_SOAK_OBJECT_H

#include "testing.h"

#include "core/region.h"

struct object {
    unsigned char *memory; /* NULL: no object */
    uint32_t size;
    uint32_t stamp; /* not 0 */
};

/* Each counter has one writer, the actor; the recorder reads them at any time. */
struct tally {
    _Alignas(ISOLATION_BYTES) _Atomic uint64_t allocated[SIZE_CLASS_COUNT];
    _Atomic uint64_t freed[SIZE_CLASS_COUNT];
    _Atomic uint64_t large; /* objects of the system allocator, ever */
    _Atomic uint64_t refused;
};

/* One thread's part: its numbers. */
struct actor {
    struct tally *tally;
    uint64_t random;
};

/* Set as long as a memory limit may make requests fail. */
extern _Atomic bool soak_refusals_allowed;

/* MB_POOL_MAX; set before there is any thread. */
extern size_t soak_border;

static inline bool one_in(struct actor *actor, uint64_t count)
{
    return random_below(&actor->random, count) == 0;
}

static inline size_t size_between(struct actor *actor, size_t low, size_t high)
{
    return low + random_below(&actor->random, high - low + 1);
}

/*
 * A size of a phase. Where the border was moved one of eight is up to 64 times as large, as long as
 * pools serve it.
 */
static inline size_t size_of_phase(struct actor *actor, size_t low, size_t high)
{
    size_t size = size_between(actor, low, high);
    if (soak_border > MB_SMALL_MAX && one_in(actor, 8)) {
        size = size_min(size << (1 + random_below(&actor->random, 6)), soak_border);
    }
    return size;
}

static inline uint64_t pattern_word(uint32_t stamp, size_t index)
{
    return ((uint64_t)stamp + index) * UINT64_C(0x9e3779b97f4a7c15);
}

static inline void object_fill(const struct object *object)
{
    for (size_t at = 0; at < object->size; at += 8) {
        uint64_t word = pattern_word(object->stamp, at / 8);
        size_t left = object->size - at;
        memcpy(object->memory + at, &word, left < 8 ? left : 8);
    }
}

/* The first `bytes` of the object are as they were filled. */
static inline void object_check_start(const struct object *object, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 8) {
        uint64_t expected = pattern_word(object->stamp, at / 8);
        uint64_t seen = expected;
        size_t left = bytes - at;
        memcpy(&seen, object->memory + at, left < 8 ? left : 8);
        CHECK(seen == expected, "live object %p of %u bytes: at byte %zu %016llx, was %016llx%s",
              (void *)object->memory, object->size, at, (unsigned long long)seen,
              (unsigned long long)expected,
              seen == 0 ? " (given back while live?)" : " (handed out twice?)");
    }
}

static inline void object_check(const struct object *object)
{
    object_check_start(object, object->size);
}

static inline void count_allocated(struct actor *actor, const void *memory)
{
    size_t class = region_class_of(memory);
    struct tally *tally = actor->tally;
    counter_add(class < SIZE_CLASS_COUNT ? &tally->allocated[class] : &tally->large, 1);
}

static inline void count_freed(struct actor *actor, size_t class)
{
    if (class < SIZE_CLASS_COUNT) {
        counter_add(&actor->tally->freed[class], 1);
    }
}

static inline void count_refused(struct actor *actor, size_t size)
{
    CHECK(atomic_load_explicit(&soak_refusals_allowed, memory_order_relaxed), /* [TEST] */
          "no memory for %zu bytes, and there is no limit", size);
    counter_add(&actor->tally->refused, 1);
}

static inline void object_begin(struct actor *actor, void *memory, size_t size,
                                struct object *object)
{
    object->memory = memory;
    object->size = (uint32_t)size;
    object->stamp = (uint32_t)random_next(&actor->random) | 1;
    count_allocated(actor, memory);
    object_fill(object);
}

/* By one call or another; false when it was refused. */
static inline bool object_make(struct actor *actor, size_t size, struct object *object)
{
    unsigned char *memory;
    uint64_t way = random_below(&actor->random, 32);
    size_t alignment = (size_t)8 << random_below(&actor->random, 6);
    object->memory = NULL;
    if (way < 2) {
        memory = mb_calloc(1, size);
        for (size_t i = 0; memory != NULL && i < size; i++) {
            CHECK(memory[i] == 0, "calloc of %zu bytes: byte %zu at %p is %02x", size, i,
                  (void *)memory, memory[i]);
        }
    } else if (way < 4) {
        memory = mb_aligned_alloc(alignment, size);
        CHECK((uintptr_t)memory % alignment == 0, "%p is not aligned to %zu", (void *)memory,
              alignment);
    } else {
        memory = mb_alloc(size);
    }
    if (memory == NULL) {
        count_refused(actor, size);
        return false;
    }
    object_begin(actor, memory, size, object);
    return true;
}

/* Nothing happens without an object. */
static inline void object_drop(struct actor *actor, struct object *object)
{
    if (object->memory == NULL) {
        return;
    }
    object_check(object);
    count_freed(actor, region_class_of(object->memory));
    if (object->stamp & 2) {
        mb_free(object->memory);
    } else {
        mb_free_sized(object->memory, object->size);
    }
    object->memory = NULL;
}

static inline void object_resize(struct actor *actor, struct object *object, size_t size)
{
    if (object->memory == NULL) {
        return;
    }
    object_check(object);
    size_t class = region_class_of(object->memory);
    void *memory = mb_realloc(object->memory, size);
    if (memory == NULL) {
        object_check(object);
        count_refused(actor, size);
        return;
    }
    count_freed(actor, class);
    object->memory = memory;
    object_check_start(object, size < object->size ? size : object->size);
    object_begin(actor, memory, size, object);
}

enum { BATCH_MAX = 64 };

/* How many could be had. */
static inline size_t object_make_batch(struct actor *actor, size_t size, size_t count,
                                       struct object *objects)
{
    void *memory[BATCH_MAX];
    size_t made = mb_alloc_batch(size, count, memory);
    for (size_t i = 0; i < made; i++) {
        object_begin(actor, memory[i], size, &objects[i]);
    }
    if (made < count) {
        count_refused(actor, size);
    }
    return made;
}

static inline void object_drop_batch(struct actor *actor, size_t count, struct object *objects)
{
    void *memory[BATCH_MAX];
    for (size_t i = 0; i < count; i++) {
        memory[i] = objects[i].memory;
        if (memory[i] != NULL) {
            object_check(&objects[i]);
            count_freed(actor, region_class_of(memory[i]));
            objects[i].memory = NULL;
        }
    }
    mb_free_batch(count, memory);
}

#endif
