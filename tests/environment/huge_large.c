/*
 * huge_large [off | limit | none | refused]: a pool that has 32 MiB takes a huge page at a time, each whole and once,
 * and leaves no trace of it in its mapping; what huge pages add is bounded, and goes back. Each is split
 * once, and nothing else is. Smaller pools, slots larger than a page, MB_HUGEPAGE=0 and small limits have none. A kernel that has none is
 * asked less and less (none). One that refuses to take whole ones back gets them in pieces (refused).
 *
 * madvise is wrapped, and what it is asked for is noted. So is mincore: of single pages it says what
 * is to be tested, and not what this machine's kernel had at hand.
 */
#include "mappings.h"
#include "testing.h"

#include "core/huge.h"
#include "core/pool_sort.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { SIZE = 512, OBJECTS = (72 << 20) / SIZE, FEW = (30 << 20) / SIZE, UPPER = 8192 };

static void *objects[OBJECTS];
static char *asked; /* for huge pages, and not yet for small ones again */
static size_t asked_bytes;
static size_t requests;
static size_t taken_bytes;
static size_t splits;
static size_t brought_in_again; /* calls to bring in what lies in huge pages */
static char *taken_first;
static char *taken_end;

static bool kernel_has_some = true;
static bool kernel_refuses; /* to take as much as a huge page back */

int __real_mincore(void *start, size_t bytes, unsigned char *in_memory);
int __wrap_mincore(void *start, size_t bytes, unsigned char *in_memory);

int __wrap_mincore(void *start, size_t bytes, unsigned char *in_memory)
{
    int result = __real_mincore(start, bytes, in_memory);
    if (bytes == HUGE_SMALL_PAGE_BYTES) {
        in_memory[0] = kernel_has_some;
    }
    return result;
}

int __real_madvise(void *start, size_t bytes, int advice);
int __wrap_madvise(void *start, size_t bytes, int advice);

int __wrap_madvise(void *start, size_t bytes, int advice)
{
    if (advice == MADV_HUGEPAGE) {
        CHECK((uintptr_t)start % HUGE_PAGE_BYTES == 0 && bytes % HUGE_PAGE_BYTES == 0,
              "%zu bytes at %p are no whole huge pages", bytes, start);
        CHECK((char *)start >= taken_end || taken_end == NULL, "%p was taken before", start);
        CHECK(mbi_os_resident_bytes(start, bytes) == 0, "some of %p is in memory", start);
        asked = start;
        asked_bytes = bytes;
        requests++;
    } else if (advice == MADV_NOHUGEPAGE && asked != NULL) {
        CHECK(start == asked && bytes == asked_bytes, "%p and then %p", (void *)asked, start);
        CHECK(mbi_os_resident_bytes(start, bytes) != 0, "%p was not touched", start);
        taken_first = taken_first == NULL ? start : taken_first;
        taken_end = (char *)start + bytes;
        taken_bytes += bytes;
        asked = NULL;
    } else if (advice == MADV_FREE) {
        CHECK(bytes < HUGE_PAGE_BYTES, "all of a huge page is split");
        CHECK((char *)start >= taken_first && (char *)start < taken_end, "%p never was huge", start);
        splits++;
    } else if (advice == MADV_POPULATE_WRITE) {
        brought_in_again += (char *)start >= taken_first && (char *)start < taken_end;
    }
    if (advice == MADV_DONTNEED && kernel_refuses && bytes >= HUGE_PAGE_BYTES) {
        errno = EINVAL;
        return -1;
    }
    return __real_madvise(start, bytes, advice);
}

static void make(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        objects[i] = mb_alloc(SIZE);
        CHECK(objects[i] != NULL, "no memory");
        memset(objects[i], 1, SIZE);
    }
}

static size_t committed(size_t size)
{
    return counter_read(&pool_at(size_class_of(size))->committed_bytes);
}

static void expect_none(void)
{
    make(0, OBJECTS);
    CHECK(taken_bytes == 0, "%zu bytes of huge pages", taken_bytes);
    mb_free_batch(OBJECTS, objects);
    (void)mb_trim(0);
    CHECK(splits == 0 || mbi_config.huge_pages != HUGE_NEVER, "%zu splits", splits);
}

/* As many bytes, in slots of which a part may stay unused. */
static void expect_none_in_large_slots(void)
{
    static void *large[(72 << 20) / UPPER];
    size_t count = sizeof large / sizeof large[0];
    size_t before = taken_bytes;
    CHECK(mb_alloc_batch(UPPER, count, large) == count, "no memory");
    CHECK(taken_bytes == before && committed(UPPER) >= HUGE_POOL_BYTES, "huge pages for large slots");
    mb_free_batch(count, large);
}

static void expect_some(void)
{
    make(0, FEW);
    CHECK(taken_bytes == 0, "%zu bytes of huge pages in a pool of 30 MiB", taken_bytes);
    size_t used = (size_t)FEW * SIZE;
    CHECK(committed(SIZE) <= used + used / 16, "%zu bytes for %zu", committed(SIZE), used);
    for (size_t i = FEW; i < OBJECTS; i++) {
        make(i, i + 1);
        used += SIZE;
        CHECK(committed(SIZE) <= used + used / 16, "%zu bytes for %zu", committed(SIZE), used);
    }
    CHECK(asked == NULL && taken_bytes >= used - HUGE_POOL_BYTES - 3 * HUGE_PAGE_BYTES,
          "%zu bytes of huge pages", taken_bytes);
    char *span = mbi_region_span(size_class_of(SIZE), SPAN_DENSE);
    CHECK(taken_first - span <= (ptrdiff_t)(HUGE_POOL_BYTES + HUGE_PAGE_BYTES), "the first is late");
    CHECK(brought_in_again == 0, "%zu calls for what is in memory", brought_in_again);
    CHECK(span_mappings(SIZE, " hg") == 0, "%zu mappings ask for huge pages", span_mappings(SIZE, " hg"));
    CHECK(mbi_region.reserved_bytes != 0 || span_mappings(SIZE, NULL) == 1, "%zu mappings", span_mappings(SIZE, NULL));
}

/* Of 20 huge pages the first is asked for, the third, the seventh, the 15th. */
static void expect_fewer_requests(void)
{
    kernel_has_some = false;
    make(0, OBJECTS);
    CHECK(requests >= 2 && requests <= 5, "%zu requests", requests);
    mb_free_batch(OBJECTS, objects);
}

/* What is left of a huge page stays while the pool grows. */
static void expect_rest_to_wait(void)
{
    enum { WINDOWS = 3, MORE = (300 << 10) / SIZE };
    static void *more[WINDOWS][MORE];
    struct pool *pool = pool_at(size_class_of(SIZE));
    for (size_t window = 0; window < WINDOWS; window++) {
        CHECK(mb_alloc_batch(SIZE, MORE, more[window]) == MORE, "no memory");
        (void)mbi_pool_age(pool, false);
        CHECK(mbi_pool_sort_lanes(pool, MORE) == 0, "the rest goes back while the pool grows");
    }
    (void)mbi_pool_age(pool, false);
    CHECK(mbi_pool_sort_lanes(pool, MORE) != 0, "the rest does not go back");
    mb_free_batch((size_t)WINDOWS * MORE, more[0]);
}

/* Of each 64 KiB a part; and then all, with what was taken and never used. */
static void give_back(void)
{
    for (size_t i = 0; i < OBJECTS; i++) {
        if (i % 128 >= 16) {
            mb_free(objects[i]);
        }
    }
    (void)mb_trim(0);
    CHECK(splits != 0, "no huge page was split");
    CHECK(splits <= taken_bytes / HUGE_PAGE_BYTES, "%zu splits, of %zu bytes", splits, taken_bytes);
    for (size_t i = 0; i < OBJECTS; i++) {
        if (i % 128 < 16) {
            CHECK(*(char *)objects[i] == 1, "an object lost what it held");
            mb_free(objects[i]);
        }
    }
    (void)mb_trim(0);
    mb_thread_flush();
    (void)mb_trim(0);
    const struct pool *pool = pool_at(size_class_of(SIZE));
    CHECK(committed(SIZE) <= 4 * mbi_os_page_bytes(), "%zu bytes stay", committed(SIZE));
    CHECK(mbi_pool_resident_bytes((struct pool *)pool) <= 4 * mbi_os_page_bytes(), "in memory");
    make(0, OBJECTS);
    mb_free_batch(OBJECTS, objects);
}

static void give_all_back(void)
{
    mb_free_batch(OBJECTS, objects);
    mb_thread_flush();
    (void)mb_trim(0);
    CHECK(committed(SIZE) <= 4 * mbi_os_page_bytes(), "%zu bytes stay", committed(SIZE));
    CHECK(splits <= 1, "%zu splits, where all but the last page's rest goes", splits);
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    bool off = strcmp(what, "off") == 0;
    bool limit = strcmp(what, "limit") == 0;
    bool none = strcmp(what, "none") == 0;
    kernel_refuses = strcmp(what, "refused") == 0;
    CHECK(argc == 1 || off || limit || none || kernel_refuses, "usage: huge_large [off | limit | none | refused]");
    CHECK(mb_option_set("MB_POOL_MAX", "32K") == 0, "MB_POOL_MAX");
    CHECK(mb_option_set("MB_DECAY_MS", "-1") == 0, "MB_DECAY_MS"); /* windows end when they are told to */
    CHECK(!off || mb_option_set("MB_HUGEPAGE", "0") == 0, "MB_HUGEPAGE");
    CHECK(!limit || mb_option_set("MB_MEMORY_LIMIT", "400M") == 0, "MB_MEMORY_LIMIT");
    CHECK(mb_init() == 0, "mb_init");
    if (mbi_region.span_bytes[SPAN_DENSE] + mbi_region.span_bytes[SPAN_WIDE] < (size_t)OBJECTS * SIZE * 2) {
        puts("the pools have no room to become large"); /* under ThreadSanitizer */
        return SKIPPED;
    }
    if (off || limit || mbi_os_page_bytes() != HUGE_SMALL_PAGE_BYTES) {
        expect_none();
    } else {
        void *sample = mbi_os_reserve(HUGE_PAGE_BYTES);
        if (sample == NULL || __real_madvise(sample, HUGE_PAGE_BYTES, MADV_HUGEPAGE) != 0) {
            return SKIPPED; /* a kernel that knows none */
        }
        mbi_os_unreserve(sample, HUGE_PAGE_BYTES);
        if (none) {
            expect_fewer_requests();
            return 0;
        }
        expect_some();
        if (kernel_refuses) {
            give_all_back();
            return 0;
        }
        expect_none_in_large_slots();
        expect_rest_to_wait();
        give_back();
    }
    check_accounting(0);
    return 0;
}
