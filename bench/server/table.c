/* table: the hash table, and rings of items for eviction and for sweeping. */
#include "table.h"

#include "memory.h"
#include "worker.h"

#include <stdalign.h>
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

/* Of what is done while a lock is held: items evicted, items spared, items that a sweep sees. */
enum { RINGS = 64, VICTIMS_MAX = 16, SPARED_MAX = 256, SWEEP_MIN = 16, SWEEP_MAX = 64 };

enum { SWEEPS_PER_ROUND = 300 /* half a minute */, SWEEPS_AT_ONCE = 16 };

static struct cds_lfht *table; /* constant after the start */

static struct ring {
    alignas(64) pthread_mutex_t lock;
    struct cds_list_head items;  /* under the lock, as are: */
    struct cds_list_head *sweep; /* the next that a sweep looks at; or the list's head */
    size_t count;
} rings[RINGS];

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
    for (struct ring *ring = rings; ring < rings + RINGS; ring++) {
        pthread_mutex_init(&ring->lock, NULL);
        CDS_INIT_LIST_HEAD(&ring->items);
        ring->sweep = &ring->items;
    }
}

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

struct item *table_find(const struct key *key)
{
    struct cds_lfht_iter position;
    cds_lfht_lookup(table, key->hash, item_matches, key, &position);
    return item_of(cds_lfht_iter_get_node(&position));
}

/* --- changes of a key --- */

/* The table takes its buckets from the hash's low bits. */
static struct ring *ring_of(const struct key *key)
{
    return &rings[key->hash >> 58];
}

void table_lock(const struct key *key)
{
    pthread_mutex_lock(&ring_of(key)->lock);
}

void table_unlock(const struct key *key)
{
    pthread_mutex_unlock(&ring_of(key)->lock);
}

static void unlink_locked(struct ring *ring, struct item *item)
{
    if (ring->sweep == &item->ring) {
        ring->sweep = item->ring.next;
    }
    cds_list_del(&item->ring);
}

/* What follows once an item is out of the hash table. */
static void retire_locked(struct worker *worker, struct ring *ring, struct item *item)
{
    unlink_locked(ring, item);
    ring->count--;
    worker_count(worker, COUNT_items_removed, 1);
    memory_item_discount(item, item_bytes(item));
    reclaim_retire(&worker->retired, item);
}

void table_put_locked(struct worker *worker, const struct key *key, struct item *item)
{
    struct ring *ring = ring_of(key);
    PUBLISHES(item);
    struct item *replaced =
        item_of(cds_lfht_add_replace(table, key->hash, item_matches, key, &item->node));
    cds_list_add_tail(&item->ring, &ring->items);
    ring->count++;
    worker_count(worker, COUNT_total_items, 1);
    if (replaced != NULL) {
        retire_locked(worker, ring, replaced);
    }
}

static void remove_locked(struct worker *worker, struct ring *ring, struct item *item)
{
    cds_lfht_del(table, &item->node);
    retire_locked(worker, ring, item);
}

void table_remove_locked(struct worker *worker, const struct key *key, struct item *item)
{
    remove_locked(worker, ring_of(key), item);
}

/* --- eviction --- */

/*
 * Evicts some items of a ring. Where all were read lately the hand spares some, and takes the next
 * one nevertheless: a round over the whole ring would hold up whoever waits for its lock.
 */
static size_t evict_locked(struct worker *worker, struct ring *ring, size_t bytes)
{
    size_t evicted = 0;
    size_t spared = 0;
    size_t victims = 0;
    while (!cds_list_empty(&ring->items) && victims < VICTIMS_MAX && evicted < bytes) {
        struct item *item = cds_list_first_entry(&ring->items, struct item, ring);
        if ((item_marks(item) & ITEM_TOUCHED) != 0 && spared < SPARED_MAX) {
            spared++;
            item_unmark(item, ITEM_TOUCHED);
            unlink_locked(ring, item);
            cds_list_add_tail(&item->ring, &ring->items);
        } else {
            victims++;
            evicted += memory_item_cost(item, item_bytes(item));
            worker_count(worker, COUNT_evictions, 1);
            remove_locked(worker, ring, item);
        }
    }
    return evicted;
}

size_t table_evict(struct worker *worker, size_t bytes)
{
    size_t evicted = 0;
    for (unsigned empty = 0; evicted < bytes && empty < RINGS;) {
        struct ring *ring = &rings[worker->evict_ring];
        worker->evict_ring = (worker->evict_ring + 1) % RINGS;
        pthread_mutex_lock(&ring->lock);
        size_t here = evict_locked(worker, ring, bytes - evicted);
        pthread_mutex_unlock(&ring->lock);
        evicted += here;
        empty = here > 0 ? 0 : empty + 1;
    }
    return evicted;
}

/* --- the sweep --- */

/* Returns whether so many were dead that more of them are likely. */
static bool sweep_locked(struct worker *worker, struct ring *ring)
{
    size_t steps = ring->count / SWEEPS_PER_ROUND + SWEEP_MIN;
    steps = steps < SWEEP_MAX ? steps : SWEEP_MAX;
    size_t dead = 0;
    for (size_t i = 0; i < steps; i++) {
        struct item *item = cds_list_entry(ring->sweep, struct item, ring);
        ring->sweep = ring->sweep->next;
        if (&item->ring != &ring->items && item_is_dead(item, worker->now_s)) {
            dead++;
            worker_count(worker, COUNT_reclaimed, 1);
            remove_locked(worker, ring, item);
        }
    }
    return 4 * dead > steps;
}

void table_sweep(struct worker *worker, size_t first, size_t step)
{
    for (size_t i = first; i < RINGS; i += step) {
        bool goes_on = true;
        for (unsigned sweeps = 0; goes_on && sweeps < SWEEPS_AT_ONCE; sweeps++) {
            pthread_mutex_lock(&rings[i].lock);
            goes_on = sweep_locked(worker, &rings[i]);
            pthread_mutex_unlock(&rings[i].lock);
        }
    }
}
