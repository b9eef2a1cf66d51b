/*
 * clock: which items go when memory is short, and who notices that items are dead.
 *
 * Every published item is in one of 64 rings, chosen by its key's hash: each is a sample of all
 * items, so it does not matter from which of them a worker evicts, or which worker stored what. A
 * ring is a CLOCK: the hand passes over items that were read since it last came by, clears their
 * mark, and takes the first without.
 *
 * A ring has a lock, because any worker links, unlinks and evicts there. It is held for some
 * pointers' writes, by one worker in 64 at a time; reads of the cache never take it. Under it the
 * table may disagree for a moment: an item is published, then linked; and removed, then unlinked.
 * So each item has a state (enum item_link), and whoever comes late finds the other was there.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct item;
struct worker;

void clock_start(void);

static inline uint8_t clock_ring_of(unsigned long hash)
{
    return (uint8_t)(hash >> 58);
}

/* Links an item that was just published; unlinks one that was taken out. Either may be NULL. */
void clock_exchange(struct item *item, struct item *replaced);

/*
 * Evicts items that cost so many bytes together, and retires them. Only in a worker's turn, and
 * the caller uses nothing that it found in the table before. Returns the bytes: less than asked for
 * when there are no more items.
 */
size_t clock_evict(struct worker *worker, size_t bytes);

/*
 * Looks at some of the items of each step-th ring from the first on, and removes the dead ones.
 * Called ten times a second: comes round once in half a minute, and at once after flush_all.
 */
void clock_sweep(struct worker *worker, size_t first, size_t step);
