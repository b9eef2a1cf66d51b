/*
 * region: the place of the spans in the address space, what of them is mapped, and the class of an
 * address.
 *
 * Ladder: above os. Callers: pool (spans), free_map (the memory of its bits), the fast paths (class
 * of a pointer).
 *
 *   dense_base            wide_base                                       map_base
 *   | 64 spans of 64 MiB | 64 spans of 2^wide_shift bytes, 32 GiB at most | maps of all spans  |
 *   |0|1|2| ...       |63|   0    |   1    |   2    | ...         |   63  |0|1|2| ...       |63|
 *
 * The class of an address is a subtraction and a shift: free reads no metadata. A pool uses its
 * dense span first, since dense page tables save page walks, then its wide one.
 *
 * When the address space is short the wide tier shrinks by halves, down to the size of the dense
 * one, and then goes. After that the dense tier goes, and the wide one stands alone, with spans of
 * 32 MiB down to 1 MiB. So the dense tier's shift remains a constant of the fast path.
 *
 * Each span, and each free map, is mapped from its beginning as it is used, piece by piece (struct
 * extent). So a limit on address space (RLIMIT_AS), locked memory, core files and top see what is
 * used.
 *
 * The place. The kernel hands addresses out from the top of the user space down; without a limit of
 * the stack from a third (x86-64) or a quarter (aarch64) of it up; programs, and the heap behind
 * them, are at two thirds or at the bottom. Addresses between an eighth and a quarter it gives only
 * when asked for. In 128ths of the user space, of which AddressSanitizer's shadow takes those up to
 * 16:
 *
 *   user space                      a 128th  places                            spans
 *   47 bits: x86-64, LA57 included    1 TiB  5 of 3 TiB from 0x1100_0000_0000  64 MiB, 32 GiB
 *   48 bits: aarch64, also with 52    2 TiB  5 of 6 TiB from 0x2200_0000_0000  64 MiB, 32 GiB
 *   42 bits: aarch64, 64 KiB pages   32 GiB  2 of 480 GiB from 0x10_0000_0000  64 MiB, 4 GiB
 *   39 bits: aarch64                  4 GiB  2 of 60 GiB from 0x2_0000_0000    64 MiB, 512 MiB
 *
 * A process may have several copies of the library (in plugins, or under the drop-in). Each takes a
 * place for itself, by a page at its beginning that only one of them can map, and has its spans in
 * there, by a random number. What is written to that page says whose place it is (core/copies.h).
 *
 * Where no place is free, or the kernel or a tool (ThreadSanitizer) gives nothing there, all is
 * reserved at once, without access, anywhere, in less and less until the kernel agrees, and at most
 * half of RLIMIT_AS. Pieces are made accessible there instead of mapped.
 */
#ifndef MEMORYBUCKET_CORE_REGION_H
#define MEMORYBUCKET_CORE_REGION_H

#include "core/os.h"
#include "core/size_class.h"

enum { DENSE_SHIFT = 26, WIDE_SHIFT_MAX = 35, WIDE_SHIFT_MIN = 20 };

#define DENSE_SPAN_BYTES ((size_t)1 << DENSE_SHIFT)
#define DENSE_TIER_BYTES (DENSE_SPAN_BYTES * SIZE_CLASS_COUNT)
#define REGION_BYTES_MIN (((size_t)1 << WIDE_SHIFT_MIN) * SIZE_CLASS_COUNT)
#define REGION_BYTES_MAX (DENSE_TIER_BYTES + ((size_t)1 << WIDE_SHIFT_MAX) * SIZE_CLASS_COUNT)

/* No user-space pointer minus this base falls inside a span: every pointer reads as foreign. */
#define REGION_NOWHERE ((uintptr_t)1 << 63)

/*
 * Written once, by mbi_region_claim, before the first slot exists. Read by every free. relaxed
 * [REGION]: a thread that has a pointer into the region got it, directly or through others, from a
 * thread that had seen these values, in an order that brings them along. A foreign pointer is
 * foreign by the old values, the new ones and any mix: with the old shift of 0 only the first 64
 * bytes of the wide tier would match, and no slot or other mapping lies there.
 */
struct region {
    _Atomic uintptr_t base[SPAN_COUNT]; /* of each tier; REGION_NOWHERE without it */
    _Atomic unsigned wide_shift;
    /* The rest is written before the first slot exists and read under no lock afterwards. */
    size_t bytes;                  /* of all spans; 0: no place, every request is the system's */
    size_t span_bytes[SPAN_COUNT]; /* of each class; 0 without that tier */
    uintptr_t map_base;
    size_t reserved_bytes; /* all at once; 0: nothing, it is mapped as it is used */
    char *place;           /* the page at its beginning; NULL without a place */
    /*
     * Shifted right by this, an address is a number of 128ths of the user space. relaxed [PLACES]:
     * written by a constructor, before the library is called; a call before that reads 0, and finds
     * no object in a place.
     */
    _Atomic unsigned places_shift;
};

extern MBI_HIDDEN struct region mbi_region;

/* The class of the dense span that holds `address`; SIZE_CLASS_COUNT or more outside that tier. */
MBI_HOT_INLINE size_t region_dense_class_of(const void *address, uintptr_t dense_base)
{
    return ((uintptr_t)address - dense_base) >> DENSE_SHIFT;
}

/* A tier's first byte; REGION_NOWHERE without it. */
MBI_HOT_INLINE uintptr_t region_base(enum span_name span)
{
    return atomic_load_explicit(&mbi_region.base[span], memory_order_relaxed); /* [REGION] */
}

/* The same for the wide tier. */
MBI_HOT_INLINE size_t region_wide_class_of(const void *address)
{
    uintptr_t base = region_base(SPAN_WIDE);
    unsigned shift = atomic_load_explicit(&mbi_region.wide_shift,
                                          memory_order_relaxed); /* [REGION] */
    return ((uintptr_t)address - base) >> shift;
}

/* The class of the span that holds `address`; SIZE_CLASS_COUNT or more for all other addresses. */
MBI_HOT_INLINE size_t region_class_of(const void *address)
{
    size_t class = region_dense_class_of(address, region_base(SPAN_DENSE));
    return MBI_LIKELY(class < SIZE_CLASS_COUNT) ? class : region_wide_class_of(address);
}

/* Whether an address may lie in a place: false for all that the kernel hands out by itself. */
enum { PLACES_FIRST = 2, PLACES_END = 32 };
MBI_HOT_INLINE bool region_is_in_places(const void *address)
{
    unsigned shift = atomic_load_explicit(&mbi_region.places_shift,
                                          memory_order_relaxed); /* [PLACES] */
    return MBI_UNLIKELY(((uintptr_t)address >> shift) - PLACES_FIRST < PLACES_END - PLACES_FIRST);
}

/* Where the places are, in this process's address space. */
void mbi_region_find_places(void);

/* How many places there are; each one's first page; that of an address, or a number beyond them. */
unsigned mbi_region_places(void);
char *mbi_region_place(unsigned number);
unsigned mbi_region_place_of(const void *address);

/*
 * Finds a place for spans of at most `bytes_max` together. 0, or -ENOMEM when there is none for
 * REGION_BYTES_MIN; then every request is the system's. Called once, under the init lock.
 */
int mbi_region_claim(size_t bytes_max);

/*
 * Address space that the region takes up now, in pieces or at once. relaxed [CLAIMED]: a statistic
 * with many writers, which orders nothing.
 */
size_t mbi_region_claimed_bytes(void);

/* First byte of one of a class's spans; NULL where that tier does not exist. */
char *mbi_region_span(size_t class, enum span_name span);

/*
 * What is mapped of a span or a free map, from its beginning; under the pool's lock.
 *
 *   | mapped ....................... | not mapped ............... |
 *   ^first                           ^mapped_end                  ^end
 */
struct extent {
    char *first;
    char *mapped_end;
    char *end; /* no more can be mapped; lowered to where foreign memory lies */
    enum os_pages pages;
    bool crowded; /* foreign memory is near: map no more than is needed */
};

/* Nothing of [first, first + bytes) yet; whole pages. */
static inline void extent_init(struct extent *extent, char *first, size_t bytes,
                               enum os_pages pages)
{
    *extent = (struct extent){
        .first = first, .mapped_end = first, .end = first + bytes, .pages = pages
    };
}

static inline bool extent_has(const struct extent *extent, const void *address)
{
    return (uintptr_t)address - (uintptr_t)extent->first
           < (uintptr_t)extent->mapped_end - (uintptr_t)extent->first;
}

/*
 * Maps on, to `wanted_end` at least, which is a page's end. With `ahead` it maps some more, to be
 * called seldom; a caller that is refused that tries again without. False when the kernel gives no
 * memory or the extent ends before; at foreign memory it ends for ever. Preserves errno.
 */
bool mbi_extent_grow(struct extent *extent, const char *wanted_end, bool ahead);

/* The memory for the free map (core/free_map.h) of one of a class's spans; not mapped yet. */
enum { REGION_MAP_BYTES_MIN = 128 << 10, REGION_MAP_PER_SPAN = 32 /* a 32nd of the span */ };
char *mbi_region_map(size_t class, enum span_name span, size_t *bytes);

#endif
