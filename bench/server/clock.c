/* clock: rings of items with a hand each for eviction and for sweeping. */
#include "clock.h"

#include "allocator.h"
#include "expiry.h"
#include "table.h"
#include "worker.h"

#include <stdalign.h>

/* Of what is done while a lock is held: items evicted, items spared, items that a sweep sees. */
enum { RINGS = 64, VICTIMS_MAX = 16, SPARED_MAX = 256, SWEEP_STEPS = 64 };

enum { SWEEPS_PER_ROUND = 300, SWEEPS_AT_ONCE = 16 };

/* Under its lock. The hands are items of the ring, or NULL when it is empty. */
static struct ring {
    alignas(64) pthread_mutex_t lock;
    struct item *hand;  /* the next to be looked at; new items go behind it, to be looked at last */
    struct item *sweep; /* the next that a sweep looks at */
    size_t count;
    size_t unswept;      /* items that a sweep has yet to see since flush_all */
    uint32_t generation; /* the one that `unswept` is about */
} rings[RINGS];

void clock_start(void)
{
    for (size_t i = 0; i < RINGS; i++) {
        pthread_mutex_init(&rings[i].lock, NULL);
    }
}

/* The table takes its buckets from the hash's low bits. */
static struct ring *ring_of(const struct key *key)
{
    return &rings[key->hash >> 58];
}

void clock_lock(const struct key *key)
{
    pthread_mutex_lock(&ring_of(key)->lock);
}

void clock_unlock(const struct key *key)
{
    pthread_mutex_unlock(&ring_of(key)->lock);
}

static void link_locked(struct ring *ring, struct item *item)
{
    struct item *next = ring->hand;
    if (next == NULL) {
        next = ring->hand = ring->sweep = item->ring_previous = item;
    }
    struct item *previous = next->ring_previous;
    item->ring_next = next;
    item->ring_previous = previous;
    previous->ring_next = item;
    next->ring_previous = item;
    ring->count++;
}

/* What follows once an item is out of the table. */
static void retire_locked(struct worker *worker, struct ring *ring, struct item *item)
{
    struct item *next = item->ring_next != item ? item->ring_next : NULL;
    item->ring_previous->ring_next = item->ring_next;
    item->ring_next->ring_previous = item->ring_previous;
    ring->hand = ring->hand == item ? next : ring->hand;
    ring->sweep = ring->sweep == item ? next : ring->sweep;
    ring->count--;
    worker_count(worker, COUNT_items_removed, 1);
    budget_give_back(worker, item);
    reclaim_retire(&worker->retired, item);
}

void clock_put(struct worker *worker, const struct key *key, struct item *item)
{
    struct item *replaced = table_put(key, item);
    link_locked(ring_of(key), item);
    worker_count(worker, COUNT_total_items, 1);
    if (replaced != NULL) {
        retire_locked(worker, ring_of(key), replaced);
    }
}

void clock_remove(struct worker *worker, const struct key *key, struct item *item)
{
    table_take(item);
    retire_locked(worker, ring_of(key), item);
}

/*
 * Evicts some items of a ring. Where all were read lately the hand spares some, and takes the next
 * one nevertheless: a round over the whole ring would hold up whoever waits for its lock.
 */
static size_t evict_locked(struct worker *worker, struct ring *ring, size_t bytes)
{
    size_t evicted = 0;
    size_t spared = 0;
    for (size_t victims = 0; ring->hand != NULL && victims < VICTIMS_MAX && evicted < bytes;) {
        struct item *item = ring->hand;
        if ((item_marks(item) & ITEM_TOUCHED) != 0 && spared < SPARED_MAX) {
            item_unmark(item, ITEM_TOUCHED);
            ring->hand = item->ring_next;
            spared++;
        } else {
            evicted += allocator_item_cost(item, item_bytes(item));
            worker_count(worker, COUNT_evictions, 1);
            table_take(item);
            retire_locked(worker, ring, item);
            victims++;
        }
    }
    return evicted;
}

size_t clock_evict(struct worker *worker, size_t bytes)
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

/* Returns whether items are left that flush_all may have ended. */
static bool sweep_locked(struct worker *worker, struct ring *ring)
{
    if (ring->generation != expiry_generation()) {
        ring->generation = expiry_generation();
        ring->unswept = ring->count;
    }
    size_t steps = ring->unswept > 0 ? SWEEP_STEPS : ring->count / SWEEPS_PER_ROUND + 1;
    for (; ring->sweep != NULL && steps > 0; steps--) {
        struct item *item = ring->sweep;
        ring->sweep = item->ring_next;
        ring->unswept -= ring->unswept > 0;
        if (item_is_dead(item, worker->now_s)) {
            worker_count(worker, COUNT_reclaimed, 1);
            table_take(item);
            retire_locked(worker, ring, item);
        }
    }
    return ring->unswept > 0;
}

void clock_sweep(struct worker *worker, size_t first, size_t step)
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
