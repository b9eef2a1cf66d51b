/* region: which address belongs to which class, in every layout. */
#include "core/region.h"

#include "testing.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/resource.h>

/* Every test has a process of its own, in which startup may have claimed the default region: forget
 * it. */
static void forget(void)
{
    mbi_region = (struct region){ .base = { REGION_NOWHERE, REGION_NOWHERE } };
}

static void check_span(const char *span, size_t bytes, size_t class)
{
    cr_assert_eq(region_class_of(span), class);
    cr_assert_eq(region_class_of(span + bytes - 1), class);
    cr_assert_eq((uintptr_t)span % mbi_os_page_bytes(), 0);
}

static void check_layout(size_t dense_bytes, size_t wide_bytes)
{
    cr_assert_eq(mbi_region.span_bytes[SPAN_DENSE], dense_bytes);
    cr_assert_eq(mbi_region.span_bytes[SPAN_WIDE], wide_bytes);
    cr_assert_eq(mbi_region.bytes, SIZE_CLASS_COUNT * dense_bytes + SMALL_CLASS_COUNT * wide_bytes);
    for (size_t class = 0; class < SMALL_CLASS_COUNT; class++) {
        if (dense_bytes != 0) {
            check_span(mbi_region_span(class, SPAN_DENSE), dense_bytes, class);
        } else {
            cr_assert_null(mbi_region_span(class, SPAN_DENSE));
        }
        if (wide_bytes != 0) {
            check_span(mbi_region_span(class, SPAN_WIDE), wide_bytes, class);
        } else {
            cr_assert_null(mbi_region_span(class, SPAN_WIDE));
        }
    }
    const char *first = dense_bytes != 0 ? mbi_region_span(0, SPAN_DENSE) : mbi_region_span(0, SPAN_WIDE);
    int on_stack;
    cr_assert(region_class_of(first - 1) >= SIZE_CLASS_COUNT);
    cr_assert(region_class_of(first + mbi_region.bytes) >= SIZE_CLASS_COUNT);
    cr_assert(region_class_of(NULL) >= SIZE_CLASS_COUNT);
    cr_assert(region_class_of(&on_stack) >= SIZE_CLASS_COUNT);
    cr_assert(region_class_of((void *)UINTPTR_MAX) >= SIZE_CLASS_COUNT);
}

/* Behind the spans, one behind the other. */
static void check_maps(void)
{
    uintptr_t next = mbi_region.map_base;
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        for (enum span_name span = 0; span < SPAN_COUNT; span++) {
            size_t span_bytes = mbi_region.span_bytes[span];
            size_t bytes;
            char *map = mbi_region_map(class, span, &bytes);
            cr_assert_eq((uintptr_t)map, next);
            cr_assert(region_class_of(map) >= SIZE_CLASS_COUNT);
            /* In halves, a bit for each 8 bytes and 4 bytes for each 64 KiB. */
            cr_assert_geq(bytes / 2, span_bytes / 64);
            cr_assert(span_bytes == 0 || bytes / 2 >= span_bytes / (16 << 10) + 4096);
            next += bytes;
        }
    }
}

Test(region, nothing_is_ours_before_it_is_claimed)
{
    forget();
    int on_stack;
    cr_assert(region_class_of(NULL) >= SIZE_CLASS_COUNT);
    cr_assert(region_class_of(&on_stack) >= SIZE_CLASS_COUNT);
    cr_assert(region_class_of((void *)UINTPTR_MAX) >= SIZE_CLASS_COUNT);
}

Test(region, layouts_shrink_with_the_size_asked_for)
{
    static const struct {
        size_t asked, dense, wide;
    } layouts[] = {
        { DENSE_TIER_BYTES + ((size_t)8 << 30), DENSE_SPAN_BYTES, (size_t)128 << 20 },
        { DENSE_TIER_BYTES + ((size_t)4 << 30), DENSE_SPAN_BYTES, (size_t)64 << 20 },
        { DENSE_TIER_BYTES + ((size_t)4 << 30) - 1, DENSE_SPAN_BYTES, 0 },
        { DENSE_TIER_BYTES, DENSE_SPAN_BYTES, 0 },
        { DENSE_TIER_BYTES - 1, 0, (size_t)128 << 20 },
        { (size_t)4 << 30, 0, (size_t)64 << 20 },
        { (size_t)1 << 30, 0, (size_t)16 << 20 },
        { (size_t)64 << 20, 0, (size_t)1 << 20 },
    };
    /* The last ones find no place that is free, and are reserved. */
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        forget();
        cr_assert_eq(mbi_region_claim(layouts[i].asked, SMALL_CLASS_COUNT), 0);
        check_layout(layouts[i].dense, layouts[i].wide);
        check_maps();
    }
}

Test(region, too_little_is_no_region)
{
    forget();
    cr_assert_eq(mbi_region_claim(REGION_BYTES_MIN - 1, SIZE_CLASS_COUNT), -ENOMEM);
    cr_assert_eq(mbi_region.bytes, 0);
    cr_assert_eq(mbi_region_claimed_bytes(), 0);
    cr_assert_null(mbi_region_span(0, SPAN_DENSE));
    cr_assert_null(mbi_region_span(0, SPAN_WIDE));
}

/* Copies of the library in one process must not take each other's slots for their own. */
Test(region, each_copy_has_a_place_of_its_own)
{
    if (TEST_IS_EMULATED) {
        return; /* qemu writes down each page of what is reserved: minutes for the last three */
    }
    enum { COPIES = 8 };
    uintptr_t first[COPIES];
    uintptr_t end[COPIES];
    size_t reserved = 0;
    for (size_t i = 0; i < COPIES; i++) {
        forget();
        cr_assert_eq(mbi_region_claim(REGION_BYTES_MAX, SIZE_CLASS_COUNT), 0);
        first[i] = (uintptr_t)mbi_region_span(0, SPAN_DENSE);
        end[i] = mbi_region.map_base;
        reserved += mbi_region.reserved_bytes != 0;
        for (size_t j = 0; j < i; j++) {
            cr_assert(end[j] <= first[i] || end[i] <= first[j], "copies %zu and %zu overlap", j, i);
        }
    }
    cr_assert_geq(reserved, 1, "there are not as many places");
    cr_assert_lt(reserved, COPIES);
}

static size_t mappings_in(const char *first, const char *end)
{
    char line[256];
    size_t count = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        uintptr_t start = strtoull(line, NULL, 16);
        count += start >= (uintptr_t)first && start < (uintptr_t)end;
    }
    fclose(file);
    return count;
}

/* A place for an extent in which nothing is mapped. */
static struct extent new_extent(size_t bytes)
{
    struct extent extent;
    char *start = mbi_os_reserve(bytes);
    mbi_os_unreserve(start, bytes);
    forget();
    extent_init(&extent, start, bytes, OS_PAGES_SMALL);
    return extent;
}

Test(region, an_extent_grows_in_pieces_and_is_one_mapping)
{
    enum { BYTES = 64 << 20, STEP = 64 << 10 };
    struct extent extent = new_extent(BYTES);
    size_t pieces = 0;
    size_t claimed = mbi_region_claimed_bytes();
    for (char *end = extent.first + STEP; end <= extent.first + BYTES; end += STEP) {
        char *before = extent.mapped_end;
        cr_assert(mbi_extent_grow(&extent, end, true));
        cr_assert(extent.mapped_end >= end && extent.mapped_end <= extent.first + BYTES);
        size_t ahead = (size_t)(extent.mapped_end - end);
        cr_assert(ahead <= (size_t)(before - extent.first) / 16 || ahead < STEP);
        pieces += extent.mapped_end != before;
        end[-1] = 1;
        cr_assert(extent_has(&extent, end - 1));
        cr_assert_not(extent_has(&extent, extent.mapped_end));
        cr_assert_eq(mappings_in(extent.first, extent.first + BYTES), 1);
    }
    cr_assert_leq(pieces, 128);
    cr_assert_eq(mbi_region_claimed_bytes() - claimed, BYTES);
    cr_assert_not(mbi_extent_grow(&extent, extent.first + BYTES + STEP, false));
}

/* Or each that was sealed once would cost the process a mapping for ever. */
Test(region, what_was_sealed_is_one_mapping_with_its_neighbours_again)
{
    enum { BYTES = 8 << 20, PART = 64 << 10 };
    struct extent extent = new_extent(BYTES);
    cr_assert(mbi_extent_grow(&extent, extent.first + BYTES, false));
    memset(extent.first, 1, BYTES);
    for (char *part = extent.first + PART; part < extent.mapped_end; part += (size_t)4 * PART) {
        cr_assert(mbi_os_seal(part, PART));
    }
    cr_assert_gt(mappings_in(extent.first, extent.first + BYTES), BYTES / PART / 4);
    for (char *part = extent.first + PART; part < extent.mapped_end; part += (size_t)4 * PART) {
        cr_assert(mbi_os_unseal(part, PART));
        cr_assert_eq(*part, 0);
        *part = 1;
    }
    cr_assert_eq(mappings_in(extent.first, extent.first + BYTES), 1);
}

/* Not above: Linux 6.18 does not join what was read while it was sealed to its neighbours again. */
Test(region, what_is_sealed_reads_as_zeros)
{
    size_t page = mbi_os_page_bytes();
    struct extent extent = new_extent(4 * page);
    cr_assert(mbi_extent_grow(&extent, extent.first + 4 * page, false));
    memset(extent.first, 1, 4 * page);
    cr_assert(mbi_os_seal(extent.first + page, page));
    cr_assert_eq(extent.first[page], 0);
    cr_assert_eq(extent.first[2 * page - 1], 0);
    cr_assert_eq(extent.first[2 * page], 1);
    cr_assert(mbi_os_unseal(extent.first + page, page));
    cr_assert_eq(extent.first[page], 0);
}

Test(region, an_extent_ends_where_somebody_elses_memory_is)
{
    enum { PAGES = 40 };
    size_t page = mbi_os_page_bytes();
    struct extent extent = new_extent(64 * page);
    cr_assert(mbi_os_map_at(extent.first + PAGES * page, page, OS_PAGES_AS_SET));
    extent.first[PAGES * page] = 7;

    errno = 77;
    cr_assert(mbi_extent_grow(&extent, extent.first + 30 * page, false));
    cr_assert_not(mbi_extent_grow(&extent, extent.first + 50 * page, true));
    cr_assert(extent.foreign_near && extent.end == extent.first + 64 * page);
    cr_assert(mbi_extent_grow(&extent, extent.first + PAGES * page, false));
    cr_assert_not(mbi_extent_grow(&extent, extent.first + (PAGES + 1) * page, false));
    cr_assert(extent.end == extent.first + PAGES * page && extent.mapped_end == extent.end);
    cr_assert_eq(errno, 77);
    cr_assert_eq(extent.first[PAGES * page], 7);

    mbi_os_unreserve(extent.first + PAGES * page, page); /* too late: it is not asked for again */
    cr_assert_not(mbi_extent_grow(&extent, extent.first + (PAGES + 1) * page, false));
}

Test(region, memory_that_the_kernel_refuses_for_now_is_asked_for_again)
{
    if (TEST_IS_SANITIZED || TEST_IS_EMULATED) {
        return; /* their shadows are larger than any limit */
    }
    enum { BYTES = 1 << 20 };
    struct extent extent = new_extent(BYTES);
    struct rlimit before;
    cr_assert_eq(getrlimit(RLIMIT_AS, &before), 0);
    struct rlimit none = { .rlim_cur = 1, .rlim_max = before.rlim_max };
    cr_assert_eq(setrlimit(RLIMIT_AS, &none), 0);
    bool grown = mbi_extent_grow(&extent, extent.first + BYTES, true)
                 || mbi_extent_grow(&extent, extent.first + BYTES, false);
    cr_assert_eq(setrlimit(RLIMIT_AS, &before), 0);
    cr_assert_not(grown);
    cr_assert(mbi_extent_grow(&extent, extent.first + BYTES, true));
}
