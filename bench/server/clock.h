/*
 * clock: which items go when memory is short, who notices that items are dead, and the order in
 * which a key's changes come.
 *
 * Every published item is in one of 64 rings, chosen by its key's hash: each is a sample of all
 * items, so it does not matter from which of them a worker evicts, or which worker stored what. A
 * ring is a CLOCK: the hand passes over items that were read since it last came by, clears their
 * mark, and takes the first without.
 *
 * A ring's lock is held by whoever changes an item under one of its keys: from the look at what is
 * there to the publication of what comes in its place. So an operation is atomic, and the table and
 * the ring agree. Under it nothing is allocated, evicted, or waited for: a grace period would not
 * end while another worker waits for the lock. One worker in 64 holds a given lock, for less than a
 * microsecond; reads of the cache never do.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct item;
struct key;
struct worker;

void clock_start(void);

/* Around each change of what is under a key. */
void clock_lock(const struct key *key);
void clock_unlock(const struct key *key);

/* Publishes an item, and retires the one whose place it takes. Under the key's lock. */
void clock_put(struct worker *worker, const struct key *key, struct item *item);

/* Takes out the item that is there, and retires it. Under the key's lock. */
void clock_remove(struct worker *worker, const struct key *key, struct item *item);

/*
 * Evicts items that cost so many bytes together, and retires them. Only in a worker's turn, with no
 * lock held, and the caller uses nothing that it found in the table before. Returns the bytes: less
 * than asked for when there are no more items.
 */
size_t clock_evict(struct worker *worker, size_t bytes);

/*
 * Looks at some of the items of each step-th ring from the first on, and removes the dead ones.
 * Called ten times a second: comes round once in half a minute, and at once after flush_all.
 */
void clock_sweep(struct worker *worker, size_t first, size_t step);
