/* size_class: every size has the smallest slot that holds it. */
#include "core/size_class.h"

#include "memorybucket/inline.h"

#include <criterion/criterion.h>

Test(size_class, every_size_gets_the_smallest_class)
{
    for (size_t size = 1; size <= POOL_BYTES_MAX; size++) {
        size_t class = size_class_of(size);
        cr_assert(class < SIZE_CLASS_COUNT);
        cr_assert(size_class_slot_bytes(class) >= size);
        size_t step = size <= SMALL_BYTES_MAX ? SIZE_STEP_BYTES : ABI_ALIGNMENT_BYTES;
        if (size <= LINEAR_BYTES_MAX) {
            cr_assert_eq(size_class_slot_bytes(class), round_up(size, step));
        } else {
            cr_assert_lt(size_class_slot_bytes(class - 1), size);
        }
    }
}

/* What mb_alloc promises of objects that were the system allocator's before the border moved. */
Test(size_class, upper_slots_are_aligned_to_16)
{
    for (size_t class = SMALL_CLASS_COUNT; class < SIZE_CLASS_COUNT; class++) {
        cr_assert_eq(size_class_slot_bytes(class) % ABI_ALIGNMENT_BYTES, 0);
        cr_assert_eq(size_class_promised_alignment_bytes(class), ABI_ALIGNMENT_BYTES);
    }
}

/* So that no size below a border has a class beyond the border's, by either rule. */
Test(size_class, borders_are_the_last_class_of_both_rules)
{
    for (size_t size = SMALL_BYTES_MAX; size <= LINEAR_BYTES_MAX; size++) {
        size_t border = size_class_slot_bytes(size_class_of(size));
        size_t abi_class = size_class_from_offset(size_class_offset_of_abi_aligned(border));
        cr_assert_eq(abi_class, size_class_of(border), "%zu bytes", border);
    }
}

/* Of a request at most a fifth, and of slots a twelfth on average. */
Test(size_class, little_is_lost_to_the_slots_end)
{
    double lost = 0;
    for (size_t size = SMALL_BYTES_MAX + 1; size <= POOL_BYTES_MAX; size++) {
        size_t slot_bytes = size_class_slot_bytes(size_class_of(size));
        cr_assert_leq(5 * (slot_bytes - size), size, "%zu bytes in %zu", size, slot_bytes);
        lost += (double)(slot_bytes - size) / (double)slot_bytes;
    }
    cr_assert_leq(lost / (POOL_BYTES_MAX - SMALL_BYTES_MAX), 1.0 / 12);
    cr_assert_eq(size_class_of(POOL_BYTES_MAX), SIZE_CLASS_COUNT - 1);
}

Test(size_class, small_is_1_to_512)
{
    cr_assert(!size_is_small(0));
    cr_assert(size_is_small(1) && size_is_small(512));
    cr_assert(!size_is_small(513) && !size_is_small(SIZE_MAX));
}

Test(size_class, offsets_are_eight_bytes_a_class)
{
    for (size_t size = 1; size <= LINEAR_BYTES_MAX; size++) {
        cr_assert_eq(size_class_offset_of(size), size_class_to_offset(size_class_of(size)));
        cr_assert_eq(size_class_from_offset(size_class_offset_of(size)), size_class_of(size));
    }
}

Test(size_class, inline_h_has_the_same_arithmetic)
{
    for (size_t size = 1; size <= LINEAR_BYTES_MAX; size++) {
        size_t offset = size_class_scale_offset(size_class_offset_of(size), 16);
        cr_assert_eq(MB_INLINE_CLASS_OF(size), size_class_of(size));
        cr_assert_eq(MB_INLINE_OFFSET_OF(size, 16), offset);
        cr_assert_eq(offset, size_class_of(size) * 16, "entries of 16 bytes");
    }
}

Test(size_class, abi_aligned_classes_give_16_bytes)
{
    for (size_t size = 1; size <= LINEAR_BYTES_MAX; size++) {
        size_t offset = size_class_offset_of_abi_aligned(size);
        cr_assert_eq(offset % SIZE_OFFSET_BYTES, 0);
        size_t class = size_class_from_offset(offset);
        cr_assert(class < SIZE_CLASS_COUNT);
        cr_assert(size_class_slot_bytes(class) >= size);
        cr_assert(size_class_slot_bytes(class) < size + 16);
        cr_assert(size_class_alignment_bytes(class) >= 16);
    }
}

Test(size_class, runs_are_the_fewest_slots_of_whole_lines)
{
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        size_t rounds = 1;
        while (rounds * size_class_slot_bytes(class) % LINE_BYTES != 0) {
            rounds++;
        }
        cr_assert_eq(size_class_line_rounds(class), rounds);
    }
}

Test(size_class, aligned_classes_hold_and_align)
{
    for (size_t alignment = 1; alignment <= 8192; alignment *= 2) {
        for (size_t size = 0; size <= POOL_BYTES_MAX + 8; size++) {
            size_t bytes_max = size % 2 == 0 ? SMALL_BYTES_MAX : POOL_BYTES_MAX;
            size_t class = size_class_of_aligned(alignment, size, bytes_max);
            size_t bytes = round_up(size != 0 ? size : 1, alignment);
            if (bytes > bytes_max || alignment > SLOT_ALIGNMENT_BYTES_MAX) {
                cr_assert_eq(class, SIZE_CLASS_COUNT);
            } else {
                cr_assert(size_class_slot_bytes(class) >= size);
                cr_assert_geq(size_class_alignment_bytes(class), alignment);
                cr_assert_eq(size_class_slot_bytes(class) % alignment, 0);
            }
        }
    }
}

Test(size_class, next_aligned_visits_every_aligned_class_once)
{
    for (size_t alignment = 1; alignment <= SLOT_ALIGNMENT_BYTES_MAX; alignment *= 2) {
        for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
            size_t next = size_class_next_aligned(class, alignment);
            size_t expected = class + 1;
            while (expected < SIZE_CLASS_COUNT
                   && size_class_slot_bytes(expected) % alignment != 0) {
                expected++;
            }
            cr_assert_eq(next, expected, "after class %zu for %zu: %zu", class, alignment, next);
        }
    }
}
