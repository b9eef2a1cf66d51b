/*
 * addresses: which object lies at which address.
 *
 * Ladder: below merge.
 *
 * The address space is cut into blocks of 1 KiB. A hash table leads to the blocks in which objects
 * lie, and each has a leaf: an entry for each 16 bytes. Objects whose addresses are no multiples of
 * 16 have leaves of their own. So an address is found without a search among its neighbours, and
 * goes without leaving a hole. A leaf in which nothing lies any more stays until the table grows.
 * An object that has its block to itself takes some 300 bytes here, a small one as few as 4.
 */
#ifndef MEMORYBUCKET_TRACE_ADDRESSES_H
#define MEMORYBUCKET_TRACE_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ADDRESSES_OF_LEAF = 64 };

struct mb_addresses_leaf {
    uint32_t objects[ADDRESSES_OF_LEAF]; /* plus 1; 0 where none lies */
};

/* All zero is the empty one. Open addressing; at most half of the room is used. */
struct mb_addresses {
    struct mb_addresses_block {
        uint64_t key;
        struct mb_addresses_leaf *leaf; /* NULL of a place that is empty */
    } *blocks;
    size_t room;    /* 0, or a power of two */
    unsigned shift; /* 64 less its logarithm */
    size_t count;   /* of blocks */
};

enum { ADDRESSES_SLOT_LOG = 4, ADDRESSES_HALF_SLOT_LOG = 3, ADDRESSES_BLOCK_LOG = 10 };
_Static_assert(ADDRESSES_OF_LEAF == 1 << (ADDRESSES_BLOCK_LOG - ADDRESSES_SLOT_LOG),
               "a leaf is of a block");

/* The block, and whether the address lies half a slot behind a whole one. */
static inline uint64_t mb_addresses_key(uint64_t address)
{
    return address >> ADDRESSES_BLOCK_LOG << 1 | (address >> ADDRESSES_HALF_SLOT_LOG & 1);
}

static inline uint32_t *mb_addresses_entry(struct mb_addresses_leaf *leaf, uint64_t address)
{
    return &leaf->objects[address >> ADDRESSES_SLOT_LOG & (ADDRESSES_OF_LEAF - 1)];
}

/* Where a search for the block begins. */
static inline struct mb_addresses_block *mb_addresses_home(const struct mb_addresses *addresses,
                                                           uint64_t key)
{
    return &addresses->blocks[key * UINT64_C(0x9e3779b97f4a7c15) >> addresses->shift];
}

/* Where the block is, or the empty place where it would be. There must be room. */
static inline struct mb_addresses_block *mb_addresses_block(const struct mb_addresses *addresses,
                                                            uint64_t key)
{
    struct mb_addresses_block *block = mb_addresses_home(addresses, key);
    while (block->leaf != NULL && block->key != key) {
        block = block + 1 < addresses->blocks + addresses->room ? block + 1 : addresses->blocks;
    }
    return block;
}

/* A leaf for the block, which has none. NULL without memory. */
struct mb_addresses_leaf *mb_addresses_add_leaf(struct mb_addresses *addresses, uint64_t key);

/*
 * Of an address, a multiple of 8: where its object's number plus 1 is kept, or 0 where none lies
 * there. Valid until the next call. NULL without memory.
 */
static inline uint32_t *mb_addresses_at(struct mb_addresses *addresses, uint64_t address)
{
    uint64_t key = mb_addresses_key(address);
    struct mb_addresses_leaf *leaf = addresses->room > 0
                                         ? mb_addresses_block(addresses, key)->leaf
                                         : NULL;
    if (leaf == NULL && (leaf = mb_addresses_add_leaf(addresses, key)) == NULL) {
        return NULL;
    }
    return mb_addresses_entry(leaf, address);
}

/* Takes an address out; false when it is not there. */
static inline bool mb_addresses_take(struct mb_addresses *addresses, uint64_t address,
                                     uint32_t *object)
{
    struct mb_addresses_leaf *leaf =
        addresses->room > 0 ? mb_addresses_block(addresses, mb_addresses_key(address))->leaf : NULL;
    uint32_t *entry = leaf != NULL ? mb_addresses_entry(leaf, address) : NULL;
    if (entry == NULL || *entry == 0) {
        return false;
    }
    *object = *entry - 1;
    *entry = 0;
    return true;
}

/* Of any value: what it leads to comes near. */
static inline void mb_addresses_prefetch(const struct mb_addresses *addresses, uint64_t address)
{
    if (addresses->room > 0) {
        struct mb_addresses_leaf *leaf =
            mb_addresses_home(addresses, mb_addresses_key(address))->leaf;
        if (leaf != NULL) {
            __builtin_prefetch(mb_addresses_entry(leaf, address), 1);
        }
    }
}

void mb_addresses_free(struct mb_addresses *addresses);

#endif
