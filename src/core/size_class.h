/*
 * size_class: which pool serves a request.
 *
 * Ladder: above chain; pure arithmetic. Callers: everything that turns bytes into a class.
 *
 *   class c serves requests of 8c+1 .. 8c+8 bytes from slots of 8c+8 bytes.
 *
 * A slot's alignment is the largest power of two that divides its size: spans start on a page
 * (plus whole pages of colour), and slots tile them without gaps.
 */
#ifndef MEMORYBUCKET_CORE_SIZE_CLASS_H
#define MEMORYBUCKET_CORE_SIZE_CLASS_H

#include "core/chain.h"

enum {
    SIZE_CLASS_COUNT = 64,
    SIZE_STEP_BYTES = 8,
    SMALL_BYTES_MAX = SIZE_CLASS_COUNT * SIZE_STEP_BYTES,
    /* What the C ABI expects of malloc for requests that can hold such an object. */
    ABI_ALIGNMENT_BYTES = 16,
};
_Static_assert(SMALL_BYTES_MAX == 512, "the border between pools and the system allocator");
_Static_assert(SIZE_STEP_BYTES == SLOT_UNIT_BYTES, "the smallest slot holds exactly a link");

/* The spans of each pool, in the order in which it uses them (core/region.h). */
enum span_name { SPAN_DENSE, SPAN_WIDE, SPAN_COUNT };

/* True for 1..512. Size 0 wraps around, and so leaves the fast path as the large ones do. */
MBI_HOT_INLINE bool size_is_small(size_t size_bytes)
{
    return size_bytes - 1 < SMALL_BYTES_MAX;
}

MBI_HOT_INLINE size_t size_class_of(size_t size_bytes)
{
    return (size_bytes - 1) / SIZE_STEP_BYTES;
}

/*
 * The same as an offset, SIZE_OFFSET_BYTES times the class, in one AND. The fast paths use this:
 * dividing, and then indexing, would shift down and up again.
 */
enum { SIZE_OFFSET_BYTES = SIZE_STEP_BYTES };
MBI_HOT_INLINE size_t size_class_offset_of(size_t size_bytes)
{
    return (size_bytes - 1) & ~(size_t)(SIZE_STEP_BYTES - 1);
}

MBI_HOT_INLINE size_t size_class_to_offset(size_t class)
{
    return class * SIZE_OFFSET_BYTES;
}

MBI_HOT_INLINE size_t size_class_from_offset(size_t offset)
{
    return offset / SIZE_OFFSET_BYTES;
}

/* The offset in bytes into a table of `entry_bytes` a class, a multiple of SIZE_OFFSET_BYTES. */
MBI_HOT_INLINE size_t size_class_scale_offset(size_t offset, size_t entry_bytes)
{
    return offset * (entry_bytes / SIZE_OFFSET_BYTES);
}

/*
 * size_class_offset_of for malloc's contract, also in one AND: slots of 16, 32, 48, ... bytes,
 * which are aligned to 16. Requests of up to 8 bytes get 16, too: that saves three instructions.
 */
MBI_HOT_INLINE size_t size_class_offset_of_abi_aligned(size_t size_bytes)
{
    return ((size_bytes - 1) & ~(size_t)(ABI_ALIGNMENT_BYTES - 1)) + SIZE_STEP_BYTES;
}

MBI_HOT_INLINE size_t size_class_slot_bytes(size_t class)
{
    return (class + 1) * SIZE_STEP_BYTES;
}

/* The largest power of two that divides the slot's size. */
MBI_HOT_INLINE size_t size_class_alignment_bytes(size_t class)
{
    size_t slot_bytes = size_class_slot_bytes(class);
    return slot_bytes & (~slot_bytes + 1);
}

/* The smallest power of two that holds the class's slots: less than twice as much, at most 512. */
static inline size_t size_class_power_of_two_bytes(size_t class)
{
    return (size_t)1 << (64 - __builtin_clzll(size_class_slot_bytes(class) - 1));
}

/* What mb_alloc and malloc promise of a slot of this class. */
MBI_HOT_INLINE size_t size_class_promised_alignment_bytes(size_t class)
{
    size_t alignment_bytes = size_class_alignment_bytes(class);
    return size_min(alignment_bytes, ABI_ALIGNMENT_BYTES);
}

/* The fewest slots that fill whole cache lines: runs of them share no line with other runs. */
static inline size_t size_class_line_rounds(size_t class)
{
    size_t alignment_bytes = size_class_alignment_bytes(class);
    return LINE_BYTES / size_min(alignment_bytes, LINE_BYTES);
}

/*
 * The smallest class above `class` whose slots are aligned to `alignment_bytes`, a power of two up
 * to 512; SIZE_CLASS_COUNT when there is none.
 */
static inline size_t size_class_next_aligned(size_t class, size_t alignment_bytes)
{
    size_t step = size_max(alignment_bytes / SIZE_STEP_BYTES, 1);
    return size_min((class + 1) / step * step + step - 1, SIZE_CLASS_COUNT);
}

/*
 * The class for an aligned request; `alignment_bytes` is a power of two.
 * SIZE_CLASS_COUNT when no pool can serve it.
 */
static inline size_t size_class_of_aligned(size_t alignment_bytes, size_t size_bytes)
{
    if (alignment_bytes > SMALL_BYTES_MAX || size_bytes > SMALL_BYTES_MAX) {
        return SIZE_CLASS_COUNT;
    }
    size_t bytes = round_up(size_max(size_bytes, 1), alignment_bytes);
    return bytes <= SMALL_BYTES_MAX ? size_class_of(bytes) : SIZE_CLASS_COUNT;
}

#endif
