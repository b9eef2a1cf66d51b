/* table: the hash table, publication and removal of items. */
#include "table.h"

#include "allocator.h"
#include "budget.h"
#include "clock.h"
#include "stats.h"
#include "worker.h"

#include <stdio.h>
#include <string.h>

/* liburcu publishes items by full barriers that ThreadSanitizer does not see (reclaim.c). */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#define PUBLISHES(item) __tsan_release(item)
#define SEES_PUBLISHED(item) __tsan_acquire(item)
#else
#define PUBLISHES(item) ((void)0)
#define SEES_PUBLISHED(item) ((void)0)
#endif

static struct cds_lfht *table; /* constant after the start */

static struct item *item_of(struct cds_lfht_node *node)
{
    struct item *item = caa_container_of(node, struct item, node);
    SEES_PUBLISHED(item);
    return item;
}

static int item_matches(struct cds_lfht_node *node, const void *wanted)
{
    const struct key *key = wanted;
    const struct item *item = item_of(node);
    return item->key_bytes == key->length && memcmp(item->data, key->bytes, key->length) == 0;
}

void table_start(void)
{
    enum { BUCKETS_AT_FIRST = 1 << 14, BUCKETS_MIN = 1 << 10 };
    table = cds_lfht_new_flavor(BUCKETS_AT_FIRST, BUCKETS_MIN, 0,
                                CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, &urcu_qsbr_flavor,
                                NULL);
    if (table == NULL) {
        fputs("mbcached: no memory for the hash table\n", stderr);
        exit(1);
    }
}

struct item *table_find(const struct key *key, struct cds_lfht_iter *position)
{
    cds_lfht_lookup(table, key->hash, item_matches, key, position);
    struct cds_lfht_node *node = cds_lfht_iter_get_node(position);
    return node != NULL ? item_of(node) : NULL;
}

/* What follows a change of the table; one of the two may be NULL. The old item is the caller's. */
static void exchanged(struct worker *worker, struct item *item, struct item *old)
{
    clock_exchange(item, old);
    worker_count(worker, COUNT_total_items, item != NULL);
    worker_count(worker, COUNT_items_removed, old != NULL);
    if (old != NULL) {
        budget_give_back(worker, old);
        reclaim_retire(&worker->retired, old);
    }
}

bool table_add(struct worker *worker, const struct key *key, struct item *item)
{
    PUBLISHES(item);
    struct cds_lfht_node *node =
        cds_lfht_add_unique(table, key->hash, item_matches, key, &item->node);
    if (node != &item->node) {
        return false;
    }
    exchanged(worker, item, NULL);
    return true;
}

bool table_replace(struct worker *worker, struct cds_lfht_iter *position, const struct key *key,
                   struct item *item)
{
    struct item *old = item_of(cds_lfht_iter_get_node(position));
    PUBLISHES(item);
    if (cds_lfht_replace(table, position, key->hash, item_matches, key, &item->node) != 0) {
        return false;
    }
    exchanged(worker, item, old);
    return true;
}

bool table_remove(struct worker *worker, struct item *item)
{
    if (cds_lfht_del(table, &item->node) != 0) {
        return false;
    }
    exchanged(worker, NULL, item);
    return true;
}

void table_end(void)
{
    reclaim_thread_begin();
    reclaim_awake();
    struct cds_lfht_iter position;
    cds_lfht_first(table, &position);
    struct cds_lfht_node *node;
    struct item *removed = NULL;
    while ((node = cds_lfht_iter_get_node(&position)) != NULL) {
        cds_lfht_next(table, &position);
        cds_lfht_del(table, node);
        item_of(node)->ring_next = removed;
        removed = item_of(node);
    }
    reclaim_asleep(); /* the table's own thread may wait for a grace period */
    cds_lfht_destroy(table, NULL); /* and may, until here, be at any node: it resizes */
    while (removed != NULL) {
        struct item *item = removed;
        removed = item->ring_next;
        allocator_item_free(item, item_bytes(item));
    }
    urcu_qsbr_unregister_thread();
}
