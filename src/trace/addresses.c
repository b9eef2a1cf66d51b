/* addresses: adding, taking out and growing. */
#include "trace/addresses.h"

#include <stdlib.h>

enum { ROOM_FIRST = 1024, SLOT_LOG = 4, BLOCK_LOG = 10 };

/* Neighbours in memory, which come and go together, have their places side by side. */
static size_t home_of(const struct mb_addresses *addresses, uint64_t address)
{
    uint64_t mixed = (address >> BLOCK_LOG) * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t within = address >> SLOT_LOG & ((1U << (BLOCK_LOG - SLOT_LOG)) - 1);
    return (size_t)((mixed >> addresses->shift) + within) & (addresses->room - 1);
}

static size_t after(const struct mb_addresses *addresses, size_t place)
{
    return (place + 1) & (addresses->room - 1);
}

/* Where the address is, or the empty place where it would be. */
static size_t find(const struct mb_addresses *addresses, uint64_t address)
{
    size_t place = home_of(addresses, address);
    while (addresses->places[place].key != 0 && addresses->places[place].key != address) {
        place = after(addresses, place);
    }
    return place;
}

static bool grow(struct mb_addresses *addresses)
{
    struct mb_addresses larger = { .room = addresses->room > 0 ? addresses->room * 2 : ROOM_FIRST };
    larger.shift = 64U - (unsigned)__builtin_ctzl(larger.room);
    larger.places = calloc(larger.room, sizeof *larger.places);
    if (larger.places == NULL) {
        return false;
    }
    for (size_t i = 0; i < addresses->room; i++) {
        if (addresses->places[i].key != 0) {
            larger.places[find(&larger, addresses->places[i].key)] = addresses->places[i];
        }
    }
    free(addresses->places);
    addresses->places = larger.places;
    addresses->room = larger.room;
    addresses->shift = larger.shift;
    return true;
}

bool mb_addresses_add(struct mb_addresses *addresses, uint64_t address, uint32_t object)
{
    if (addresses->count * 2 >= addresses->room && !grow(addresses)) {
        return false;
    }
    addresses->places[find(addresses, address)] = (struct mb_address){ address, object };
    addresses->count++;
    return true;
}

bool mb_addresses_take(struct mb_addresses *addresses, uint64_t address, uint32_t *object)
{
    if (addresses->room == 0) {
        return false;
    }
    size_t hole = find(addresses, address);
    if (addresses->places[hole].key == 0) {
        return false;
    }
    *object = addresses->places[hole].object;
    /* What lies behind the hole and could not have gone further ahead moves into it. */
    for (size_t i = after(addresses, hole); addresses->places[i].key != 0;
         i = after(addresses, i)) {
        size_t home = home_of(addresses, addresses->places[i].key);
        size_t mask = addresses->room - 1;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            addresses->places[hole] = addresses->places[i];
            hole = i;
        }
    }
    addresses->places[hole].key = 0;
    addresses->count--;
    return true;
}

void mb_addresses_free(struct mb_addresses *addresses)
{
    free(addresses->places);
    *addresses = (struct mb_addresses){ 0 };
}
