/*
 * size_class: which pool serves a request.
 *
 * Ladder: above chain; pure arithmetic, and a table. Callers: everything that turns bytes into a
 * class.
 *
 *   classes      requests of               slots of
 *     0 ..  63   8c+1 .. 8c+8 bytes        8c+8 bytes: small
 *    64 .. 127   the same                  the same in whole 16 bytes: upper, and linear like small
 *   128 .. 152   five a doubling           1,152, 1,280, 1,536, 1,792, 2,048, 2,304 ... 32,768:
 *                                          9, 10, 12, 14 and 16 of its eighths; upper
 *
 * docs/architecture.md, decision 15, says why.
 *
 * Upper pools are used up to MB_POOL_MAX bytes, rounded up to one of their slots (config.h). Their
 * slots are aligned to 16 bytes at least, as the system allocator's objects of such sizes are: so
 * two linear classes each have slots of one size, and malloc uses the second of them only.
 *
 * A slot's alignment is the largest power of two that divides its size, a page at most: spans start
 * on a page (plus whole pages of colour), and slots tile them without gaps.
 */
#ifndef MEMORYBUCKET_CORE_SIZE_CLASS_H
#define MEMORYBUCKET_CORE_SIZE_CLASS_H

#include "core/chain.h"

enum {
    SIZE_STEP_BYTES = 8,
    SMALL_CLASS_COUNT = 64,
    SMALL_BYTES_MAX = SMALL_CLASS_COUNT * SIZE_STEP_BYTES,
    LINEAR_CLASS_COUNT = 128,
    LINEAR_BYTES_MAX = LINEAR_CLASS_COUNT * SIZE_STEP_BYTES,
    /* Classes of a doubling above LINEAR_BYTES_MAX, and the doublings. */
    DOUBLING_CLASSES = 5,
    DOUBLINGS = 5,
    /* An eighth of the first doubling: all slots above LINEAR_BYTES_MAX are multiples of it. */
    DOUBLING_STEP_BYTES = LINEAR_BYTES_MAX / 8,
    SIZE_CLASS_COUNT = LINEAR_CLASS_COUNT + DOUBLINGS * DOUBLING_CLASSES,
    POOL_BYTES_MAX = LINEAR_BYTES_MAX << DOUBLINGS,
    /* What the C ABI expects of malloc for requests that can hold such an object. */
    ABI_ALIGNMENT_BYTES = 16,
    /* The least page there is: what every page-aligned slot is aligned to. */
    SLOT_ALIGNMENT_BYTES_MAX = 4096,
};
_Static_assert(SMALL_BYTES_MAX == 512, "the library's border, unless MB_POOL_MAX moves it");
_Static_assert(POOL_BYTES_MAX == 32768 && SIZE_CLASS_COUNT == 153, "the largest slot");
_Static_assert(SIZE_STEP_BYTES == SLOT_UNIT_BYTES, "the smallest slot holds exactly a link");

/* The spans of each pool, in the order in which it uses them (core/region.h). */
enum span_name { SPAN_DENSE, SPAN_WIDE, SPAN_COUNT };

/* True for 1..512. Size 0 wraps around, and so leaves the fast path as the large ones do. */
MBI_HOT_INLINE bool size_is_small(size_t size_bytes)
{
    return size_bytes - 1 < SMALL_BYTES_MAX;
}

/* For 1..LINEAR_BYTES_MAX. */
MBI_HOT_INLINE size_t size_class_of_linear(size_t size_bytes)
{
    return (size_bytes - 1) / SIZE_STEP_BYTES;
}

/*
 * In size_class.c: the classes of the doublings, for each DOUBLING_STEP_BYTES of size. The first
 * ones, up to LINEAR_BYTES_MAX, are not used.
 */
enum { SIZE_CLASSES_LENGTH = POOL_BYTES_MAX / DOUBLING_STEP_BYTES };
extern MBI_HIDDEN const uint8_t mbi_size_classes[SIZE_CLASSES_LENGTH];

/* For LINEAR_BYTES_MAX+1 .. POOL_BYTES_MAX. */
MBI_HOT_INLINE size_t size_class_of_doubling(size_t size_bytes)
{
    return mbi_size_classes[(size_bytes - 1) / DOUBLING_STEP_BYTES];
}

/* For 1..POOL_BYTES_MAX. */
MBI_HOT_INLINE size_t size_class_of(size_t size_bytes)
{
    return size_bytes <= LINEAR_BYTES_MAX ? size_class_of_linear(size_bytes)
                                          : size_class_of_doubling(size_bytes);
}

/*
 * The class of a linear size as an offset, SIZE_OFFSET_BYTES times the class, in one AND. The fast
 * paths use this: dividing, and then indexing, would shift down and up again.
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
    assert(class < SIZE_CLASS_COUNT);
    if (class < LINEAR_CLASS_COUNT) {
        size_t bytes = (class + 1) * SIZE_STEP_BYTES;
        return class < SMALL_CLASS_COUNT ? bytes : round_up(bytes, ABI_ALIGNMENT_BYTES);
    }
    size_t doubling = (class - LINEAR_CLASS_COUNT) / DOUBLING_CLASSES;
    size_t in_doubling = (class - LINEAR_CLASS_COUNT) % DOUBLING_CLASSES;
    size_t eighths = 8 + 2 * in_doubling + (in_doubling == 0);
    return (eighths * DOUBLING_STEP_BYTES) << doubling;
}

/* The largest power of two that divides the slot's size, at most SLOT_ALIGNMENT_BYTES_MAX. */
MBI_HOT_INLINE size_t size_class_alignment_bytes(size_t class)
{
    size_t slot_bytes = size_class_slot_bytes(class);
    return size_min(slot_bytes & (~slot_bytes + 1), SLOT_ALIGNMENT_BYTES_MAX);
}

/* The smallest power of two that holds the class's slots: less than twice as much. */
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
 * The smallest class above `class` whose slots are aligned to `alignment_bytes`, a power of two;
 * SIZE_CLASS_COUNT when there is none.
 */
static inline size_t size_class_next_aligned(size_t class, size_t alignment_bytes)
{
    do {
        class++;
    } while (class < SIZE_CLASS_COUNT && size_class_alignment_bytes(class) < alignment_bytes);
    return class;
}

/*
 * The class for an aligned request where pools serve up to `bytes_max`; `alignment_bytes` is a
 * power of two. SIZE_CLASS_COUNT when no pool can serve it. A size that is rounded up to its
 * alignment has a slot that is as much aligned: the slots of a doubling are multiples of its
 * eighth, and each multiple of its quarter is a slot.
 */
static inline size_t size_class_of_aligned(size_t alignment_bytes, size_t size_bytes,
                                           size_t bytes_max)
{
    if (alignment_bytes > SLOT_ALIGNMENT_BYTES_MAX || size_bytes > bytes_max) {
        return SIZE_CLASS_COUNT;
    }
    size_t bytes = round_up(size_max(size_bytes, 1), alignment_bytes);
    return bytes <= bytes_max ? size_class_of(bytes) : SIZE_CLASS_COUNT;
}

#endif
