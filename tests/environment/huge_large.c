/*
 * huge_large [off | limit | none | refused | locked | forked | unmapped]: a pool that has 32 MiB takes a huge page at a
 * time, each whole and once, and leaves no trace of it in its mapping; what huge pages add is bounded, and goes back.
 * Each is split once, and nothing else is; where a child of fork shares one, which the kernel does not split then, it is
 * split again later (forked). Smaller pools, slots larger than a page, MB_HUGEPAGE=0 (off) and small limits (limit) have
 * none. A kernel that has none is asked less and less (none). One that has no memory for the free maps, which note them,
 * is asked for none (unmapped). One that refuses to take whole ones back gets them in pieces (refused), each split
 * before, as where a page of one is locked in memory (locked).
 *
 * madvise is wrapped, and what it is asked for is noted. So is mincore: of single pages it says what
 * is to be tested, and not what this machine's kernel had at hand. mmap has no memory for free maps.
 * Each slot that comes into one has to be covered.
 */
#include "mappings.h"
#include "testing.h"

#include "core/huge.h"
#include "core/pool_sort.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

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
static struct {
    char *start;
    unsigned splits;
} huge_pages[64];
static size_t huge_page_count;
static size_t brought_in_again; /* calls to bring in what lies in huge pages */
static char *taken_first;
static char *taken_end;

static bool kernel_has_some = true;
static bool kernel_refuses; /* to take as much as a huge page back */
static bool page_is_locked;

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

void __real_mbi_free_map_add(struct free_map *map, size_t index);
void __wrap_mbi_free_map_add(struct free_map *map, size_t index);

void __wrap_mbi_free_map_add(struct free_map *map, size_t index)
{
    CHECK(index < map->covered, "slot %zu of %zu", index, map->covered);
    __real_mbi_free_map_add(map, index);
}

static bool maps_are_refused;

void *__real_mmap(void *start, size_t bytes, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *start, size_t bytes, int protection, int flags, int file, off_t offset);

void *__wrap_mmap(void *start, size_t bytes, int protection, int flags, int file, off_t offset)
{
    size_t map_bytes;
    for (enum span_name name = 0; maps_are_refused && name < SPAN_COUNT; name++) {
        char *map = mbi_region_map(size_class_of(SIZE), name, &map_bytes);
        if ((char *)start >= map && (char *)start < map + map_bytes) {
            errno = ENOMEM;
            return MAP_FAILED;
        }
    }
    return __real_mmap(start, bytes, protection, flags, file, offset);
}

/* As mbi_os_resident_bytes, but the kernel's word of a single page, too. */
static size_t pages_in_memory(void *start, size_t bytes)
{
    unsigned char in_memory[HUGE_PAGE_BYTES / HUGE_SMALL_PAGE_BYTES];
    size_t pages = 0;
    CHECK(bytes <= HUGE_PAGE_BYTES && __real_mincore(start, bytes, in_memory) == 0, "mincore");
    for (size_t i = 0; i < bytes / HUGE_SMALL_PAGE_BYTES; i++) {
        pages += in_memory[i] & 1U;
    }
    return pages;
}

static bool has_forked;

/* Once each, but a few times after a fork; by what is still there. */
static void note_split(char *start, size_t bytes)
{
    CHECK(bytes < HUGE_PAGE_BYTES, "all of a huge page is split");
    CHECK(pages_in_memory(start, bytes) != 0, "nothing of %p is there to be split", (void *)start);
    size_t which = 0;
    while (which < huge_page_count && (size_t)(start - huge_pages[which].start) >= HUGE_PAGE_BYTES) {
        which++;
    }
    CHECK(which < huge_page_count, "%p never was huge", (void *)start);
    CHECK(huge_pages[which].splits++ == 0 || has_forked, "%p was split before", (void *)start);
    splits++;
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
        for (size_t done = 0; done < bytes; done += HUGE_PAGE_BYTES) {
            CHECK(huge_page_count < sizeof huge_pages / sizeof huge_pages[0], "too many");
            huge_pages[huge_page_count++].start = (char *)start + done;
        }
        asked = NULL;
    } else if (advice == MADV_FREE) {
        note_split(start, bytes);
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

/* Nor are any split, when memory goes back at last. */
static void expect_none_without_maps(void)
{
    maps_are_refused = true;
    make(0, OBJECTS);
    CHECK(requests == 0, "%zu requests", requests);
    maps_are_refused = false;
    mb_free_batch(OBJECTS, objects);
    mb_thread_flush();
    (void)mb_trim(0);
    CHECK(committed(SIZE) <= 4 * mbi_os_page_bytes(), "%zu bytes stay", committed(SIZE));
    CHECK(splits == 0, "%zu splits", splits);
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
    CHECK(committed(SIZE) <= (4 + page_is_locked) * mbi_os_page_bytes(), "%zu bytes stay", committed(SIZE));
}

/* Four parts of each, while a child shares all; and many more when that has ended. */
static void give_back_beside_a_child(void)
{
    int pipe_ends[2];
    CHECK(pipe(pipe_ends) == 0, "pipe");
    has_forked = true;
    pid_t child = fork();
    CHECK(child >= 0, "fork");
    if (child == 0) {
        char nothing;
        close(pipe_ends[1]);
        _exit(read(pipe_ends[0], &nothing, 1) == 0 ? 0 : 1);
    }
    for (size_t i = 0; i < OBJECTS; i++) {
        if (i % 1024 >= 960) {
            mb_free(objects[i]);
        }
    }
    mb_thread_flush();
    (void)mb_trim(0);
    size_t shared_splits = splits;
    CHECK(shared_splits >= taken_bytes / HUGE_PAGE_BYTES, "%zu splits", shared_splits);
    close(pipe_ends[1]);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0, "the child ended with %x", (unsigned)status);
    for (size_t i = 0; i < huge_page_count; i++) {
        huge_pages[i].splits = 0;
    }
    for (size_t i = 0; i < OBJECTS; i++) {
        if (i % 128 >= 16 && i % 1024 < 960) {
            mb_free(objects[i]);
        }
    }
    mb_thread_flush();
    (void)mb_trim(0);
    for (size_t i = 0; i < huge_page_count; i++) {
        CHECK(huge_pages[i].splits >= 1 && huge_pages[i].splits <= 8,
              "huge page %zu: %u splits when the child had ended", i, huge_pages[i].splits);
    }
}

/* All that went as wholes were refused. What is left of the last one may go in part. */
static void expect_all_splits(void)
{
    CHECK(splits + 1 >= huge_page_count, "%zu splits of %zu", splits, huge_page_count);
}

/* Of the huge page, in its midst: the kernel gives back what is before it, and refuses the rest. */
static bool give_back_around_a_locked_page(void)
{
    enum { WHICH = 3 };
    /* The sanitizers' mlock does nothing. */
    page_is_locked = syscall(SYS_mlock, huge_pages[WHICH].start + HUGE_PAGE_BYTES / 3, (size_t)1) == 0;
    if (page_is_locked) {
        give_all_back();
        CHECK(huge_pages[WHICH].splits == 1, "it was split %u times", huge_pages[WHICH].splits);
        CHECK(splits <= 2, "%zu splits, where all but one and the last page's rest go as wholes", splits);
    }
    return page_is_locked;
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    bool off = strcmp(what, "off") == 0;
    bool limit = strcmp(what, "limit") == 0;
    bool none = strcmp(what, "none") == 0;
    bool locked = strcmp(what, "locked") == 0;
    bool unmapped = strcmp(what, "unmapped") == 0;
    kernel_refuses = strcmp(what, "refused") == 0;
    CHECK(argc == 1 || off || limit || none || kernel_refuses || locked || unmapped || strcmp(what, "forked") == 0,
          "usage: see the top of this file");
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
        if (none || unmapped) {
            (none ? expect_fewer_requests : expect_none_without_maps)();
            return 0;
        }
        expect_some();
        if (strcmp(what, "forked") == 0) {
            give_back_beside_a_child();
            return 0;
        }
        if (locked) {
            return give_back_around_a_locked_page() ? 0 : SKIPPED; /* mlock is not permitted */
        }
        if (kernel_refuses) {
            give_all_back();
            expect_all_splits();
            return 0;
        }
        expect_none_in_large_slots();
        expect_rest_to_wait();
        give_back();
    }
    check_accounting(0);
    return 0;
}
