/*
 * owners: no slot is ever owned twice.
 *
 * Every live object carries its owner and a pattern made of its serial number. If two threads
 * ever hold the same slot, one overwrites the other's pattern, and the check at its end finds
 * out. Objects of 1 to 600 bytes, or of 1 to 20,000 where pools serve these, from every call of the
 * API are freed by other threads as often as by their own.
 */
#include "border.h"
#include "testing.h"

enum { THREADS = 8, EXCHANGE_PLACES = 512, OWN_PLACES = 256, BATCH = 40 };
enum { SIZE_MAX_SMALL = 600, SIZE_MAX_UPPER = 20000 };
enum { OPERATIONS = TEST_IS_SANITIZED ? 40000 : 300000, FEWER = OPERATIONS / 2 };

/* Of each thread, or as many as the program is told. */
static uint64_t operations;
static size_t bytes_max;

struct object {
    unsigned char *memory;
    size_t size;
    unsigned owner;
    uint64_t serial;
};

static _Atomic(struct object *) exchange[EXCHANGE_PLACES];

static unsigned char pattern_byte(const struct object *object, size_t at)
{
    return (unsigned char)(object->owner * 31 + object->serial * 7 + at * 13 + 1);
}

static void object_stamp(struct object *object)
{
    for (size_t i = 0; i < object->size; i++) {
        object->memory[i] = pattern_byte(object, i);
    }
}

static void object_check(const struct object *object, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        CHECK(object->memory[i] == pattern_byte(object, i),
              "byte %zu of an object of thread %u, serial %llu, was overwritten", i, object->owner,
              (unsigned long long)object->serial);
    }
}

/* As often below 513 bytes as above. */
static size_t random_size(uint64_t *random)
{
    bool any = random_below(random, 2) == 0 || bytes_max == SIZE_MAX_SMALL;
    return 1 + random_below(random, any ? bytes_max : MB_SMALL_MAX);
}

static void *allocate_somehow(uint64_t *random, size_t size)
{
    switch (random_below(random, 4)) {
    case 0: {
        unsigned char *memory = mb_calloc(1, size);
        CHECK(memory != NULL, "no memory");
        for (size_t i = 0; i < size; i++) {
            CHECK(memory[i] == 0, "mb_calloc: byte %zu of %zu is not zero", i, size);
        }
        return memory;
    }
    case 1: {
        size_t alignment = (size_t)1 << random_below(random, bytes_max > 4096 ? 13 : 10);
        void *memory = mb_aligned_alloc(alignment, size);
        CHECK((uintptr_t)memory % alignment == 0, "%p is not aligned to %zu", memory, alignment);
        return memory;
    }
    default:
        return mb_alloc(size);
    }
}

static struct object *object_make(uint64_t *random, unsigned owner, uint64_t serial)
{
    struct object *object = malloc(sizeof *object);
    CHECK(object != NULL, "no memory");
    *object = (struct object){ .size = random_size(random), .owner = owner,
                               .serial = serial };
    object->memory = allocate_somehow(random, object->size);
    CHECK(object->memory != NULL, "no memory");
    object_stamp(object);
    if (random_below(random, 8) == 0) {
        size_t old_size = object->size;
        size_t new_size = random_size(random);
        object->memory = mb_realloc(object->memory, new_size);
        CHECK(object->memory != NULL, "no memory");
        object_check(object, old_size < new_size ? old_size : new_size);
        object->size = new_size;
        object_stamp(object);
    }
    return object;
}

static void object_end(uint64_t *random, struct object *object)
{
    object_check(object, object->size);
    memset(object->memory, 0xDD, object->size);
    if (random_below(random, 2) == 0) {
        mb_free(object->memory);
    } else {
        mb_free_sized(object->memory, object->size);
    }
    free(object);
}

static void batch_turn(uint64_t *random, unsigned owner)
{
    unsigned char *objects[BATCH];
    size_t size = bytes_max == SIZE_MAX_SMALL ? 8 + random_below(random, 505) : random_size(random);
    size_t count = mb_alloc_batch(size, BATCH, (void **)objects);
    CHECK(count == BATCH, "%zu of %d objects", count, BATCH);
    for (size_t i = 0; i < count; i++) {
        memset(objects[i], (int)(owner + i), size);
    }
    for (size_t i = 0; i < count; i++) {
        CHECK(objects[i][0] == (unsigned char)(owner + i) && objects[i][size - 1] == objects[i][0],
              "object %zu of a batch was overwritten", i);
    }
    mb_free_batch(count, (void **)objects);
}

static void *run(void *argument)
{
    unsigned owner = (unsigned)(uintptr_t)argument;
    uint64_t random = owner * UINT64_C(0x9E3779B97F4A7C15);
    struct object *own[OWN_PLACES] = { NULL };

    for (uint64_t serial = 0; serial < operations; serial++) {
        struct object *object = object_make(&random, owner, serial);
        if (random_below(&random, 2) == 0) {
            struct object **place = &own[random_below(&random, OWN_PLACES)];
            struct object *old = *place;
            *place = object;
            /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it loses sight of what lies in own[]. */
            object = old;
        } else {
            /* acq_rel [TEST]: whoever takes the object sees its stamp. */
            object = atomic_exchange_explicit(&exchange[random_below(&random, EXCHANGE_PLACES)],
                                              object, memory_order_acq_rel);
        }
        if (object != NULL) {
            object_end(&random, object);
        }
        if (random_below(&random, 512) == 0) {
            batch_turn(&random, owner);
        }
        if (random_below(&random, 20000) == 0) {
            mb_thread_flush();
        }
    }
    for (size_t i = 0; i < OWN_PLACES; i++) {
        if (own[i] != NULL) {
            object_end(&random, own[i]);
        }
    }
    return NULL;
}

int main(int count, char **words)
{
    operations = count > 1 ? strtoull(words[1], NULL, 10) : test_times(OPERATIONS, FEWER);
    bytes_max = small_or_upper(SIZE_MAX_SMALL, SIZE_MAX_UPPER);
    pthread_t threads[THREADS];
    uint64_t random = 42;
    for (uintptr_t i = 0; i < THREADS; i++) {
        threads[i] = start_thread(run, (void *)(i + 1));
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (size_t i = 0; i < EXCHANGE_PLACES; i++) {
        if (exchange[i] != NULL) {
            object_end(&random, exchange[i]);
        }
    }
    const struct mb_stats *stats = check_accounting(0);
    CHECK(stats->large_allocs == stats->large_frees, "large: %llu allocated, %llu freed",
          (unsigned long long)stats->large_allocs, (unsigned long long)stats->large_frees);
    return 0;
}
