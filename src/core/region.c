/* region: how much address space to ask for, where, and how it is mapped piece by piece. */
#include "core/region.h"

#include "core/huge.h"

#include <errno.h>

/* Spans start on these: no two share a page of page tables, and huge pages fit. */
#define REGION_ALIGNMENT_BYTES ((size_t)2 << 20)

struct region mbi_region = {
    .base = { REGION_NOWHERE, REGION_NOWHERE },
};

static _Atomic size_t claimed_bytes;

/* One way to lay out the region. */
struct layout {
    bool dense;
    unsigned wide_shift; /* 0: no wide tier */
    size_t classes;
};

static struct layout layout_largest(size_t classes)
{
    return (struct layout){ .dense = true, .wide_shift = WIDE_SHIFT_MAX, .classes = classes };
}

static size_t layout_span_bytes(struct layout layout, enum span_name span)
{
    if (span == SPAN_DENSE) {
        return layout.dense ? DENSE_SPAN_BYTES : 0;
    }
    return layout.wide_shift != 0 ? (size_t)1 << layout.wide_shift : 0;
}

/* A map has two halves, for bits and for tiles: a 64th of its span is enough for each. */
static size_t map_bytes(size_t span_bytes)
{
    size_t bytes = span_bytes / REGION_MAP_PER_SPAN;
    return bytes != 0 ? size_max(bytes, REGION_MAP_BYTES_MIN) : 0;
}

/* The fast path takes all of the dense tier's addresses for its spans', also those not in use. */
static size_t layout_tier_bytes(struct layout layout, enum span_name span)
{
    size_t spans = span == SPAN_DENSE ? SIZE_CLASS_COUNT : layout.classes;
    return layout_span_bytes(layout, span) * spans;
}

static size_t layout_bytes(struct layout layout, bool with_maps)
{
    size_t bytes = 0;
    for (enum span_name span = 0; span < SPAN_COUNT; span++) {
        size_t maps_bytes = map_bytes(layout_span_bytes(layout, span)) * layout.classes;
        bytes += layout_tier_bytes(layout, span) + (with_maps ? maps_bytes : 0);
    }
    return bytes;
}

/* The next smaller layout; false past the last. */
static bool layout_shrink(struct layout *layout)
{
    if (layout->dense && layout->wide_shift == 0) {
        /* Few classes' wide spans may be larger than the dense ones, which all classes had. */
        layout->dense = false;
        layout->wide_shift = DENSE_SHIFT + 1;
    } else if (layout->dense && layout->wide_shift == DENSE_SHIFT) {
        layout->wide_shift = 0;
    } else if (layout->wide_shift > WIDE_SHIFT_MIN) {
        layout->wide_shift--;
    } else {
        return false;
    }
    return true;
}

static void region_publish(uintptr_t base, struct layout layout)
{
    mbi_region.bytes = layout_bytes(layout, false);
    atomic_store_explicit(&mbi_region.classes, layout.classes, memory_order_relaxed); /* [REGION] */
    mbi_region.map_base = base + mbi_region.bytes;
    for (enum span_name span = 0; span < SPAN_COUNT; span++) {
        mbi_region.span_bytes[span] = layout_span_bytes(layout, span);
        if (mbi_region.span_bytes[span] != 0) {
            atomic_store_explicit(&mbi_region.base[span], base,
                                  memory_order_relaxed); /* [REGION] */
            base += layout_tier_bytes(layout, span);
        }
    }
    atomic_store_explicit(&mbi_region.wide_shift, layout.wide_shift,
                          memory_order_relaxed); /* [REGION] */
}

static void claimed_add(size_t bytes)
{
    atomic_fetch_add_explicit(&claimed_bytes, bytes, memory_order_relaxed); /* [CLAIMED] */
}

size_t mbi_region_claimed_bytes(void)
{
    return atomic_load_explicit(&claimed_bytes, memory_order_relaxed); /* [CLAIMED] */
}

/*
 * Where places are, in 128ths of the user space (docs/architecture.md lists the addresses). The
 * kernel gives addresses between 16 and 32 of them only when asked for. AddressSanitizer's shadow
 * takes those up to 16. The kernel hands out addresses from the top down; without a limit of the
 * stack from a third (x86-64) or a quarter (aarch64) up; programs, and the heap behind them, are at
 * two thirds or at the bottom.
 */
struct places {
    unsigned first;
    unsigned each;
    unsigned count;
    uintptr_t unit;
};
enum { PLACE_UNIT_BITS = 7, PLACES_WIDE_BITS = 47 };

static struct places find_places(void)
{
    unsigned bits = mbi_os_address_bits();
    struct places wide = { .first = 17, .each = 3, .count = 5 };
    struct places narrow = { .first = 2, .each = 15, .count = 2 };
    struct places places = bits >= PLACES_WIDE_BITS ? wide : narrow;
    places.unit = (uintptr_t)1 << (bits - PLACE_UNIT_BITS);
    assert(places.first >= PLACES_FIRST && places.first + places.count * places.each <= PLACES_END);
    return places;
}

void mbi_region_find_places(void)
{
    atomic_store_explicit(&mbi_region.places_shift, mbi_os_address_bits() - PLACE_UNIT_BITS,
                          memory_order_relaxed); /* [PLACES] */
}

unsigned mbi_region_places(void)
{
    return find_places().count;
}

char *mbi_region_place(unsigned number)
{
    struct places places = find_places();
    return (char *)((places.first + number * places.each) * places.unit);
}

unsigned mbi_region_place_of(const void *address)
{
    struct places places = find_places();
    return (unsigned)(((uintptr_t)address / places.unit - places.first) / places.each);
}

/* A small address space, as under valgrind, has none to spare. */
static size_t spare_bytes(size_t place_bytes)
{
    return place_bytes >= 2 * REGION_SPARE_BYTES ? REGION_SPARE_BYTES : 0;
}

/* Takes a place that no other copy of the library has, and a random base in it. */
static bool claim_place(size_t bytes_max, size_t classes)
{
    struct places places = find_places();
    size_t place_bytes = places.each * places.unit;
    size_t room_bytes = place_bytes - spare_bytes(place_bytes);
    size_t page_bytes = mbi_os_page_bytes();
    struct layout layout = layout_largest(classes);
    /* One step is lost to the page at the beginning. */
    while (layout_bytes(layout, false) > bytes_max
           || layout_bytes(layout, true) + REGION_ALIGNMENT_BYTES > room_bytes) {
        if (!layout_shrink(&layout)) {
            return false;
        }
    }
    size_t steps = (room_bytes - layout_bytes(layout, true)) / REGION_ALIGNMENT_BYTES;
    uint64_t random = mbi_os_random();
    for (unsigned i = 0; i < places.count; i++) {
        uintptr_t start = (uintptr_t)mbi_region_place((unsigned)((random + i) % places.count));
        if (start + place_bytes <= (uintptr_t)1 << CHAIN_ADDRESS_BITS
            && mbi_os_reserve_at((void *)start, page_bytes)) {
            size_t step = 1 + (size_t)(random / places.count % steps);
            region_publish(start + step * REGION_ALIGNMENT_BYTES, layout);
            claimed_add(page_bytes);
            mbi_region.place = (char *)start;
            return true;
        }
    }
    return false;
}

static bool reserve_all(size_t bytes_max, size_t classes)
{
    size_t half = mbi_os_address_space_limit() / 2; /* the rest is for the program's own mappings */
    struct layout layout = layout_largest(classes);
    do {
        size_t bytes = layout_bytes(layout, true) + REGION_ALIGNMENT_BYTES;
        if (layout_bytes(layout, false) > bytes_max || bytes > half) {
            continue;
        }
        void *start = mbi_os_reserve(bytes);
        if (start == NULL) {
            continue;
        }
        if ((uintptr_t)start + bytes > (uintptr_t)1 << CHAIN_ADDRESS_BITS) {
            mbi_os_unreserve(start, bytes);
            continue;
        }
        region_publish(round_up((uintptr_t)start, REGION_ALIGNMENT_BYTES), layout);
        mbi_region.reserved_bytes = bytes;
        claimed_add(bytes);
        return true;
    } while (layout_shrink(&layout));
    return false;
}

int mbi_region_claim(size_t bytes_max, size_t classes)
{
    return claim_place(bytes_max, classes) || reserve_all(bytes_max, classes) ? 0 : -ENOMEM;
}

char *mbi_region_span(size_t class, enum span_name span)
{
    size_t bytes = mbi_region.span_bytes[span];
    return bytes != 0 ? (char *)(region_base(span) + class * bytes) : NULL;
}

char *mbi_region_map(size_t class, enum span_name span, size_t *bytes)
{
    size_t all = 0;
    size_t before = 0;
    for (enum span_name other = 0; other < SPAN_COUNT; other++) {
        before = other == span ? all : before;
        all += map_bytes(mbi_region.span_bytes[other]);
    }
    *bytes = map_bytes(mbi_region.span_bytes[span]);
    return (char *)(mbi_region.map_base + class * all + before);
}

char *mbi_region_spare(void)
{
    struct places places = find_places();
    size_t maps_bytes = 0;
    for (enum span_name span = 0; span < SPAN_COUNT; span++) {
        maps_bytes += map_bytes(mbi_region.span_bytes[span]) * region_classes();
    }
    bool has_spare = mbi_region.place != NULL && spare_bytes(places.each * places.unit) != 0;
    return has_spare ? (char *)(mbi_region.map_base + maps_bytes) : NULL;
}

/* A 16th of what is mapped: calls are few, and core files, which hold it all, not much larger. */
static size_t piece_bytes(const struct extent *extent, size_t needed_bytes)
{
    const size_t piece_step_bytes = (size_t)64 << 10;
    const size_t piece_bytes_max = (size_t)4 << 20;
    size_t bytes = (size_t)(extent->mapped_end - extent->first) / 16;
    size_t left = (size_t)(extent->end - extent->mapped_end);
    if (extent->foreign_near || !huge_allows_pieces(extent)) {
        return needed_bytes;
    }
    bytes = round_down(size_min(bytes, piece_bytes_max), piece_step_bytes);
    return size_max(size_min(bytes, left), needed_bytes);
}

static bool map_piece(char *start, size_t bytes, enum os_pages pages)
{
    return mbi_region.reserved_bytes != 0 ? mbi_os_commit(start, bytes)
                                          : mbi_os_map_at(start, bytes, pages);
}

/*
 * Asks for the whole extent each time, so that the kernel makes one mapping of it; but not before a
 * huge page fits (none is smaller), which spares short processes the calls.
 */
static void ask_for_pages(const struct extent *extent)
{
    size_t bytes = (size_t)(extent->mapped_end - extent->first);
    if (bytes >= HUGE_PAGE_BYTES) {
        (void)mbi_os_ask_for_pages(extent->first, bytes, extent->pages);
    }
}

bool mbi_extent_grow(struct extent *extent, const char *wanted_end, bool ahead)
{
    if (wanted_end <= extent->mapped_end) {
        return true;
    }
    if (wanted_end > extent->end) {
        return false;
    }
    int saved_errno = errno;
    size_t bytes = (size_t)(wanted_end - extent->mapped_end);
    bytes = ahead ? piece_bytes(extent, bytes) : bytes;
    bool mapped = map_piece(extent->mapped_end, bytes, extent->pages);
    if (mapped) {
        extent->mapped_end += bytes;
        claimed_add(mbi_region.reserved_bytes != 0 ? 0 : bytes);
        ask_for_pages(extent);
    } else if (errno == EEXIST && ahead) {
        extent->foreign_near = true;
    } else if (errno == EEXIST) {
        extent->end = extent->mapped_end;
    }
    errno = saved_errno;
    return mapped;
}
