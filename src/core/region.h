/*
 * region: the one reservation, its two tiers of 64 spans, and the class of an address.
 *
 * Ladder: above os and config. Callers: pool (spans), the fast paths (class of a pointer).
 *
 *   dense_base            wide_base
 *   | 64 spans of 64 MiB | 64 spans of 2^wide_shift bytes, 32 GiB when there is room       |
 *   |0|1|2| ...       |63|   0    |   1    |   2    | ...                         |   63   |
 *
 * The class of an address is a subtraction and a shift: free reads no metadata. A pool commits
 * its dense span first, since dense page tables save page walks, then its wide one.
 *
 * When the address space is short the wide tier shrinks by halves; when it would be no larger
 * than a dense one it goes, and below that the wide tier stands alone with spans of 32 MiB down
 * to 1 MiB. The dense tier's shift so remains a constant of the fast path.
 */
#ifndef MEMORYBUCKET_CORE_REGION_H
#define MEMORYBUCKET_CORE_REGION_H

#include "core/size_class.h"

enum { DENSE_SHIFT = 26, WIDE_SHIFT_MAX = 35, WIDE_SHIFT_MIN = 20 };

#define DENSE_SPAN_BYTES ((size_t)1 << DENSE_SHIFT)
#define DENSE_TIER_BYTES (DENSE_SPAN_BYTES * SIZE_CLASS_COUNT)
#define REGION_BYTES_MIN (((size_t)1 << WIDE_SHIFT_MIN) * SIZE_CLASS_COUNT)
#define REGION_BYTES_MAX (DENSE_TIER_BYTES + ((size_t)1 << WIDE_SHIFT_MAX) * SIZE_CLASS_COUNT)

/*
 * A base that no user-space pointer is near: every pointer minus it is far beyond the last span.
 */
#define REGION_NOWHERE ((uintptr_t)1 << 63)

/*
 * Written once, by mbi_region_reserve, before the first slot exists. Read by every free. relaxed
 * [REGION]: a thread that holds a pointer into the region got it, directly or through others,
 * from a thread that had seen these values, and whatever handed it the pointer orders it after
 * that. A thread that holds a foreign pointer gets "not ours" from the old values, the new ones
 * and any mix: with the old shift of 0 only the first 64 bytes at wide_base would match, and no
 * slot or other mapping lies there.
 */
struct region {
    _Atomic uintptr_t dense_base;
    _Atomic uintptr_t wide_base;
    _Atomic unsigned wide_shift;
    /* The rest is written before the first slot exists and read under no lock afterwards. */
    size_t reserved_bytes; /* 0: no reservation could be had, every request is the system's */
    size_t dense_span_bytes; /* DENSE_SPAN_BYTES, or 0 without that tier */
    size_t wide_span_bytes;  /* 1 << wide_shift, or 0 without that tier */
};

extern MBI_HIDDEN struct region mbi_region;

/* The class of the dense span that holds `address`; SIZE_CLASS_COUNT or more outside that tier. */
MBI_HOT_INLINE size_t region_dense_class_of(const void *address, uintptr_t dense_base)
{
    return ((uintptr_t)address - dense_base) >> DENSE_SHIFT;
}

/* The same for the wide tier. */
MBI_HOT_INLINE size_t region_wide_class_of(const void *address)
{
    uintptr_t base = atomic_load_explicit(&mbi_region.wide_base,
                                          memory_order_relaxed); /* [REGION] */
    unsigned shift = atomic_load_explicit(&mbi_region.wide_shift,
                                          memory_order_relaxed); /* [REGION] */
    return ((uintptr_t)address - base) >> shift;
}

/* The dense tier's first byte; REGION_NOWHERE without one. */
MBI_HOT_INLINE uintptr_t region_dense_base(void)
{
    return atomic_load_explicit(&mbi_region.dense_base, memory_order_relaxed); /* [REGION] */
}

/* The class of the span that holds `address`; SIZE_CLASS_COUNT or more for all other addresses. */
MBI_HOT_INLINE size_t region_class_of(const void *address)
{
    size_t class = region_dense_class_of(address, region_dense_base());
    return MBI_LIKELY(class < SIZE_CLASS_COUNT) ? class : region_wide_class_of(address);
}

/*
 * Reserves at most `bytes_max` of address space, and at most half of RLIMIT_AS, less and less
 * until the kernel agrees. Returns 0, or -ENOMEM when not even REGION_BYTES_MIN could be had; the
 * library then works on the system allocator alone. Called once, under the init lock.
 */
int mbi_region_reserve(size_t bytes_max);

/* First byte of a class's span in each tier; NULL where the tier does not exist. */
char *mbi_region_dense_span(size_t class);
char *mbi_region_wide_span(size_t class);

#endif
