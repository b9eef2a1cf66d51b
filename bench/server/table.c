/* table: the hash table, and rounds through its rings, for eviction and for sweeping. */
#include "table.h"

#include "memory.h"
#include "reclaim.h"
#include "worker.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of what is done while a lock is held: items evicted, items spared, items that a sweep sees. */
enum { RINGS = 64, VICTIMS_MAX = 16, SPARED_MAX = 256, SWEEP_MIN = 16, SWEEP_MAX = 64 };

enum { SWEEPS_PER_ROUND = 300 /* half a minute */, SWEEPS_AT_ONCE = 16 };

static struct cds_lfht *table; /* constant after the start */

static struct ring {
    alignas(64) pthread_mutex_t lock;
    struct item *begin; /* constant after the start */
    struct item *hand;  /* under the lock, as are: the next that eviction looks at; or the begin */
    struct item *sweep; /* the next that a sweep looks at; or the begin */
    size_t count;
} rings[RINGS];

static struct item *item_of(struct cds_lfht_node *node)
{
    if (node == NULL) {
        return NULL;
    }
    struct item *item = caa_container_of(node, struct item, node);
    TELL_ACQUIRE(item);
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

void table_start(void)
{
    enum { FIRST = 1 << 14, LEAST = 1 << 10, FLAGS = CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING };
    table = cds_lfht_new_flavor(FIRST, LEAST, 0, FLAGS, &urcu_qsbr_flavor, NULL);
    reclaim_thread_begin();
    reclaim_awake();
    for (unsigned i = 0; i < RINGS; i++) {
        rings[i].begin = calloc(1, sizeof *rings[i].begin);
        if (table == NULL || rings[i].begin == NULL) {
            fputs("mbcached: no memory for the hash table\n", stderr);
            exit(1);
        }
        pthread_mutex_init(&rings[i].lock, NULL);
        rings[i].hand = rings[i].sweep = rings[i].begin;
        cds_lfht_add(table, i, &rings[i].begin->node);
    }
    urcu_qsbr_unregister_thread();
}

/* What stands behind an item, or the begin, of a ring; behind the last one the begin. */
static struct item *next_locked(const struct ring *ring, const struct item *item)
{
    struct cds_lfht_iter position;
    struct key key = key_of(item->data, item->key_bytes);
    key.hash = item == ring->begin ? (unsigned long)(ring - rings) : key.hash;
    cds_lfht_lookup(table, key.hash, item_matches, &key, &position);
    cds_lfht_next(table, &position);
    struct item *next = item_of(cds_lfht_iter_get_node(&position));
    return next == NULL || next->key_bytes == 0 ? ring->begin : next; /* another ring's begin */
}

/* --- changes of a key --- */

static struct ring *ring_of(const struct key *key)
{
    return &rings[key->hash % RINGS];
}

void table_lock(const struct key *key)
{
    pthread_mutex_lock(&ring_of(key)->lock);
}

void table_unlock(const struct key *key)
{
    pthread_mutex_unlock(&ring_of(key)->lock);
}

/* Nothing stays at an item that is taken out. */
static void pass_on(struct ring *ring, const struct item *item, struct item *next)
{
    ring->hand = ring->hand == item ? next : ring->hand;
    ring->sweep = ring->sweep == item ? next : ring->sweep;
}

/* What follows once an item is out of the hash table. */
static void retire_locked(struct worker *worker, struct ring *ring, struct item *item)
{
    ring->count--;
    worker_count(worker, COUNT_items_removed, 1);
    memory_item_discount(item, item_bytes(item));
    reclaim_retire(&worker->retired, item);
}

void table_put_locked(struct worker *worker, const struct key *key, struct item *item)
{
    struct ring *ring = ring_of(key);
    TELL_RELEASE(item);
    struct item *replaced =
        item_of(cds_lfht_add_replace(table, key->hash, item_matches, key, &item->node));
    ring->count++;
    worker_count(worker, COUNT_total_items, 1);
    if (replaced != NULL) {
        item_mark(item, ITEM_TOUCHED); /* what is stored again is in demand as what is read */
        pass_on(ring, replaced, item);
        retire_locked(worker, ring, replaced);
    }
}

static void remove_locked(struct worker *worker, struct ring *ring, struct item *item)
{
    if (item == ring->hand || item == ring->sweep) {
        pass_on(ring, item, next_locked(ring, item));
    }
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
    while (ring->count > 0 && victims < VICTIMS_MAX && evicted < bytes) {
        struct item *item = ring->hand;
        ring->hand = next_locked(ring, item);
        if ((item_marks(item) & ITEM_TOUCHED) != 0 && spared < SPARED_MAX) {
            spared++;
            item_unmark(item, ITEM_TOUCHED);
        } else if (item != ring->begin) {
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
        reclaim_make_room(&worker->retired);
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
    steps = steps < ring->count ? steps : ring->count; /* no second round */
    size_t dead = 0;
    for (size_t i = 0; i < steps; i++) {
        struct item *item = ring->sweep;
        ring->sweep = next_locked(ring, item);
        if (item != ring->begin && item_is_dead(item, worker->now_s)) {
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
            reclaim_make_room(&worker->retired);
            pthread_mutex_lock(&rings[i].lock);
            goes_on = sweep_locked(worker, &rings[i]);
            pthread_mutex_unlock(&rings[i].lock);
        }
    }
}
