/*
 * table: the items by their keys: liburcu's cds_lfht, which is lock-free and grows and shrinks by
 * itself.
 *
 * Who against whom, for one key: a reader takes no lock, finds one item or none, whole, and may use
 * it to its turn's end. Changes of a key come one after the other, under the lock of its ring
 * (clock.h), which is also who calls table_put and table_take.
 *
 * All calls are made in a worker's turn (reclaim.h).
 */
#pragma once

#include "item.h"

void table_start(void);

/* The item with that key, dead or alive, or NULL. */
struct item *table_find(const struct key *key);

/* Publishes an item. Returns the one whose place it takes, or NULL; that is the caller's. */
struct item *table_put(const struct key *key, struct item *item);

/* Takes out an item that is there; it is the caller's. */
void table_take(struct item *item);
