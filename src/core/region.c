/* region: how much address space to ask for, and where the tiers lie in it. */
#include "core/region.h"

#include "core/os.h"

#include <errno.h>

/* Spans start on a boundary of this size, so that a page-table page serves one span only, and so
 * that huge pages could be asked for. */
#define REGION_ALIGNMENT_BYTES ((size_t)2 << 20)

struct region mbi_region = {
    .dense_base = REGION_NOWHERE,
    .wide_base = REGION_NOWHERE,
    .wide_shift = 0,
};

/*
 * One way to lay out the region; the wide tier may be absent (shift 0), and so may the dense one.
 */
struct layout {
    bool dense;
    unsigned wide_shift;
};

static size_t layout_bytes(struct layout layout)
{
    size_t dense = layout.dense ? DENSE_TIER_BYTES : 0;
    size_t wide = layout.wide_shift != 0 ? ((size_t)1 << layout.wide_shift) * SIZE_CLASS_COUNT : 0;
    return dense + wide;
}

/* The next smaller layout; false past the last. */
static bool layout_shrink(struct layout *layout)
{
    if (layout->dense && layout->wide_shift > DENSE_SHIFT) {
        layout->wide_shift--;
    } else if (layout->dense && layout->wide_shift == DENSE_SHIFT) {
        layout->wide_shift = 0;
    } else if (layout->dense) {
        *layout = (struct layout){ .dense = false, .wide_shift = DENSE_SHIFT - 1 };
    } else if (layout->wide_shift > WIDE_SHIFT_MIN) {
        layout->wide_shift--;
    } else {
        return false;
    }
    return true;
}

static void region_publish(uintptr_t base, struct layout layout)
{
    mbi_region.reserved_bytes = layout_bytes(layout);
    mbi_region.dense_span_bytes = layout.dense ? DENSE_SPAN_BYTES : 0;
    mbi_region.wide_span_bytes = layout.wide_shift != 0 ? (size_t)1 << layout.wide_shift : 0;
    if (layout.dense) {
        atomic_store_explicit(&mbi_region.dense_base, base, memory_order_relaxed); /* [REGION] */
        base += DENSE_TIER_BYTES;
    }
    if (layout.wide_shift != 0) {
        atomic_store_explicit(&mbi_region.wide_base, base, memory_order_relaxed); /* [REGION] */
        atomic_store_explicit(&mbi_region.wide_shift, layout.wide_shift,
                              memory_order_relaxed); /* [REGION] */
    }
}

int mbi_region_reserve(size_t bytes_max)
{
    size_t limit = mbi_os_address_space_limit();
    size_t half = limit / 2; /* the rest is for the program's own mappings */
    struct layout layout = { .dense = true, .wide_shift = WIDE_SHIFT_MAX };
    do {
        size_t bytes = layout_bytes(layout);
        if (bytes > bytes_max || bytes > half) {
            continue;
        }
        size_t reserved_bytes = bytes + REGION_ALIGNMENT_BYTES;
        void *start = mbi_os_reserve(reserved_bytes);
        if (start == NULL) {
            continue;
        }
        if ((uintptr_t)start + reserved_bytes > (uintptr_t)1 << CHAIN_ADDRESS_BITS) {
            mbi_os_unreserve(start, reserved_bytes);
            continue;
        }
        region_publish(round_up((uintptr_t)start, REGION_ALIGNMENT_BYTES), layout);
        return 0;
    } while (layout_shrink(&layout));
    return -ENOMEM;
}

char *mbi_region_dense_span(size_t class)
{
    uintptr_t base = region_dense_base();
    return mbi_region.dense_span_bytes != 0 ? (char *)(base + class * DENSE_SPAN_BYTES) : NULL;
}

char *mbi_region_wide_span(size_t class)
{
    uintptr_t base = atomic_load_explicit(&mbi_region.wide_base,
                                          memory_order_relaxed); /* [REGION] */
    size_t span_bytes = mbi_region.wide_span_bytes;
    return span_bytes != 0 ? (char *)(base + class * span_bytes) : NULL;
}
