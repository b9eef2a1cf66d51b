/*
 * table: the items by their keys: liburcu's cds_lfht, which is lock-free and grows and shrinks by
 * itself.
 *
 * Who against whom, for one key:
 *   a reader against all: it finds one item or none, whole, and may use it to its turn's end;
 *   a replacement against another, or a removal: one compare-and-swap on the old node succeeds, the
 *     others fail and look again, so what was decided on the old item is never done to another;
 *   an addition against another: one succeeds, the others find it.
 * Whoever takes an item out, by replacement or removal, is alone in doing so: it unlinks the item
 * from its ring and retires it.
 *
 * All calls are made in a worker's turn (reclaim.h).
 */
#pragma once

#include "item.h"

void table_start(void);

/* Frees all items, when no worker is left. */
void table_end(void);

/* The item with that key, dead or alive, or NULL. The position is for table_replace. */
struct item *table_find(const struct key *key, struct cds_lfht_iter *position);

/* Publish an item; false: another thread was first, and nothing has changed. */
bool table_add(struct worker *worker, const struct key *key, struct item *item);
bool table_replace(struct worker *worker, struct cds_lfht_iter *position, const struct key *key,
                   struct item *item);

/* Takes an item out and retires it; false: another thread was first. */
bool table_remove(struct worker *worker, struct item *item);
