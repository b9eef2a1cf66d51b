/*
 * addresses: what was put in is found, where it was and once, also after the table was made anew, half a slot apart, in
 * the place of another object, with numbers above the table's room, and as many bytes for large objects as for small.
 */
#include "trace/addresses.h"

#include <criterion/criterion.h>
#include <stdlib.h>

TestSuite(addresses);

static void add(struct mb_addresses *addresses, uint64_t address, uint32_t object)
{
    uint32_t before = object;
    cr_assert(mb_addresses_put(addresses, address, object, &before));
    cr_assert_eq(before, ADDRESSES_NONE, "%u lies at %lx", before, (unsigned long)address);
}

static void assert_taken(struct mb_addresses *addresses, uint64_t address, uint32_t expected)
{
    uint32_t object = ~expected;
    cr_assert(mb_addresses_take(addresses, address, &object), "%lx is lost", (unsigned long)address);
    cr_assert_eq(object, expected, "%u lies at %lx, not %u", object, (unsigned long)address, expected);
    cr_assert_not(mb_addresses_take(addresses, address, &object), "%lx is there twice", (unsigned long)address);
}

Test(addresses, nothing_is_in_the_empty_table)
{
    struct mb_addresses addresses = { 0 };
    uint32_t object;
    cr_assert_not(mb_addresses_take(&addresses, 4096, &object));
    mb_addresses_prefetch(&addresses, 4096);
    mb_addresses_free(&addresses);
}

Test(addresses, each_eighth_byte_has_a_place_of_its_own)
{
    enum { COUNT = 1000 };
    struct mb_addresses addresses = { 0 };
    for (uint32_t i = 0; i < COUNT; i++) {
        add(&addresses, 1000000 + 8 * (uint64_t)i, i);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_taken(&addresses, 1000000 + 8 * (uint64_t)i, i);
    }
    mb_addresses_free(&addresses);
}

Test(addresses, all_stay_while_the_table_grows)
{
    enum { COUNT = 20000, APART = 5008 };
    struct mb_addresses addresses = { 0 };
    for (uint32_t i = 0; i < COUNT; i++) {
        add(&addresses, (UINT64_C(1) << 46) + APART * (uint64_t)i, i);
        mb_addresses_prefetch(&addresses, (uint64_t)i * 16);
    }
    for (uint32_t i = COUNT; i-- > 0;) {
        assert_taken(&addresses, (UINT64_C(1) << 46) + APART * (uint64_t)i, i);
    }
    mb_addresses_free(&addresses);
}

/* A program that wanders through its address space, one object at a time. */
Test(addresses, freed_addresses_take_no_room_for_ever)
{
    struct mb_addresses addresses = { 0 };
    add(&addresses, 16, 7);
    size_t room = addresses.room;
    for (uint32_t i = 1; i < 100000; i++) {
        add(&addresses, 65536 * (uint64_t)i, i % 100);
        assert_taken(&addresses, 65536 * (uint64_t)i, i % 100);
    }
    cr_assert_eq(addresses.room, room, "room for %zu addresses, at one of which an object lies", addresses.room);
    assert_taken(&addresses, 16, 7);
    mb_addresses_free(&addresses);
}

Test(addresses, what_lay_there_before_is_told)
{
    struct mb_addresses addresses = { 0 };
    uint32_t before;
    add(&addresses, 48, 1);
    cr_assert(mb_addresses_put(&addresses, 48, 0, &before));
    cr_assert_eq(before, 1);
    cr_assert(mb_addresses_put(&addresses, 48, 2, &before));
    cr_assert_eq(before, 0);
    assert_taken(&addresses, 48, 2);
    add(&addresses, 48, 3);
    assert_taken(&addresses, 48, 3);
    mb_addresses_free(&addresses);
}

/* After a peak, few objects may live, with the numbers of many. */
Test(addresses, numbers_may_be_larger_than_the_room)
{
    struct mb_addresses addresses = { 0 };
    add(&addresses, 160, 5);
    add(&addresses, 320, 1000000);
    add(&addresses, 480, 1023);
    assert_taken(&addresses, 320, 1000000);
    assert_taken(&addresses, 480, 1023);
    assert_taken(&addresses, 160, 5);
    mb_addresses_free(&addresses);
}

/* The highest bits, and the lowest that an address has. */
Test(addresses, all_bits_of_an_address_count)
{
    struct mb_addresses addresses = { 0 };
    for (unsigned bit = 3; bit < 48; bit++) {
        add(&addresses, UINT64_C(1) << bit, bit);
    }
    for (unsigned bit = 3; bit < 48; bit++) {
        uint32_t object;
        cr_assert_not(mb_addresses_take(&addresses, (UINT64_C(1) << bit) + 40, &object));
        assert_taken(&addresses, UINT64_C(1) << bit, bit);
    }
    mb_addresses_free(&addresses);
}

/* Of all addresses that lie as one of this step, with as many objects as a heap has at once. */
static void assert_bytes(uint64_t step)
{
    enum { COUNT = 1000000, BYTES_MAX = 32 };
    struct mb_addresses addresses = { 0 };
    for (uint32_t i = 0; i < COUNT; i++) {
        add(&addresses, (UINT64_C(0x7f12) << 32) + step * i, i);
    }
    size_t bytes = addresses.room * sizeof *addresses.entries;
    cr_assert_leq(bytes, (size_t)COUNT * BYTES_MAX, "%zu bytes, %lu apart", bytes, (unsigned long)step);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_taken(&addresses, (UINT64_C(0x7f12) << 32) + step * i, i);
    }
    mb_addresses_free(&addresses);
}

Test(addresses, large_objects_take_no_more_than_small_ones)
{
    assert_bytes(16);
    assert_bytes(1040);
    assert_bytes(4096);
    assert_bytes(UINT64_C(1) << 20);
}

/* Against a plain array of what lies where, with frees, moves and addresses that come back, through some sizes. */
Test(addresses, a_random_program_finds_all_of_its_objects)
{
    enum { PLACES = 5000, STEPS = 400000 };
    static uint32_t there[PLACES];
    struct mb_addresses addresses = { 0 };
    uint32_t random = 1;
    for (uint32_t i = 0; i < PLACES; i++) {
        there[i] = ADDRESSES_NONE;
    }
    for (int step = 0; step < STEPS; step++) {
        random = random * 1664525 + 1013904223;
        uint32_t place = (random >> 8) % (step < STEPS / 2 ? PLACES : PLACES / 10);
        uint64_t address = (UINT64_C(0x5581) << 32) + (uint64_t)place * 24;
        uint32_t object = ADDRESSES_NONE;
        if (random >> 31 != 0) {
            cr_assert(mb_addresses_put(&addresses, address, place ^ (uint32_t)step % 4096, &object));
            cr_assert_eq(object, there[place]);
            there[place] = place ^ (uint32_t)step % 4096;
        } else if (mb_addresses_take(&addresses, address, &object)) {
            cr_assert_eq(object, there[place]);
            there[place] = ADDRESSES_NONE;
        } else {
            cr_assert_eq(there[place], ADDRESSES_NONE, "place %u is lost", place);
        }
    }
    mb_addresses_free(&addresses);
}
