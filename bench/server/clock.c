/* clock: rings of items with a hand each for eviction and for sweeping. */
#include "clock.h"
#include "allocator.h"
#include "expiry.h"
#include "item.h"
#include "options.h"
#include "stats.h"
#include "table.h"
#include "worker.h"

#include <pthread.h>
#include <stdalign.h>

enum { RINGS = 64, VICTIMS = 16, SWEEP_STEPS = 256, SWEEPS_PER_ROUND = 300 };

/* Under its lock. The hands are items of the ring, or NULL when it is empty. */
struct ring {
    alignas(64) pthread_mutex_t lock;
    struct item *hand;  /* the next to be looked at; new items go behind it, to be looked at last */
    struct item *sweep; /* the next that a sweep looks at */
    size_t count;
    size_t unswept;      /* items that a sweep has yet to see since flush_all */
    uint32_t generation; /* the one that `unswept` is about */
};

static struct ring rings[RINGS];

void clock_start(void)
{
    for (size_t i = 0; i < RINGS; i++) {
        pthread_mutex_init(&rings[i].lock, NULL);
    }
}

static void insert_locked(struct ring *ring, struct item *item)
{
    if (ring->hand == NULL) {
        item->ring_next = item;
        item->ring_previous = item;
        ring->hand = item;
        ring->sweep = item;
    } else {
        item->ring_next = ring->hand;
        item->ring_previous = ring->hand->ring_previous;
        item->ring_previous->ring_next = item;
        ring->hand->ring_previous = item;
    }
    item->link = ITEM_LINKED;
    ring->count++;
}

static void unlink_locked(struct ring *ring, struct item *item)
{
    if (item->link == ITEM_LINKED) {
        struct item *next = item->ring_next != item ? item->ring_next : NULL;
        item->ring_previous->ring_next = item->ring_next;
        item->ring_next->ring_previous = item->ring_previous;
        if (ring->hand == item) {
            ring->hand = next;
        }
        if (ring->sweep == item) {
            ring->sweep = next;
        }
        ring->count--;
    }
    item->link = ITEM_UNLINKED;
}

void clock_link(struct item *item, struct item *replaced)
{
    struct ring *ring = &rings[item->ring];
    pthread_mutex_lock(&ring->lock);
    if (item->link == ITEM_NEW) {
        insert_locked(ring, item);
    }
    if (replaced != NULL) { /* the same key, so the same ring */
        unlink_locked(ring, replaced);
    }
    pthread_mutex_unlock(&ring->lock);
}

void clock_unlink(struct item *item)
{
    struct ring *ring = &rings[item->ring];
    pthread_mutex_lock(&ring->lock);
    unlink_locked(ring, item);
    pthread_mutex_unlock(&ring->lock);
}

/* Takes up to VICTIMS items that were not read lately out of a ring, for so many bytes. */
static size_t take_unread(struct ring *ring, size_t bytes, struct item *victims[VICTIMS])
{
    size_t taken = 0;
    size_t taken_bytes = 0;
    pthread_mutex_lock(&ring->lock);
    size_t steps = 2 * ring->count; /* the first round clears all marks that the second could meet */
    while (ring->hand != NULL && steps-- > 0 && taken < VICTIMS && taken_bytes < bytes) {
        struct item *item = ring->hand;
        if ((item_marks(item) & ITEM_TOUCHED) != 0) {
            item_unmark(item, ITEM_TOUCHED);
            ring->hand = item->ring_next;
        } else {
            unlink_locked(ring, item);
            victims[taken++] = item;
            taken_bytes += allocator_item_cost(item, item_bytes(item));
        }
    }
    pthread_mutex_unlock(&ring->lock);
    return taken;
}

size_t clock_evict(struct worker *worker, size_t bytes)
{
    size_t evicted = 0;
    for (unsigned empty = 0; evicted < bytes && empty < RINGS;) {
        struct item *victims[VICTIMS];
        size_t taken = take_unread(&rings[worker->evict_ring], bytes - evicted, victims);
        worker->evict_ring = (worker->evict_ring + 1) % RINGS;
        empty = taken > 0 ? 0 : empty + 1;
        for (size_t i = 0; i < taken; i++) {
            evicted += allocator_item_cost(victims[i], item_bytes(victims[i]));
            if (table_remove(worker, victims[i])) {
                counter_add(&worker->counters, COUNT_evictions, 1);
            }
        }
    }
    return evicted;
}

/* Takes up to VICTIMS dead items out of a ring. Looks at *steps at most, and subtracts what it did. */
static size_t take_dead(struct ring *ring, size_t *steps, uint32_t now_s,
                        struct item *victims[VICTIMS])
{
    size_t taken = 0;
    pthread_mutex_lock(&ring->lock);
    while (ring->sweep != NULL && *steps > 0 && taken < VICTIMS) {
        struct item *item = ring->sweep;
        ring->sweep = item->ring_next;
        (*steps)--;
        if (ring->unswept > 0) {
            ring->unswept--;
        }
        if (item_is_dead(item, now_s)) {
            unlink_locked(ring, item);
            victims[taken++] = item;
        }
    }
    if (ring->sweep == NULL) {
        *steps = 0; /* the ring is empty */
    }
    pthread_mutex_unlock(&ring->lock);
    return taken;
}

/* How many items of a ring a sweep looks at now. */
static size_t steps_due(struct ring *ring)
{
    uint32_t generation = expiry_generation();
    pthread_mutex_lock(&ring->lock);
    if (ring->generation != generation) {
        ring->generation = generation;
        ring->unswept = ring->count;
    }
    size_t steps = ring->count / SWEEPS_PER_ROUND + 1;
    if (ring->unswept > steps) {
        steps = ring->unswept < 16 * SWEEP_STEPS ? ring->unswept : 16 * SWEEP_STEPS;
    }
    pthread_mutex_unlock(&ring->lock);
    return steps;
}

void clock_sweep(struct worker *worker)
{
    for (size_t i = worker->number; i < RINGS; i += options.threads) {
        struct item *victims[VICTIMS];
        for (size_t steps = steps_due(&rings[i]); steps > 0;) {
            size_t now = steps < SWEEP_STEPS ? steps : SWEEP_STEPS; /* the lock is held for these */
            size_t left = now;
            size_t taken = take_dead(&rings[i], &left, worker->now_s, victims);
            for (size_t k = 0; k < taken; k++) {
                if (table_remove(worker, victims[k])) {
                    counter_add(&worker->counters, COUNT_reclaimed, 1);
                }
            }
            steps -= now - left;
        }
    }
}
