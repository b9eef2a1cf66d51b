/*
 * chain: free slots linked through their first words, and the one word that stands for a chain.
 *
 * Ladder: above base; pure. Callers: everything that holds free slots.
 *
 *   chain  63 ................. 16 15 ..... 0        0 is the empty chain
 *          | address, first slot  |  rounds  |
 *
 *   chain ─> slot          slot          slot
 *   (a, 3)   │ (b, 2) │ ─> │ (c, 1) │ ─> │   0    │      a free slot's word is the chain behind it
 *
 * Each word carries the length of the chain that it leads to. So taking a slot is one load and one
 * store, with no count to keep.
 *
 * Addresses have 48 bits: Linux hands out no higher ones unasked (x86-64: 47, aarch64: 48), and
 * region checks that.
 */
#ifndef MEMORYBUCKET_CORE_CHAIN_H
#define MEMORYBUCKET_CORE_CHAIN_H

#include "core/base.h"

enum { CHAIN_ROUNDS_BITS = 16, CHAIN_ADDRESS_BITS = 64 - CHAIN_ROUNDS_BITS };
#define CHAIN_ROUNDS_MAX ((1U << CHAIN_ROUNDS_BITS) - 1)

struct slot {
    uint64_t rest;
};

/* Every slot's address and size are multiples of this. */
#define SLOT_UNIT_BYTES sizeof(struct slot)

MBI_HOT_INLINE uint64_t chain_make(const struct slot *first, uint64_t rounds)
{
    return (uint64_t)(uintptr_t)first << CHAIN_ROUNDS_BITS | rounds;
}

/* NULL for the empty chain. */
MBI_HOT_INLINE struct slot *chain_first(uint64_t chain)
{
    return (struct slot *)(uintptr_t)(chain >> CHAIN_ROUNDS_BITS);
}

MBI_HOT_INLINE uint16_t chain_rounds(uint64_t chain)
{
    return (uint16_t)chain;
}

/* The chain with `slot` in front; its rounds stay below CHAIN_ROUNDS_MAX. */
MBI_HOT_INLINE uint64_t chain_push(uint64_t chain, struct slot *slot)
{
    slot->rest = chain;
    /* Added, not or-ed: x86-64 then forms the word with one lea. */
    return chain_make(slot, 0) + chain_rounds(chain) + 1;
}

#endif
