/* api: the contracts of memorybucket.h, call by call. */
#include "memorybucket/memorybucket.h"

#include "core/size_class.h"
#include "testing.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Opaque to the compiler, which otherwise warns about sizes that no object can have. */
static size_t opaque(size_t size)
{
    __asm__ volatile("" : "+r"(size));
    return size;
}

Test(api, alloc_gives_the_slot_of_the_size)
{
    for (size_t size = 1; size <= 512; size++) {
        void *object = mb_alloc(size);
        cr_assert_not_null(object);
        cr_assert_eq(mb_usable_size(object), round_up(size, 8));
        size_t alignment = size_class_alignment_bytes(size_class_of(size));
        cr_assert_eq((uintptr_t)object % alignment, 0);
        memset(object, 0xAB, size);
        mb_free(object);
    }
}

Test(api, good_size_is_what_a_request_gets)
{
    for (size_t size = 0; size <= 512; size++) {
        void *object = mb_alloc(size);
        cr_assert_eq(mb_good_size(size), mb_usable_size(object));
        cr_assert_eq(mb_good_size(mb_good_size(size)), mb_good_size(size));
        mb_free(object);
    }
    cr_assert_eq(mb_good_size(513), 513, "nobody knows what malloc adds");
    cr_assert_eq(mb_good_size(SIZE_MAX), SIZE_MAX);
}

/* Every byte behind the size is checked there. */
Test(api, good_size_is_the_size_in_checked_mode)
{
    setenv("MB_CHECK", "1", 1);
    cr_assert_eq(mb_good_size(13), 13, "it may be the first call of all");
    void *object = mb_alloc(13);
    cr_assert_eq(mb_usable_size(object), 13);
    mb_free(object);
}

Test(api, size_zero_is_a_unique_pointer)
{
    void *a = mb_alloc(0);
    void *b = mb_alloc(0);
    cr_assert(a != NULL && b != NULL && a != b);
    mb_free(a);
    mb_free(b);
}

Test(api, large_objects_are_the_systems)
{
    void *object = mb_alloc(513);
    cr_assert_geq(mb_usable_size(object), 513);
    memset(object, 1, 513);
    mb_free(object);
    void *system = malloc(100);
    mb_free(system); /* a foreign pointer is passed on */
}

Test(api, free_accepts_null_and_preserves_errno)
{
    void *small = mb_alloc(10);
    void *large = mb_alloc(10000);
    errno = 77;
    mb_free(NULL);
    mb_free_sized(NULL, 10);
    mb_free(small);
    mb_free(large);
    cr_assert_eq(errno, 77);
    cr_assert_eq(mb_usable_size(NULL), 0);
}

Test(api, a_wrong_size_is_only_a_hint)
{
    void *object = mb_alloc(100);
    mb_free_sized(object, 8);
    cr_assert_eq(mb_alloc(100), object, "it went back to its own pool");
    void *large = mb_alloc(5000);
    mb_free_sized(large, 3);
}

Test(api, impossible_sizes_fail_with_enomem)
{
    errno = 0;
    cr_assert_null(mb_alloc(opaque(SIZE_MAX)));
    cr_assert_eq(errno, ENOMEM);
    errno = 0;
    cr_assert_null(mb_alloc(opaque(PTRDIFF_MAX)));
    cr_assert_eq(errno, ENOMEM);
}

Test(api, calloc_zeroes_and_checks_the_product)
{
    for (size_t count = 1; count < 60; count++) {
        void *dirty = mb_alloc(count * 10);
        memset(dirty, 0xFF, count * 10);
        mb_free(dirty);
        unsigned char *object = mb_calloc(count, 10);
        for (size_t i = 0; i < count * 10; i++) {
            cr_assert_eq(object[i], 0);
        }
        mb_free(object);
    }
    errno = 0;
    cr_assert_null(mb_calloc(opaque(SIZE_MAX / 2), 3));
    cr_assert_eq(errno, ENOMEM);
    errno = 0;
    cr_assert_null(mb_calloc(opaque(SIZE_MAX / 8 + 2), 8), "8 bytes, but for the bits that are lost");
    cr_assert_eq(errno, ENOMEM);
    void *empty = mb_calloc(0, 10);
    cr_assert_not_null(empty);
    mb_free(empty);
}

Test(api, realloc_keeps_the_contents)
{
    static const size_t sizes[] = { 1, 8, 9, 100, 60, 500, 512, 513, 5000, 700, 300, 16, 0, 40 };
    unsigned char *object = mb_realloc(NULL, 1);
    object[0] = 0;
    size_t old_size = 1;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        object = mb_realloc(object, sizes[i]);
        cr_assert_not_null(object);
        cr_assert_geq(mb_usable_size(object), sizes[i]);
        size_t kept = old_size < sizes[i] ? old_size : sizes[i];
        for (size_t at = 0; at < kept; at++) {
            cr_assert_eq(object[at], (unsigned char)at, "byte %zu from %zu to %zu", at, old_size,
                         sizes[i]);
        }
        for (size_t at = 0; at < sizes[i]; at++) {
            object[at] = (unsigned char)at;
        }
        old_size = sizes[i];
        check_accounting(sizes[i] <= MB_SMALL_MAX ? 1 : 0); /* what it has left is free */
    }
    mb_free(object);
}

Test(api, realloc_stays_in_place_where_it_fits)
{
    void *object = mb_alloc(100);
    cr_assert_eq(mb_realloc(object, 104), object);
    cr_assert_eq(mb_realloc(object, 56), object);
    void *moved = mb_realloc(object, 40);
    cr_assert_neq(moved, object, "more than half of the slot was unused");
    mb_free(moved);
}

/* 16, 32, ... bytes are aligned to 16 also where they would fit a slot of 24, 40, ... */
Test(api, realloc_aligns_as_alloc_does)
{
    for (int i = 0; i < 8; i++) {
        char *object = mb_alloc(24);
        memset(object, i, 24);
        object = mb_realloc(object, 16);
        cr_assert_eq((uintptr_t)object % 16, 0);
        cr_assert_eq(object[15], i);
    }
}

Test(api, realloc_from_the_systems_memory)
{
    char *object = malloc(2000);
    strcpy(object, "kept");
    object = mb_realloc(object, 20);
    cr_assert_str_eq(object, "kept");
    cr_assert_eq(mb_usable_size(object), 24);
    mb_free(object);
}

Test(api, a_failed_realloc_changes_nothing)
{
    char *object = mb_alloc(16);
    strcpy(object, "kept");
    errno = 0;
    cr_assert_null(mb_realloc(object, opaque(PTRDIFF_MAX)));
    cr_assert_eq(errno, ENOMEM);
    cr_assert_str_eq(object, "kept");
    mb_free(object);
}

Test(api, aligned_alloc_aligns)
{
    for (size_t alignment = 1; alignment <= 8192; alignment *= 2) {
        for (size_t size = 0; size <= 1100; size += 11) {
            void *object = mb_aligned_alloc(alignment, size);
            cr_assert_not_null(object);
            cr_assert_eq((uintptr_t)object % alignment, 0);
            cr_assert_geq(mb_usable_size(object), size);
            memset(object, 1, size);
            mb_free(object);
        }
    }
    void *small = mb_aligned_alloc(64, 65);
    cr_assert_eq(mb_usable_size(small), 128, "small aligned requests come from the pools");
    mb_free(small);
}

Test(api, bad_alignments_are_refused)
{
    static const size_t bad[] = { 0, 3, 24, 48, SIZE_MAX };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        errno = 0;
        cr_assert_null(mb_aligned_alloc(opaque(bad[i]), 8));
        cr_assert_eq(errno, EINVAL);
    }
}

Test(api, impossible_aligned_sizes_are_refused)
{
    errno = 0;
    cr_assert_null(mb_aligned_alloc(64, opaque(SIZE_MAX / 2)));
    cr_assert_eq(errno, ENOMEM);
}

Test(api, fresh_objects_of_one_size_do_not_overlap)
{
    enum { COUNT = 3000 };
    static uint64_t *objects[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        objects[i] = mb_alloc(8);
        *objects[i] = i;
    }
    for (size_t i = 0; i < COUNT; i++) {
        cr_assert_eq(*objects[i], i);
        mb_free(objects[i]);
    }
}

/* tests/static/version.sh compares the text with the header's numbers. */
Test(api, version_is_three_numbers)
{
    const char *version = mb_version();
    cr_assert_eq(strspn(version, "0123456789."), strlen(version), "%s", version);
    cr_assert_eq(mb_version(), version);
}

/* inline.h's; this file cannot include it. */
void *mb_inline_call_alloc(size_t size);
void mb_inline_call_free(void *pointer);
void mb_inline_call_free_sized(void *pointer, size_t size);

/* A second name of a function is the one that a profiler or a debugger may show. */
Test(api, functions_for_inline_h_are_no_second_names)
{
    volatile uintptr_t functions[][2] = {
        { (uintptr_t)mb_alloc, (uintptr_t)mb_inline_call_alloc },
        { (uintptr_t)mb_free, (uintptr_t)mb_inline_call_free },
        { (uintptr_t)mb_free_sized, (uintptr_t)mb_inline_call_free_sized },
    };
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        cr_assert_neq(functions[i][0], functions[i][1], "%zu", i);
    }
}
