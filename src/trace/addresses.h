/*
 * addresses: which object lies at which address, a hash table.
 *
 * Ladder: below merge.
 */
#ifndef MEMORYBUCKET_TRACE_ADDRESSES_H
#define MEMORYBUCKET_TRACE_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero is the empty one. Open addressing; at most half of the room is used. */
struct mb_addresses {
    struct mb_address {
        uint64_t key; /* an address, never 0; or 0 of a place that is empty */
        uint32_t object;
    } *places;
    size_t room;    /* 0, or a power of two */
    unsigned shift; /* 64 less its logarithm */
    size_t count;
};

/* The address must not be there. False without memory. */
bool mb_addresses_add(struct mb_addresses *addresses, uint64_t address, uint32_t object);

/* Takes an address out; false when it is not there. */
bool mb_addresses_take(struct mb_addresses *addresses, uint64_t address, uint32_t *object);

void mb_addresses_free(struct mb_addresses *addresses);

#endif
