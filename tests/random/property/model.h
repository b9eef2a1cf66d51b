/*
 * model: a table of live objects, and what the public contracts say about each of them.
 *
 * Needs only the public header and C11, because failing programs are printed with this text in
 * front of them: it is embedded as it is. One translation unit of a program includes it.
 *
 *   a live object   `usable` bytes that hold the pattern of its token, which no other object has
 *   a table         the objects of a thread (at once) or of all threads (one by one), by place
 *   shared          objects on their way from one thread to another
 *
 * Every function leaves errno at 0, so that the next call that fails has to set it.
 */
#ifndef MEMORYBUCKET_TESTS_PROPERTY_MODEL_H
#define MEMORYBUCKET_TESTS_PROPERTY_MODEL_H

#include <memorybucket/memorybucket.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLACES = 1024, SHARED_PLACES = 16, TABLES = 8, BATCH_MAX = 600 };
enum { ERRNO_MARK = 4242, HANDLER_FREES = 64 };

/* More than any system has: such requests must fail. */
#define IMPOSSIBLE_BYTES ((size_t)1 << 46)

#define EXPECT(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s: %s does not hold: ", __func__, #condition);                       \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct object {
    unsigned char *memory; /* NULL: none at this place */
    size_t size;           /* as asked for */
    size_t usable;
    uint64_t token;
    bool pooled; /* from a pool, not from the system allocator */
};

struct table {
    struct object at[PLACES];
    uint64_t tokens;
    bool used;      /* false: there is nothing in it */
    size_t moving;  /* the place that mb_realloc works on, plus 1; the handler leaves it alone */
    bool in_handler;
    void *batch[BATCH_MAX + 1]; /* one more: to see that nothing is written behind */
    void *batch_before[BATCH_MAX];
};

static struct table tables[TABLES];
static _Thread_local struct table *own = tables;
/* acq_rel [TEST]: whoever takes an object sees its record and its bytes. */
static _Atomic(struct object *) shared[SHARED_PLACES];

/* Threads run at once: the limit is then anybody's, and nobody can say which one was in force. */
static bool model_at_once;
static _Atomic bool limited; /* small requests may fail */
static size_t limit_bytes;
static uint64_t committed_max; /* what the limit allows, or what was committed before it */
static bool background;

static inline uint64_t pattern_word(uint64_t token, size_t index)
{
    return (token * 65536 + index + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static inline void object_fill(const struct object *object)
{
    for (size_t at = 0; at < object->usable; at += 8) {
        uint64_t word = pattern_word(object->token, at / 8);
        size_t left = object->usable - at;
        memcpy(object->memory + at, &word, left < 8 ? left : 8);
    }
}

static inline void object_check(const struct object *object, const unsigned char *memory,
                                size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 8) {
        uint64_t expected = pattern_word(object->token, at / 8);
        uint64_t found = expected;
        memcpy(&found, memory + at, bytes - at < 8 ? bytes - at : 8);
        EXPECT(found == expected, "byte %zu, or one of the next 7, of an object of %zu bytes",
               at, object->size);
    }
}

static inline void errno_kept(void)
{
    EXPECT(errno == ERRNO_MARK, "freeing changed errno to %d", errno);
    errno = 0;
}

/* Its bytes are given other values, so that a slot that is also somebody else's is found out. */
static inline unsigned char *object_end(struct object *object)
{
    unsigned char *memory = object->memory;
    if (memory != NULL) {
        object_check(object, memory, object->usable);
        memset(memory, 0xDD, object->usable);
    }
    object->memory = NULL;
    return memory;
}

static inline void object_free(struct object *object)
{
    unsigned char *memory = object_end(object);
    errno = ERRNO_MARK;
    mb_free(memory);
    errno_kept();
}

/* MB_POOL_MAX: the largest request that pools serve. The tests give it in bytes. */
static inline size_t pool_max(void)
{
    static _Atomic size_t known; /* threads that find it out at once find the same */
    size_t max = atomic_load_explicit(&known, memory_order_relaxed);
    if (max == 0) {
        const char *given = getenv("MB_POOL_MAX");
        max = given != NULL ? strtoul(given, NULL, 10) : MB_SMALL_MAX;
        atomic_store_explicit(&known, max, memory_order_relaxed);
    }
    return max;
}

static inline size_t alignment_promised(size_t size)
{
    size_t slot = size <= MB_SMALL_MAX ? (size + 7) / 8 * 8 : 16;
    slot = slot != 0 ? slot : 8;
    return slot % 16 == 0 ? 16 : 8;
}

/* Whether a failure was allowed to happen, and success was. */
static inline bool refused(const void *memory, size_t bytes, bool pooled)
{
    if (memory != NULL) {
        EXPECT(bytes < IMPOSSIBLE_BYTES, "%zu bytes cannot be had, and were", bytes);
        return false;
    }
    EXPECT(errno == ENOMEM, "a request of %zu bytes failed with errno %d", bytes, errno);
    /* relaxed [TEST]: set before the limit is, by whoever sets it. */
    bool may = bytes >= IMPOSSIBLE_BYTES
               || (pooled && atomic_load_explicit(&limited, memory_order_relaxed));
    EXPECT(may, "a request of %zu bytes failed without a reason", bytes);
    errno = 0;
    return true;
}

/* Puts a new object at a place; the one that was there is freed. */
static inline void object_keep(size_t place, void *memory, size_t size, size_t alignment,
                               bool pooled)
{
    struct object object = { .memory = memory, .size = size, .usable = mb_usable_size(memory),
                             .pooled = pooled };
    if (size == 0 && !pooled) {
        object.usable = 0; /* ThreadSanitizer's allocator says 1, and reports who uses it */
    }
    EXPECT((uintptr_t)memory % alignment == 0, "%p, of %zu bytes, is not aligned to %zu", memory,
           size, alignment);
    EXPECT(object.usable >= size, "%zu of %zu bytes may be used", object.usable, size);
    EXPECT(!pooled || (object.usable % 8 == 0 && object.usable - 1 < pool_max()),
           "a slot of %zu bytes for %zu", object.usable, size);
    own->used = true;
    object.token = ++own->tokens * TABLES + (uint64_t)(own - tables);
    object_fill(&object);
    struct object old = own->at[place];
    own->at[place] = object;
    if (old.memory != NULL) {
        object_free(&old);
    }
    errno = 0;
}

static inline void object_made(size_t place, void *memory, size_t size)
{
    bool pooled = size <= pool_max();
    if (!refused(memory, size, pooled)) {
        object_keep(place, memory, size, alignment_promised(size), pooled);
    }
}

static inline void object_zeroed(size_t place, void *memory, size_t count, size_t size)
{
    size_t bytes = size != 0 && count > SIZE_MAX / size ? SIZE_MAX : count * size;
    bool pooled = bytes <= pool_max();
    if (refused(memory, bytes, pooled)) {
        return;
    }
    for (size_t i = 0; i < bytes; i++) {
        EXPECT(((unsigned char *)memory)[i] == 0, "byte %zu of %zu of mb_calloc", i, bytes);
    }
    object_keep(place, memory, bytes, alignment_promised(bytes), pooled);
}

static inline void object_aligned(size_t place, void *memory, size_t alignment, size_t size)
{
    if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
        EXPECT(memory == NULL && errno == EINVAL, "alignment %zu gave %p, errno %d", alignment,
               memory, errno);
        errno = 0;
        return;
    }
    bool small = alignment <= 4096 && size <= pool_max();
    size_t rounded = (size + (size == 0) + alignment - 1) & ~(alignment - 1);
    bool pooled = small && rounded <= pool_max();
    if (!refused(memory, size, pooled)) {
        object_keep(place, memory, size, alignment, pooled);
    }
}

/* What mb_realloc gets. */
static inline void *object_at(size_t place)
{
    own->moving = place + 1;
    return own->at[place].memory;
}

static inline void object_resized(size_t place, void *memory, size_t size)
{
    struct object old = own->at[place];
    own->moving = 0;
    if (old.memory == NULL) {
        object_made(place, memory, size);
        return;
    }
    if (refused(memory, size, size <= pool_max())) {
        object_check(&old, old.memory, old.usable);
        return;
    }
    bool stayed = memory == old.memory;
    object_check(&old, memory, size < old.size ? size : old.size);
    own->at[place].memory = NULL;
    /* It may only stay in a slot of less alignment where there is no memory for another. */
    object_keep(place, memory, size, stayed && limited ? 8 : alignment_promised(size),
                stayed ? old.pooled : size <= pool_max());
}

/* What mb_free gets; errno_kept follows it. */
static inline void *object_taken(size_t place)
{
    void *memory = object_end(&own->at[place]);
    errno = ERRNO_MARK;
    return memory;
}

/* What mb_alloc_batch is to fill. */
static inline void **batch_room(size_t count)
{
    own->batch[count] = own;
    return own->batch;
}

static inline void batch_made(size_t first, size_t count, size_t had, size_t size)
{
    bool pooled = size <= pool_max();
    int error = errno;
    EXPECT(had <= count && own->batch[count] == own, "%zu of %zu objects", had, count);
    if (had < count) {
        errno = error;
        (void)refused(NULL, size, pooled);
    }
    for (size_t i = 0; i < had; i++) {
        EXPECT(own->batch[i] != NULL, "object %zu of a batch of %zu", i, had);
        (void)refused(own->batch[i], size, pooled);
        object_keep(first + i, own->batch[i], size, alignment_promised(size), pooled);
    }
}

/* What mb_free_batch gets, with NULLs where there is no object. */
static inline void **batch_taken(size_t first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        own->batch[i] = object_end(&own->at[first + i]);
    }
    memcpy(own->batch_before, own->batch, count * sizeof own->batch[0]);
    errno = ERRNO_MARK;
    return own->batch;
}

static inline void batch_freed(size_t count)
{
    errno_kept();
    EXPECT(memcmp(own->batch_before, own->batch, count * sizeof own->batch[0]) == 0,
           "mb_free_batch wrote to its array of %zu", count);
}

/* What this thread has at a place goes to another, and what was there comes. */
static inline void object_share(size_t place, size_t with)
{
    struct object *record = NULL;
    own->used = true;
    if (own->at[place].memory != NULL) {
        record = malloc(sizeof *record);
        EXPECT(record != NULL, "no memory for the model");
        *record = own->at[place];
    }
    record = atomic_exchange_explicit(&shared[with], record, memory_order_acq_rel); /* [TEST] */
    own->at[place] = record != NULL ? *record : (struct object){ .memory = NULL };
    free(record);
    errno = 0;
}

/* Handlers for mb_out_of_memory_handler_set; both get `tables` as their argument. */
static inline int handler_refuses(size_t size, void *argument)
{
    EXPECT(size % 8 == 0 && size - 1 < pool_max(), "a slot of %zu bytes", size);
    EXPECT(argument == tables && !own->in_handler, "argument %p", argument);
    own->in_handler = true;
    mb_free(mb_alloc(size)); /* must not end up here again */
    own->in_handler = false;
    return 0;
}

/* Frees what the calling thread has, some objects at a time. */
static inline int handler_frees(size_t size, void *argument)
{
    int freed = 0;
    (void)handler_refuses(size, argument);
    for (size_t place = PLACES; place-- > 0 && freed < HANDLER_FREES;) {
        if (own->at[place].memory != NULL && place + 1 != own->moving) {
            object_free(&own->at[place]);
            freed++;
        }
    }
    return freed;
}

static inline void limit_set(size_t bytes)
{
    static struct mb_stats stats; /* used one by one only */
    if (bytes != 0) {
        atomic_store_explicit(&limited, true, memory_order_relaxed); /* [TEST] as in refused */
    }
    size_t before = mb_memory_limit_set(bytes);
    if (model_at_once) {
        return;
    }
    EXPECT(before == limit_bytes, "the limit was %zu, the library says %zu", limit_bytes, before);
    EXPECT(mb_stats_get(&stats, sizeof stats) == 0, "no statistics");
    limit_bytes = bytes;
    committed_max = stats.committed_bytes > bytes ? stats.committed_bytes : bytes;
    atomic_store_explicit(&limited, bytes != 0, memory_order_relaxed); /* [TEST] */
    errno = 0;
}

static inline void background_start(void)
{
    const char *decay = getenv("MB_DECAY_MS");
    int error = mb_background_start();
    EXPECT(error == (decay != NULL && strcmp(decay, "-1") == 0 ? -EINVAL : 0), "error %d", error);
    if (!model_at_once) {
        background = error == 0;
    }
    errno = 0;
}

static inline void background_stop(void)
{
    mb_background_stop();
    if (!model_at_once) {
        background = false;
    }
    errno = 0;
}

#endif
