/*
 * addresses: which object lies at which address.
 *
 * Ladder: below merge.
 *
 * A hash table with open addressing, of 8 bytes an entry: so an address costs one line of a cache,
 * and 16 to 64 bytes of memory for each object that lives, whatever its size. What is freed stays
 * as an entry without an object, for an address comes back soon, until the table is made anew.
 *
 * An entry has room for no address. But a one-to-one function scatters addresses over the table, so
 * that the place where the search for one begins says some of its bits, and the entry has the rest:
 *
 *   63 ..                46 | ..                     | log .. 1          | 0
 *   steps from there, plus 1 | 45 - log bits of address | object: log bits | whether it lies there
 *
 * An entry that is all 0 is empty. The table has 2^log entries, and at least as many as objects are
 * numbered: so the number fits, too.
 */
#ifndef MEMORYBUCKET_TRACE_ADDRESSES_H
#define MEMORYBUCKET_TRACE_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero is the empty one. */
struct mb_addresses {
    uint64_t *entries;
    size_t room;  /* of them: 0, or 2^log */
    size_t count; /* that are not empty: at most half of the room */
    unsigned log;
};

enum { ADDRESSES_UNIT_LOG = 3, ADDRESSES_BITS = 45 };

#define ADDRESSES_NONE UINT32_MAX

/* Where an address is sought, and what its entry has there above the object. */
struct mb_addresses_search {
    size_t at;
    uint64_t rest;
};

static inline struct mb_addresses_search
mb_addresses_begin_scattered(const struct mb_addresses *addresses, uint64_t scattered)
{
    unsigned bits = ADDRESSES_BITS - addresses->log;
    uint64_t rest = scattered & ((UINT64_C(1) << bits) - 1);
    return (struct mb_addresses_search){ scattered >> bits, UINT64_C(1) << bits | rest };
}

static inline struct mb_addresses_search mb_addresses_begin(const struct mb_addresses *addresses,
                                                            uint64_t address)
{
    /* Odd, so that no two addresses become one; by the golden ratio neighbours are far apart. */
    uint64_t scattered = (address >> ADDRESSES_UNIT_LOG) * UINT64_C(0x13c6ef372fe9);
    return mb_addresses_begin_scattered(addresses,
                                        scattered & ((UINT64_C(1) << ADDRESSES_BITS) - 1));
}

/* To the address's entry, or else to the empty one behind those that it could be. */
static inline uint64_t *mb_addresses_find(const struct mb_addresses *addresses,
                                          struct mb_addresses_search *search)
{
    uint64_t *entry = &addresses->entries[search->at];
    while (*entry != 0 && *entry >> (addresses->log + 1) != search->rest) {
        search->at = (search->at + 1) & (addresses->room - 1);
        search->rest += UINT64_C(1) << (ADDRESSES_BITS - addresses->log);
        entry = &addresses->entries[search->at];
    }
    return entry;
}

/* Takes an address out; false when nothing lies there. */
static inline bool mb_addresses_take(struct mb_addresses *addresses, uint64_t address,
                                     uint32_t *object)
{
    if (addresses->room == 0) {
        return false;
    }
    struct mb_addresses_search search = mb_addresses_begin(addresses, address);
    uint64_t *entry = mb_addresses_find(addresses, &search);
    *object = (uint32_t)(*entry >> 1 & (addresses->room - 1));
    bool lay_there = *entry & 1;
    *entry &= ~UINT64_C(1);
    return lay_there;
}

/*
 * Of any value: the entry comes near. It says always_inline, as GCC leaves out calls of a function
 * that does nothing else.
 */
static inline __attribute__((always_inline)) void
mb_addresses_prefetch(const struct mb_addresses *addresses, uint64_t address)
{
    if (addresses->room > 0) {
        __builtin_prefetch(&addresses->entries[mb_addresses_begin(addresses, address).at], 1);
    }
}

/* Makes the table anew, with room for an object of this number. False without memory. */
bool mb_addresses_make_anew(struct mb_addresses *addresses, uint32_t object);

/*
 * An object, below ADDRESSES_NONE, lies at an address, a multiple of 8 below 2^48, from now on.
 * Where another one lay that is `before`, or else ADDRESSES_NONE. False without memory.
 */
static inline bool mb_addresses_put(struct mb_addresses *addresses, uint64_t address,
                                    uint32_t object, uint32_t *before)
{
    for (;;) {
        if (addresses->count * 2 < addresses->room && object < addresses->room) {
            struct mb_addresses_search search = mb_addresses_begin(addresses, address);
            uint64_t *entry = mb_addresses_find(addresses, &search);
            if (search.rest >> (63 - addresses->log) == 0) { /* an entry has room for its steps */
                *before = *entry & 1 ? (uint32_t)(*entry >> 1 & (addresses->room - 1))
                                     : ADDRESSES_NONE;
                addresses->count += *entry == 0;
                *entry = search.rest << (addresses->log + 1) | (uint64_t)object << 1 | 1;
                return true;
            }
        }
        if (!mb_addresses_make_anew(addresses, object)) {
            return false;
        }
    }
}

void mb_addresses_free(struct mb_addresses *addresses);

#endif
