/*
 * region: the place of the spans in the address space, what of them is mapped, and the class of an
 * address.
 *
 * Ladder: above os. Callers: pool (spans), free_map (the memory of its bits), the fast paths (class
 * of a pointer).
 *
 *   dense_base            wide_base                                     map_base
 *   | 153 spans of 64 MiB | a span of 2^wide_shift bytes for each class | maps of all spans | spare
 *   |0|1|2| ...      |152|   0    |   1    |   2    | ...                |0|1|2| ...        |
 *
 * Wide spans and maps exist only for the classes that serve requests (MB_POOL_MAX). The dense tier
 * has addresses for all, as the fast path takes each address in it for a slot of its class; nothing
 * is mapped in the spans of the others.
 *
 * The class of an address is a subtraction and a shift: free reads no metadata. A pool uses its
 * dense span first, since dense page tables save page walks, then its wide one.
 *
 * docs/architecture.md, decisions 1 and 2, says where the places lie, and how the tiers shrink and
 * go where address space is short.
 *
 * Each span, and each free map, is mapped from its beginning as it is used, piece by piece (struct
 * extent). So limits on address space (RLIMIT_AS), locked memory, core files and top see what is
 * used.
 *
 * A process may have several copies of the library (in plugins, or under the drop-in). Each takes a
 * place for itself, by mapping the page at its beginning, and has its spans there, behind a random
 * number of bytes. The page says whose place it is (core/copies.h).
 *
 * Where no place is free, or the kernel or a tool (ThreadSanitizer) gives nothing there, the region
 * is reserved at once, anywhere and without access. Pieces are made accessible instead of mapped.
 */
#ifndef MEMORYBUCKET_CORE_REGION_H
#define MEMORYBUCKET_CORE_REGION_H

#include "core/os.h"
#include "core/size_class.h"

enum { DENSE_SHIFT = 26, WIDE_SHIFT_MAX = 35, WIDE_SHIFT_MIN = 18 };

#define DENSE_SPAN_BYTES ((size_t)1 << DENSE_SHIFT)
#define DENSE_TIER_BYTES (DENSE_SPAN_BYTES * SIZE_CLASS_COUNT)
#define REGION_BYTES_MIN (((size_t)1 << WIDE_SHIFT_MIN) * SIZE_CLASS_COUNT)
/* More than any place has. */
#define REGION_BYTES_MAX ((size_t)4 << 40)

/* No user-space pointer minus this base falls inside a span: every pointer reads as foreign. */
#define REGION_NOWHERE ((uintptr_t)1 << 63)

/*
 * Written once, by mbi_region_claim, before the first slot exists. Read by every free. relaxed
 * [REGION]: a thread got its pointer into the region, directly or through others, from a thread
 * that had seen these values, in an order that brings them along. A foreign pointer is foreign by
 * the old values, the new ones and any mix: with the old shift of 0 only as many of the wide
 * tier's first bytes as there are classes would match, and no slot or other mapping lies there.
 */
struct region {
    _Atomic uintptr_t base[SPAN_COUNT]; /* of each tier; REGION_NOWHERE without it */
    _Atomic unsigned wide_shift;
    _Atomic size_t classes; /* the first of all, which have spans */
    /* The rest is written before the first slot exists and read under no lock afterwards. */
    size_t bytes;                  /* of all spans; 0: no place, every request is the system's */
    size_t span_bytes[SPAN_COUNT]; /* of each class; 0 without that tier */
    uintptr_t map_base;
    size_t reserved_bytes; /* all at once; 0: nothing, it is mapped as it is used */
    char *place;           /* the page at its beginning; NULL without a place */
    /*
     * Shifted right by this, an address is a number of 128ths of the user space. relaxed [PLACES]:
     * a constructor writes it, before the library is called; an earlier call reads 0, and finds no
     * object in a place.
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

MBI_HOT_INLINE size_t region_classes(void)
{
    return atomic_load_explicit(&mbi_region.classes, memory_order_relaxed); /* [REGION] */
}

/* Whether the wide tier has the address, and of which class. */
MBI_HOT_INLINE bool region_is_in_wide(const void *address, size_t *class)
{
    uintptr_t base = region_base(SPAN_WIDE);
    unsigned shift = atomic_load_explicit(&mbi_region.wide_shift,
                                          memory_order_relaxed); /* [REGION] */
    size_t classes = region_classes();
    *class = ((uintptr_t)address - base) >> shift;
    return *class < classes;
}

static inline size_t region_wide_class_of(const void *address)
{
    size_t class;
    return region_is_in_wide(address, &class) ? class : SIZE_CLASS_COUNT;
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

/* Sets places_shift for this process's address space. */
void mbi_region_find_places(void);

/* The number of places; a place's first page; the place of an address, or a number beyond them. */
unsigned mbi_region_places(void);
char *mbi_region_place(unsigned number);
unsigned mbi_region_place_of(const void *address);

/*
 * Finds a place for the spans of the first `classes`, of at most `bytes_max` together. 0, or
 * -ENOMEM when there is none for REGION_BYTES_MIN; then every request is the system's. Called once,
 * under the init lock.
 */
int mbi_region_claim(size_t bytes_max, size_t classes);

/*
 * Bytes of address space that the region takes up now. relaxed [CLAIMED]: a statistic with many
 * writers, which orders nothing.
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
    bool foreign_near; /* foreign memory is near: map no more than is needed */
};

/* An extent of whole pages, [first, first + bytes), of which nothing is mapped yet. */
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
 * Maps on to `wanted_end`, a page's end. With `ahead` it maps some more, to be called seldom; a
 * caller that this fails for tries again without. False when the kernel gives no memory or the
 * extent ends before; foreign memory ends it for ever. Preserves errno.
 */
bool mbi_extent_grow(struct extent *extent, const char *wanted_end, bool ahead);

/* The memory for the free map (core/free_map.h) of one of a class's spans; not mapped yet. */
enum { REGION_MAP_BYTES_MIN = 128 << 10, REGION_MAP_PER_SPAN = 32 /* a 32nd of the span */ };
char *mbi_region_map(size_t class, enum span_name span, size_t *bytes);

/* So much of the place lies behind the maps; NULL without a place, or in a small one. */
#define REGION_SPARE_BYTES ((size_t)16 << 30)
char *mbi_region_spare(void);

#endif
