/* workload: what one thread does. */
#include "workload.h"

#include "border.h"
#include "objects.h"
#include "plan.h"
#include "testing.h"
#include "wrapped.h"

#include "core/config.h"
#include "core/region.h"

#include <errno.h>

enum { SIZE_STEP = 9, SMALL_OBJECTS = (MB_SMALL_MAX / SIZE_STEP + 1) * OBJECT_HOWS };
enum { BATCH_OBJECTS = 300 };

static const size_t large_sizes[] = { 513, 1000, 5000, 20000, 200000 };
static const size_t batch_sizes[] = { 8, 48, 200, 512, 600, 3000 };

enum {
    LARGE_OBJECTS = sizeof large_sizes / sizeof large_sizes[0] * OBJECT_HOWS,
    BATCHES = sizeof batch_sizes / sizeof batch_sizes[0],
};

static struct test_object small[SMALL_OBJECTS];
static struct test_object large[LARGE_OBJECTS];
static struct test_object batches[BATCHES][BATCH_OBJECTS];

static void resize_small(void)
{
    for (size_t i = 0; i < SMALL_OBJECTS; i++) {
        size_t size = small[i].size;
        object_resize(&small[i], 2 * size + 1);
        object_resize(&small[i], i % 5 == 0 ? 700 : size / 2);
        object_resize(&small[i], size);
        if (i % 2 == 0) {
            object_free(&small[i]);
        }
    }
}

static void resize_large(void)
{
    static const size_t sizes[] = { 6000, 900, 100, 3000, 40, 20, 0 };
    for (size_t i = 0; i < LARGE_OBJECTS; i++) {
        for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++) {
            object_resize(&large[i], sizes[j]);
        }
    }
}

/* Requests that are refused with any memory, and one for nothing. */
static void check_refusals(void)
{
    size_t huge = SIZE_MAX / 2;
    __asm__ volatile("" : "+r"(huge)); /* the compiler would warn of it */
    errno = 0;
    CHECK(mb_calloc(huge, 3) == NULL && errno == ENOMEM, "an overflow: errno %d", errno);
    errno = 0;
    CHECK(mb_aligned_alloc(huge % 48 + 3, 8) == NULL && errno == EINVAL, "errno %d", errno);
    CHECK(mb_usable_size(NULL) == 0, "NULL has a size");
    mb_free(NULL);
}

void workload_sizes(void)
{
    struct test_object *next = small;
    for (size_t size = 0; size <= MB_SMALL_MAX; size += SIZE_STEP) {
        for (enum object_how how = 0; how < OBJECT_HOWS; how++) {
            (void)object_make(next++, how, size);
        }
    }
    for (size_t i = 0; i < LARGE_OBJECTS; i++) {
        (void)object_make(&large[i], i % OBJECT_HOWS, large_sizes[i / OBJECT_HOWS]);
    }
    for (size_t i = 0; i < BATCHES; i++) {
        object_make_batch(batches[i], batch_sizes[i], BATCH_OBJECTS);
    }
    resize_small();
    resize_large();
    check_refusals();
    for (size_t i = 0; i < BATCHES; i++) { /* in holes, so that pages are used in part */
        object_free_batch(batches[i] + 100, BATCH_OBJECTS - 120);
    }
}

void workload_free_sizes(void)
{
    object_free_all(small, SMALL_OBJECTS);
    object_free_all(large, LARGE_OBJECTS);
    object_free_all(batches[0], BATCHES * BATCH_OBJECTS);
}

void workload_fill_narrow_pools(void)
{
    static const size_t sizes[] = { 496, 512 };
    enum { SIZES = sizeof sizes / sizeof sizes[0], OBJECTS = 2200 };
    static struct test_object objects[SIZES][OBJECTS];
    for (size_t i = 0; i < SIZES; i++) {
        for (size_t j = 0; j < OBJECTS; j += 200) {
            object_make_batch(&objects[i][j], sizes[i], 200);
        }
    }
    (void)objects_check_at_rest();
    for (size_t i = 0; i < SIZES; i++) {
        object_free_all(objects[i], OBJECTS);
    }
    (void)objects_trim(0);
    (void)objects_check_at_rest();
}

void workload_fill_dense_pool(void)
{
    enum { SIZE = 512, OBJECTS = (64 << 20) / SIZE + 4000 };
    static void *objects[OBJECTS];
    uint64_t failed_before = fault_system_failed_here();
    errno = 0;
    size_t made = mb_alloc_batch(SIZE, OBJECTS, objects);
    CHECK(made == OBJECTS || (errno == ENOMEM && fault_system_failed_here() > failed_before),
          "%zu objects, errno %d", made, errno);
    mb_free_batch(made, objects);
    (void)objects_trim((size_t)1 << 20);
    (void)objects_check_at_rest();
    made = mb_alloc_batch(SIZE, OBJECTS, objects); /* sorted slots, in pages that are gone */
    mb_free_batch(made, objects);
    mb_thread_flush();
    (void)objects_trim(0);
    (void)objects_check_at_rest();
}

/* What the handler may free, once. */
enum { STASHED = 50, STASHED_BYTES = 200, UPPER_STASHED_BYTES = 2000 };
static struct test_object stash[STASHED];
static unsigned handler_calls;

/* No lock is held: statistics take all that there are. */
static int free_stash(size_t size, void *argument)
{
    struct test_object inner = { NULL, 0 };
    CHECK(argument == stash && size <= mbi_config.pool_bytes_max, "%zu bytes", size);
    if (handler_calls++ == 0) {
        (void)objects_check_at_rest();
    }
    (void)object_make(&inner, OBJECT_ALLOC, size);
    object_free(&inner);
    bool any = stash[0].pointer != NULL;
    object_free_all(stash, STASHED);
    return any;
}

/* What the kernel did not let the pools have. */
static uint64_t commits_failed(void)
{
    return fault_failed_here(FAULT_mmap) + fault_failed_here(FAULT_mprotect);
}

void workload_limit(void)
{
    enum { OBJECTS = 40000 }; /* more than all that was freed before can serve */
    static struct test_object objects[OBJECTS];
    size_t bytes = small_or_upper(STASHED_BYTES, UPPER_STASHED_BYTES);
    object_make_batch(stash, bytes, STASHED);
    mb_out_of_memory_handler_set(free_stash, stash);
    size_t limit = objects_check_at_rest()->committed_bytes + (64 << 10);
    uint64_t failed_before = commits_failed();
    CHECK(mb_memory_limit_set(limit) == 0, "there was a limit");
    objects_set_limited(true);
    size_t made = 0;
    while (made < OBJECTS && object_make(&objects[made], OBJECT_ALLOC, bytes)) {
        made++;
    }
    /* Where it is the kernel that refuses, the system allocator may stand in. */
    CHECK(made < OBJECTS || mbi_region.bytes == 0
              || commits_failed() != failed_before,
          "the limit of %zu does not hold", limit);
    CHECK(objects_check_at_rest()->committed_bytes <= limit, "more is committed than the limit");
    object_free_all(objects, made);
    object_free_all(stash, STASHED);
    CHECK(mb_memory_limit_set(1 << 20) == limit, "the limit was another");
    CHECK(mb_memory_limit_set(0) == 1 << 20, "the limit was another");
    objects_set_limited(false);
    mb_out_of_memory_handler_set(NULL, NULL);
    (void)objects_check_at_rest();
}

/* False when it could not be started, as pthread_create failed; it does not run before. */
static bool start_background_thread(void)
{
    uint64_t failed_before = fault_failed_here(FAULT_pthread_create);
    uint64_t created_before = wrapped_threads_created();
    int error = mb_background_start();
    bool failed = fault_failed_here(FAULT_pthread_create) != failed_before;
    int promised = mbi_config.decay_ms < 0 ? -EINVAL : failed ? -EAGAIN : 0;
    CHECK(error == promised, "mb_background_start says %d", error);
    CHECK(wrapped_threads_created() == created_before + (error == 0), "it was not started");
    return error == 0;
}

static void use_background_thread(void)
{
    bool runs = start_background_thread();
    if (!runs) { /* the second time it does not remember that the first one failed */
        runs = start_background_thread();
    }
    if (runs) {
        CHECK(mb_background_start() == 0, "it does not run");
    }
    mb_background_stop();
}

void workload_memory(void)
{
    enum { OBJECTS = 400, SIZE = 320, UPPER_SIZE = 6000 };
    static struct test_object objects[OBJECTS];
    struct mb_stats stats;
    size_t size = small_or_upper(SIZE, UPPER_SIZE);
    object_make_batch(objects, size, OBJECTS);
    for (size_t i = 0; i < OBJECTS; i++) {
        if (i % 40 != 0) {
            object_free(&objects[i]);
        }
    }
    (void)objects_trim(64 << 10);
    (void)objects_trim(0);
    (void)objects_check_at_rest();
    for (size_t i = 0; i < OBJECTS; i++) { /* what was sorted is used again */
        if (objects[i].pointer == NULL) {
            (void)object_make(&objects[i], OBJECT_ALLOC, size);
        }
    }
    mb_thread_idle();
    CHECK(mb_stats_get(&stats, sizeof stats) == 0 && stats.threads_idle <= stats.threads, "statistics");
    CHECK(mb_stats_get(NULL, sizeof(struct mb_stats)) == -EINVAL, "NULL gets statistics");
    mb_thread_busy();
    use_background_thread();
    object_free_all(objects, OBJECTS);
    mb_thread_flush();
    (void)objects_check_at_rest();
}
