/* addresses: the table made anew, and ending. */
#include "trace/addresses.h"

#include <stdlib.h>

enum { ROOM_FIRST = 1024 };

/* What stands in an entry, as its object's address scattered over all the table. */
static uint64_t scattered_of(const struct mb_addresses *addresses, size_t at, uint64_t entry)
{
    unsigned bits = ADDRESSES_BITS - addresses->log;
    uint64_t rest = entry >> (addresses->log + 1);
    uint64_t home = (at - (rest >> bits) + 1) & (addresses->room - 1);
    return home << bits | (rest & ((UINT64_C(1) << bits) - 1));
}

/* False where it lies too far from where its search begins. */
static bool move(struct mb_addresses *to, uint64_t scattered, uint64_t object)
{
    struct mb_addresses_search search = mb_addresses_begin_scattered(to, scattered);
    uint64_t *entry = mb_addresses_find(to, &search);
    *entry = search.rest << (to->log + 1) | object << 1 | 1;
    to->count++;
    return search.rest >> (63 - to->log) == 0;
}

enum made { MADE, TOO_SMALL, NO_MEMORY };

/* Entries without an object go. */
static enum made make_of(struct mb_addresses *addresses, size_t room)
{
    struct mb_addresses made = { .room = room, .log = (unsigned)__builtin_ctzl(room) };
    made.entries = calloc(room, sizeof *made.entries);
    if (made.entries == NULL) {
        return NO_MEMORY;
    }
    for (size_t at = 0; at < addresses->room; at++) {
        uint64_t entry = addresses->entries[at];
        if ((entry & 1) != 0
            && !move(&made, scattered_of(addresses, at, entry),
                     entry >> 1 & (addresses->room - 1))) {
            free(made.entries);
            return TOO_SMALL;
        }
    }
    free(addresses->entries);
    *addresses = made;
    return MADE;
}

static size_t count_objects(const struct mb_addresses *addresses)
{
    size_t count = 0;
    for (size_t at = 0; at < addresses->room; at++) {
        count += addresses->entries[at] & 1;
    }
    return count;
}

bool mb_addresses_make_anew(struct mb_addresses *addresses, uint32_t object)
{
    /* At least a quarter of the room is then there for new addresses. */
    size_t objects = count_objects(addresses);
    size_t room = addresses->room > 0 ? addresses->room : ROOM_FIRST;
    /* With room for both, an entry was too far from where the search for it began. */
    room *= addresses->count * 2 < addresses->room && object < addresses->room ? 2 : 1;
    while (objects * 4 > room || object >= room) {
        room *= 2;
    }
    enum made made;
    while ((made = make_of(addresses, room)) == TOO_SMALL) {
        room *= 2;
    }
    return made == MADE;
}

void mb_addresses_free(struct mb_addresses *addresses)
{
    free(addresses->entries);
    *addresses = (struct mb_addresses){ 0 };
}
