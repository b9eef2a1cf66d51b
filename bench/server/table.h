/*
 * table: the items: by their keys, in liburcu's cds_lfht, which is lock-free and grows and shrinks
 * by itself; and in rings, which say what goes when memory is short, and who notices what is dead.
 *
 * Every published item is in one of 64 rings, chosen by its key's hash: each is a sample of all
 * items, so it does not matter from which of them a worker evicts, or which worker stored what. A
 * ring takes no memory: the table links all items in the order of their hashes' bits, read from the
 * low end, so those that have the lowest 6 in common, a ring, stand side by side there, behind an
 * item without a key, the ring's begin. A ring is a CLOCK: an item that was read or stored anew
 * since the hand was there last loses that mark; the first without is evicted.
 *
 * Who against whom, for one key: a reader takes no lock, finds one item or none, whole, and may use
 * it to its turn's end. Changes of a key come one after the other, under the lock of its ring: from
 * the look at what is there to the publication of what comes in its place. So an operation is
 * atomic, and table and rings agree. Under a lock nothing is allocated, evicted, or waited for: a
 * grace period would not end while another worker waits for the lock. It is held for a microsecond,
 * by one worker in 64.
 *
 * All calls are made in a worker's turn (reclaim.h).
 */
#pragma once

#include "item.h"

void table_start(void);

/* The item with that key, dead or alive, or NULL. */
struct item *table_find(const struct key *key);

/* Around each change of what is under a key. */
void table_lock(const struct key *key);
void table_unlock(const struct key *key);

/* Publishes an item, and retires the one whose place it takes. Under the key's lock. */
void table_put_locked(struct worker *worker, const struct key *key, struct item *item);

/* Takes out the item that is there, and retires it. Under the key's lock. */
void table_remove_locked(struct worker *worker, const struct key *key, struct item *item);

/*
 * Evicts items that cost so many bytes together, and retires them. With no lock held, and the
 * caller uses nothing that it found in the table before. Returns the bytes: less than asked for
 * when there are no more items.
 */
size_t table_evict(struct worker *worker, size_t bytes);

/*
 * Looks at some of the items of each step-th ring from the first on, and removes the dead ones.
 * Called ten times a second; goes on in a ring where many are dead, as behind flush_all.
 */
void table_sweep(struct worker *worker, size_t first, size_t step);
