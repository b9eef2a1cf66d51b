/*
 * fresh_faults: memory that is used for the first time costs one page fault a page, whether objects
 * are asked for singly or in batches, also where slots cross pages.
 */
#include "testing.h"

#include <sys/resource.h>

enum { BYTES = 16 << 20, OBJECTS_MAX = BYTES / 8, BATCH = 1000 };

/* Written before anything is counted. */
static void *objects[OBJECTS_MAX];

static uint64_t faults(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0, "getrusage");
    return (uint64_t)usage.ru_minflt;
}

static void take(size_t size, size_t count, size_t at_once)
{
    if (at_once == 1) {
        for (size_t i = 0; i < count; i++) {
            objects[i] = mb_alloc(size);
        }
        return;
    }
    for (size_t i = 0; i < count; i += at_once) {
        CHECK(mb_alloc_batch(size, at_once, objects + i) == at_once, "no memory");
    }
}

static void check_size(size_t size, size_t at_once)
{
    size_t count = BYTES / size / BATCH * BATCH;
    mb_free(mb_alloc(size)); /* the thread's cache, and the pool's first block */
    uint64_t before = faults();
    take(size, count, at_once);
    for (size_t i = 0; i < count; i++) {
        CHECK(objects[i] != NULL, "no memory");
        memset(objects[i], 0x55, size);
    }
    uint64_t taken = faults() - before;
    uint64_t pages = count * size / (uint64_t)sysconf(_SC_PAGESIZE);
    /* The kernel's page tables, and what the library keeps, are a few. */
    CHECK(taken <= pages + pages / 16, "%zu of %zu bytes, %zu at once: %llu faults, %llu pages", count,
          size, at_once, (unsigned long long)taken, (unsigned long long)pages);
}

int main(void)
{
    static const size_t single[] = { 8, 64, 200, 512 };
    static const size_t batched[] = { 16, 72, 208, 504 };
    memset(objects, 1, sizeof objects);
    for (size_t i = 0; i < sizeof single / sizeof single[0]; i++) {
        check_size(single[i], 1);
        check_size(batched[i], BATCH);
    }
    return 0;
}
