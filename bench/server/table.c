/* table: the hash table. */
#include "table.h"

#include <stdio.h>
#include <stdlib.h>
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
    if (node == NULL) {
        return NULL;
    }
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

struct item *table_find(const struct key *key)
{
    struct cds_lfht_iter position;
    cds_lfht_lookup(table, key->hash, item_matches, key, &position);
    return item_of(cds_lfht_iter_get_node(&position));
}

struct item *table_put(const struct key *key, struct item *item)
{
    PUBLISHES(item);
    return item_of(cds_lfht_add_replace(table, key->hash, item_matches, key, &item->node));
}

void table_take(struct item *item)
{
    cds_lfht_del(table, &item->node);
}
