/*
 * trim: the steps that give the pools' free memory back to the operating system.
 *
 * Ladder: above pool. Callers: decay and excess (a step at a time), the API (all of it).
 *
 * One thread trims at a time, with the trim lock, which stands before the pools' locks; a fork
 * waits for one step. A step takes a pool's lock to move some hundred slots or to mark the pages of
 * one run. It holds none while it follows chains or gives pages back. Like carving it may commit
 * memory under the lock, for free maps.
 *
 * A step stays within an allowance. It sorts so many slots, and the rest of the last one's
 * magazine. It looks through so many tiles. It tries so many pages, with so many system calls, or
 * twice as many where the kernel refuses a run of pages and so is asked for each of them.
 * Besides it splits the huge pages of which it gives a part back, with a call for each, once, or a
 * few times after a fork; and one that is free altogether goes whole, in one call, whatever the
 * pages left, or is split where that is refused (core/huge.h). A thread whose request waits
 * meanwhile does a short step.
 *
 * No slot in use is ever given back. Batches leave the centre by a pop like any other (the whole
 * stack at once, batch_stack_detach). A page goes only when all slots that overlap it are sorted,
 * and these are out of the free map during the system call. A popper may still read the first word
 * of a batch that has left the centre, and find 0. It throws the word away: its CAS fails, as the
 * pop has changed the head's tag.
 */
#ifndef MEMORYBUCKET_CORE_TRIM_H
#define MEMORYBUCKET_CORE_TRIM_H

#include "core/pool_sort.h"

enum { TRIM_SLOTS_MAX = 16384, TRIM_TILES_MAX = 256, TRIM_PAGES_MAX = 1024 };

/* What a step may still do. */
struct trim_allowance {
    size_t slots;
    size_t tiles;
    size_t pages;
    size_t calls; /* to the kernel, that give pages back; also the most pages of one */
    bool any_huge; /* the last call may give all of a huge page back instead, if it is all free */
};

/* No request waits, or one that gets its memory from this alone. */
static const struct trim_allowance trim_whole_step = { TRIM_SLOTS_MAX, TRIM_TILES_MAX,
                                                       TRIM_PAGES_MAX, TRIM_PAGES_MAX, true };

/*
 * A request waits that has no need of it. A flush brings 256 slots at most: so steps of a thread
 * that only frees keep up with it, and chains enough are followed at once. A call takes as long as
 * sorting 50 slots, or ten times that where other processors have to be told.
 */
static const struct trim_allowance trim_short_step = { 2048, 64, 256, 64, true };

static inline bool trim_is_used_up(const struct trim_allowance *left)
{
    return left->slots == 0 || left->tiles == 0 || left->pages == 0 || left->calls == 0;
}

/*
 * A pool's turn, over several steps: its surplus is sorted; its batches grow older, and those that
 * become surplus are sorted, too; at last pages go.
 */
struct trim_turn {
    size_t class;        /* of the pool whose turn it is */
    unsigned ages_left;  /* how often its batches still grow older */
    uint64_t slots_left; /* to sort before they do: threads may bring loose slots all the time */
};
enum { TRIM_AGES = 2 }; /* what is in the centre becomes aged, and then surplus */
void mbi_trim_begin_turn(struct trim_turn *turn, size_t class, unsigned ages);

/* The steps: with LOCK_TRIM. */

/* Does a piece of the turn, and subtracts it from what is left; false when the turn is over. */
bool mbi_trim_go_on(struct trim_turn *turn, struct trim_allowance *left);

/*
 * Several chains are followed at once, as each step along a chain waits for memory. How many, of
 * whole batches and of up to `slots_max` slots, or one: at most TRIM_CHAINS_MAX.
 */
enum { TRIM_CHAINS_MAX = 32, TRIM_NUMBERS_MAX = TRIM_SLOTS_MAX / 2 };
static inline size_t trim_chains(const struct pool *pool, size_t slots_max)
{
    size_t chains = size_min(slots_max, TRIM_NUMBERS_MAX) / pool->rounds;
    return size_max(size_min(chains, TRIM_CHAINS_MAX), 1);
}

/* What lies behind the chain's first slot, and is fetched: the caller looks at others meanwhile. */
static inline uint64_t trim_follow(const struct pool *pool, uint64_t chain)
{
    const struct slot *slot = chain_first(chain);
    if (MBI_UNLIKELY(!slot_space_has(&pool->space, slot)
                     || chain_rounds(slot->rest) != chain_rounds(chain) - 1U)) {
        mbi_slot_space_corrupted(&pool->space, chain);
    }
    uint64_t rest = slot->rest;
    __builtin_prefetch(chain_first(rest));
    return rest;
}

/* Sorts the slots of as many chains, and writes to `chains`. Returns how many slots. */
size_t mbi_trim_sort_chains(struct pool *pool, size_t count, uint64_t chains[], bool ordered);

/*
 * Sorts up to `slots_max` slots of the surplus, and all loose ones. Returns how many; 0 when
 * nothing is left, or there is no memory for the bits.
 */
size_t mbi_trim_sort(struct pool *pool, size_t slots_max);

/*
 * Tries to give back pages that only sorted slots overlap, within the tiles, pages and calls that
 * are left, and subtracts these. Adds the bytes that went to *bytes. False when no more can be
 * tried.
 */
bool mbi_trim_release(struct pool *pool, struct trim_allowance *left, size_t *bytes);

/*
 * Trims all pools, and keeps `keep_bytes` of free memory; takes the trim lock for each step.
 * Returns the bytes given back. A fork by another thread ends it.
 */
size_t mbi_trim_pools(size_t keep_bytes);

/*
 * One step for a request that nothing else serves, which can be tried again as soon as pages have
 * gone. Sorts batches and loose slots, whatever their age. Tries pages that got slots, not those
 * that the kernel refused before. Takes the trim lock. Adds the bytes that went to *bytes. False
 * when no pool has anything left that was there when its turn began. The caller begins the first
 * pool's turn, with TRIM_AGES.
 */
bool mbi_trim_step_turn(struct trim_turn *turn, size_t *bytes);

#endif
