/*
 * populate [refused]: the pages of fresh slots, and of slots whose pages were given back, come into
 * memory many in a call of the kernel; those of slots larger than a page are left to their owner.
 * With `refused` the kernel does not know the call, and errno stays as it was.
 *
 * madvise is wrapped, and what it brings into memory is counted.
 */
#include "testing.h"

#include "memorybucket/memorybucket.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { PAGE = 4096, BYTES = 8 << 20, ERRNO_KEPT = 4321 };

static bool refused;
static size_t calls;
static size_t populated_bytes;

int __real_madvise(void *start, size_t bytes, int advice);
int __wrap_madvise(void *start, size_t bytes, int advice);

int __wrap_madvise(void *start, size_t bytes, int advice)
{
    if (advice != MADV_POPULATE_WRITE) {
        return __real_madvise(start, bytes, advice);
    }
    CHECK((uintptr_t)start % PAGE == 0 && bytes % PAGE == 0 && bytes >= 2 * (size_t)PAGE,
          "%zu bytes at %p are not a few whole pages", bytes, start);
    calls++;
    populated_bytes += bytes;
    if (refused) {
        errno = EINVAL;
        return -1;
    }
    return __real_madvise(start, bytes, advice);
}

/* BYTES of objects of one size; all are zero where they should be as the kernel gave them. */
static void **make(size_t size)
{
    size_t count = BYTES / size;
    void **objects = calloc(count, sizeof *objects);
    CHECK(objects != NULL, "no memory");
    calls = 0;
    populated_bytes = 0;
    errno = ERRNO_KEPT;
    for (size_t i = 0; i < count; i++) {
        objects[i] = mb_alloc(size);
        CHECK(objects[i] != NULL, "no memory");
        memset(objects[i], 1, size);
    }
    CHECK(errno == ERRNO_KEPT, "errno became %d", errno);
    return objects;
}

static void unmake(size_t size, void **objects)
{
    mb_free_batch(BYTES / size, objects);
    free(objects);
}

static void expect_populated(const char *what)
{
    CHECK(populated_bytes >= BYTES / 4 * 3 && populated_bytes <= BYTES + BYTES / 8,
          "%s: %zu of %d bytes were populated", what, populated_bytes, (int)BYTES);
    CHECK(calls <= BYTES / PAGE / 4, "%s: %zu calls", what, calls);
}

/* The slots of a batch come by another way than single ones. */
static void make_batch(size_t size)
{
    enum { COUNT = BYTES / 1024 };
    static void *objects[COUNT];
    calls = 0;
    errno = ERRNO_KEPT;
    CHECK(mb_alloc_batch(size, COUNT, objects) == COUNT, "no memory");
    CHECK(calls != 0 && errno == ERRNO_KEPT, "errno became %d in %zu calls", errno, calls);
    mb_free_batch(COUNT, objects);
}

int main(int argc, char **argv)
{
    (void)argv;
    refused = argc > 1;
    CHECK(mb_option_set("MB_POOL_MAX", "32K") == 0, "MB_POOL_MAX was refused");
    CHECK(mb_option_set("MB_DECAY_MS", "-1") == 0, "MB_DECAY_MS was refused");

    void **objects = make(512);
    expect_populated("fresh");
    unmake(512, objects);

    mb_thread_flush();
    CHECK(mb_trim(0) > BYTES / 2, "little was given back");
    objects = make(512);
    expect_populated("given back");
    unmake(512, objects);

    objects = make(512);
    CHECK(populated_bytes == 0, "%zu bytes that were in memory were populated", populated_bytes);
    unmake(512, objects);

    mb_thread_flush();
    (void)mb_trim(SIZE_MAX); /* sorts what is free, and gives nothing back */
    objects = make(512);
    CHECK(populated_bytes == 0, "%zu bytes that were sorted were populated", populated_bytes);
    unmake(512, objects);

    objects = make(20 << 10);
    CHECK(populated_bytes == 0, "%zu bytes of large slots were populated", populated_bytes);
    unmake(20 << 10, objects);

    make_batch(1024);
    return 0;
}
