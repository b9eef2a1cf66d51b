/* region: which address belongs to which class, in every layout. */
#include "core/region.h"

#include "core/os.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

/* Every test has a process of its own, in which startup has reserved the default region: forget
 * it. */
static void forget(void)
{
    mbi_region = (struct region){ .dense_base = REGION_NOWHERE, .wide_base = REGION_NOWHERE };
}

static void check_span(const char *span, size_t bytes, size_t class)
{
    cr_assert_eq(region_class_of(span), class);
    cr_assert_eq(region_class_of(span + bytes - 1), class);
    cr_assert_eq((uintptr_t)span % mbi_os_page_bytes(), 0);
}

static void check_layout(size_t dense_bytes, size_t wide_bytes)
{
    cr_assert_eq(mbi_region.dense_span_bytes, dense_bytes);
    cr_assert_eq(mbi_region.wide_span_bytes, wide_bytes);
    cr_assert_eq(mbi_region.reserved_bytes, SIZE_CLASS_COUNT * (dense_bytes + wide_bytes));
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        if (dense_bytes != 0) {
            check_span(mbi_region_dense_span(class), dense_bytes, class);
        } else {
            cr_assert_null(mbi_region_dense_span(class));
        }
        if (wide_bytes != 0) {
            check_span(mbi_region_wide_span(class), wide_bytes, class);
        } else {
            cr_assert_null(mbi_region_wide_span(class));
        }
    }
    const char *first = dense_bytes != 0 ? mbi_region_dense_span(0) : mbi_region_wide_span(0);
    int on_stack;
    cr_assert(region_class_of(first - 1) >= SIZE_CLASS_COUNT);
    cr_assert(region_class_of(first + mbi_region.reserved_bytes) >= SIZE_CLASS_COUNT);
    cr_assert(region_class_of(NULL) >= SIZE_CLASS_COUNT);
    cr_assert(region_class_of(&on_stack) >= SIZE_CLASS_COUNT);
    cr_assert(region_class_of((void *)UINTPTR_MAX) >= SIZE_CLASS_COUNT);
}

Test(region, nothing_is_ours_before_the_reservation)
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
        { (size_t)16 << 30, DENSE_SPAN_BYTES, (size_t)128 << 20 },
        { ((size_t)8 << 30), DENSE_SPAN_BYTES, (size_t)64 << 20 },
        { ((size_t)8 << 30) - 1, DENSE_SPAN_BYTES, 0 },
        { (size_t)4 << 30, DENSE_SPAN_BYTES, 0 },
        { ((size_t)4 << 30) - 1, 0, (size_t)32 << 20 },
        { (size_t)1 << 30, 0, (size_t)16 << 20 },
        { (size_t)64 << 20, 0, (size_t)1 << 20 },
    };
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        forget();
        cr_assert_eq(mbi_region_reserve(layouts[i].asked), 0);
        check_layout(layouts[i].dense, layouts[i].wide);
    }
}

Test(region, too_little_is_no_region)
{
    forget();
    cr_assert_eq(mbi_region_reserve(REGION_BYTES_MIN - 1), -ENOMEM);
    cr_assert_eq(mbi_region.reserved_bytes, 0);
    cr_assert_null(mbi_region_dense_span(0));
    cr_assert_null(mbi_region_wide_span(0));
}
