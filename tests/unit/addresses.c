/* addresses: what was added is found, where it was and once, also after the table has grown, and half a slot apart. */
#include "trace/addresses.h"

#include <criterion/criterion.h>
#include <stdlib.h>

TestSuite(addresses);

static void add(struct mb_addresses *addresses, uint64_t address, uint32_t object)
{
    uint32_t *place = mb_addresses_at(addresses, address);
    cr_assert_not_null(place);
    cr_assert_eq(*place, 0, "something lies at %lx", (unsigned long)address);
    *place = object + 1;
}

static void assert_taken(struct mb_addresses *addresses, uint64_t address, uint32_t expected)
{
    uint32_t object = ~expected;
    cr_assert(mb_addresses_take(addresses, address, &object), "%lx is lost", (unsigned long)address);
    cr_assert_eq(object, expected);
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
Test(addresses, blocks_without_objects_take_no_room_for_ever)
{
    struct mb_addresses addresses = { 0 };
    add(&addresses, 16, 7);
    size_t room = addresses.room;
    for (uint32_t i = 1; i < 100000; i++) {
        add(&addresses, 65536 * (uint64_t)i, i);
        assert_taken(&addresses, 65536 * (uint64_t)i, i);
    }
    cr_assert_eq(addresses.room, room, "room for %zu blocks, of which one has an object", addresses.room);
    assert_taken(&addresses, 16, 7);
    mb_addresses_free(&addresses);
}
