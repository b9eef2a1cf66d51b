/* objects: each call between a note of the faults before it and a look at what came of it. */
#include "objects.h"

#include "plan.h"
#include "testing.h"
#include "wrapped.h"

#include "check/guarded.h"
#include "core/config.h"
#include "core/limit.h"
#include "core/region.h"

#include <errno.h>

/* No function sets errno to this. */
enum { ERRNO_BEFORE = 4711, BATCH_MAX = 512 };

/* Thread caches are mapped so many at a time (tcache/vacant.c), but for the first one. */
enum { CACHES_PER_MAPPING = 16, CACHES_NOT_MAPPED = 1 };

/* The pattern is in the first and the last bytes of an object. */
enum { PATTERN_BYTES = 600 };

/* relaxed [TEST]: counts, compared when no other thread is at work. */
static _Atomic int64_t pooled;
static _Atomic int64_t foreign;

/* Set while the main thread is the only one that allocates. */
static bool limited;

void objects_set_limited(bool now_limited)
{
    limited = now_limited;
}

static void count_object(const void *pointer, int64_t change)
{
    bool ours = region_class_of(pointer) < SIZE_CLASS_COUNT;
    if (!mbi_guarded_holds(pointer)) {
        atomic_fetch_add_explicit(ours ? &pooled : &foreign, change,
                                  memory_order_relaxed); /* [TEST] */
    }
}

static unsigned char pattern(const struct test_object *object, size_t offset)
{
    return (unsigned char)(object->size * 31 + offset * 7 + 1);
}

static bool has_pattern(const struct test_object *object, size_t offset)
{
    return offset < PATTERN_BYTES || object->size - offset <= PATTERN_BYTES;
}

static void write_pattern(struct test_object *object)
{
    for (size_t offset = 0; offset < object->size; offset++) {
        if (has_pattern(object, offset)) {
            object->pointer[offset] = pattern(object, offset);
        }
    }
}

/* The first `bytes` of an object, which may be in a new place. */
static void check_pattern(const struct test_object *object, const unsigned char *place,
                          size_t bytes)
{
    for (size_t offset = 0; offset < bytes; offset++) {
        CHECK(!has_pattern(object, offset) || place[offset] == pattern(object, offset),
              "byte %zu of an object of %zu bytes has changed", offset, object->size);
    }
}

void object_check(const struct test_object *object)
{
    if (object->pointer != NULL) {
        check_pattern(object, object->pointer, object->size);
    }
}

/* Failures that are a reason to refuse a request: the ledger of checked mode is mapped memory. */
static uint64_t reasons(void)
{
    uint64_t count = fault_system_failed_here();
    return mbi_config.check != 0 ? count + fault_failed_here(FAULT_mmap) : count;
}

/* What there was before a call. */
static uint64_t begin_call(void)
{
    errno = ERRNO_BEFORE;
    return reasons();
}

static void check_refusal(const char *call, size_t size, uint64_t failed_before)
{
    CHECK(errno == ENOMEM, "%s, %zu bytes: NULL, and errno is %d", call, size, errno);
    CHECK(limited || reasons() > failed_before,
          "%s, %zu bytes: NULL, though the system allocator did not fail", call, size);
}

static size_t alignment_for(size_t size)
{
    return (size_t)1 << size % 11;
}

static void *call_maker(enum object_how how, size_t size)
{
    switch (how) {
    case OBJECT_CALLOC:
        return mb_calloc(size % 2 == 0 ? 2 : 1, size % 2 == 0 ? size / 2 : size);
    case OBJECT_REALLOC:
        return mb_realloc(NULL, size);
    case OBJECT_ALIGNED:
        return mb_aligned_alloc(alignment_for(size), size);
    default:
        return mb_alloc(size);
    }
}

bool object_make(struct test_object *object, enum object_how how, size_t size)
{
    static const char *const names[] = { "mb_alloc", "mb_calloc", "mb_realloc(NULL)",
                                         "mb_aligned_alloc" };
    uint64_t failed_before = begin_call();
    unsigned char *pointer = call_maker(how, size);
    *object = (struct test_object){ .pointer = pointer, .size = size };
    if (pointer == NULL) {
        check_refusal(names[how], size, failed_before);
        return false;
    }
    CHECK(mb_usable_size(pointer) >= size, "%s: %zu bytes for %zu", names[how],
          mb_usable_size(pointer), size);
    size_t alignment = how == OBJECT_ALIGNED ? alignment_for(size) : size <= MB_SMALL_MAX ? 8 : 16;
    CHECK((uintptr_t)pointer % alignment == 0, "%s: %p for %zu bytes", names[how], (void *)pointer,
          size);
    for (size_t offset = 0; how == OBJECT_CALLOC && offset < size; offset++) {
        CHECK(pointer[offset] == 0, "mb_calloc: byte %zu of %zu is not 0", offset, size);
    }
    count_object(pointer, 1);
    write_pattern(object);
    return true;
}

void object_resize(struct test_object *object, size_t size)
{
    if (object->pointer == NULL) {
        return;
    }
    uint64_t failed_before = begin_call();
    unsigned char *pointer = mb_realloc(object->pointer, size);
    if (pointer == NULL) {
        check_refusal("mb_realloc", size, failed_before);
        object_check(object);
        return;
    }
    count_object(object->pointer, -1); /* by its address only: it may be gone */
    count_object(pointer, 1);
    check_pattern(object, pointer, size < object->size ? size : object->size);
    *object = (struct test_object){ .pointer = pointer, .size = size };
    write_pattern(object);
}

void object_make_batch(struct test_object *objects, size_t size, size_t count)
{
    void *pointers[BATCH_MAX];
    CHECK(count <= BATCH_MAX, "a batch of %zu", count);
    uint64_t failed_before = begin_call();
    size_t made = mb_alloc_batch(size, count, pointers);
    CHECK(made <= count, "%zu objects of %zu", made, count);
    if (made < count) {
        check_refusal("mb_alloc_batch", size, failed_before);
    }
    for (size_t i = 0; i < count; i++) {
        objects[i] = (struct test_object){ .pointer = NULL, .size = size };
        if (i < made) {
            objects[i].pointer = pointers[i];
            count_object(pointers[i], 1);
            write_pattern(&objects[i]);
        }
    }
}

void object_free(struct test_object *object)
{
    object_check(object);
    if (object->pointer != NULL) {
        count_object(object->pointer, -1);
    }
    (void)begin_call();
    if (object->size % 3 == 0) {
        mb_free_sized(object->pointer, object->size);
    } else {
        mb_free(object->pointer);
    }
    CHECK(errno == ERRNO_BEFORE, "a free set errno to %d", errno);
    object->pointer = NULL;
}

void object_free_all(struct test_object *objects, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        object_free(&objects[i]);
    }
}

void object_free_batch(struct test_object *objects, size_t count)
{
    void *pointers[BATCH_MAX];
    CHECK(count <= BATCH_MAX, "a batch of %zu", count);
    for (size_t i = 0; i < count; i++) {
        object_check(&objects[i]);
        pointers[i] = objects[i].pointer;
        if (pointers[i] != NULL) {
            count_object(pointers[i], -1);
        }
        objects[i].pointer = NULL;
    }
    (void)begin_call();
    mb_free_batch(count, pointers);
    CHECK(errno == ERRNO_BEFORE, "mb_free_batch set errno to %d", errno);
}

size_t objects_trim(size_t keep_bytes)
{
    uint64_t before = wrapped_bytes_given_back();
    size_t bytes = mb_trim(keep_bytes);
    uint64_t given_back = wrapped_bytes_given_back() - before;
    CHECK(bytes == given_back, "mb_trim says %zu bytes, and the kernel took %llu", bytes,
          (unsigned long long)given_back);
    return bytes;
}

const struct mb_stats *objects_check_at_rest(void)
{
    int64_t ours = atomic_load_explicit(&pooled, memory_order_relaxed);    /* [TEST] */
    int64_t others = atomic_load_explicit(&foreign, memory_order_relaxed); /* [TEST] */
    const struct mb_stats *stats = check_accounting((uint64_t)ours);
    bool keeps_freed = (mbi_config.check & (CHECK_DOUBLE_FREE | CHECK_USE_AFTER_FREE)) != 0;
    CHECK(wrapped_system_objects() == others
              || (keeps_freed && wrapped_system_objects() > others),
          "the system allocator has given out %lld objects, and %lld are live",
          (long long)wrapped_system_objects(), (long long)others);
    CHECK(stats->committed_bytes == bounded_taken(&mbi_committed),
          "%llu bytes are committed, and the limit counts %zu",
          (unsigned long long)stats->committed_bytes, bounded_taken(&mbi_committed));
    CHECK((stats->threads + stats->parked_caches + stats->vacant_caches) % CACHES_PER_MAPPING
              == CACHES_NOT_MAPPED,
          "%llu caches are in use, %llu parked and %llu vacant", (unsigned long long)stats->threads,
          (unsigned long long)stats->parked_caches, (unsigned long long)stats->vacant_caches);
    CHECK(stats->resident_bytes <= stats->committed_bytes,
          "%llu bytes are in memory, and only %llu are committed: pages were not given back",
          (unsigned long long)stats->resident_bytes, (unsigned long long)stats->committed_bytes);
    return stats;
}
