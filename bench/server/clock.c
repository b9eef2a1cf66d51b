/* clock: rings of items with a hand each for eviction and for sweeping. */
#include "clock.h"

#include "allocator.h"
#include "expiry.h"
#include "table.h"
#include "worker.h"

#include <stdalign.h>

enum { RINGS = 64, VICTIMS = 16, SWEEP_STEPS = 256, SWEEPS_PER_ROUND = 300, SWEEPS_AT_ONCE = 64 };

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

static void insert_locked(struct ring *ring, struct item *item)
{
    struct item *next = ring->hand;
    if (next == NULL) {
        next = ring->hand = ring->sweep = item->ring_previous = item;
    }
    struct item *previous = next == item ? item : next->ring_previous;
    item->ring_next = next;
    item->ring_previous = previous;
    previous->ring_next = item;
    next->ring_previous = item;
    item->link = ITEM_LINKED;
    ring->count++;
}

static void unlink_locked(struct ring *ring, struct item *item)
{
    if (item->link == ITEM_LINKED) {
        struct item *next = item->ring_next != item ? item->ring_next : NULL;
        item->ring_previous->ring_next = item->ring_next;
        item->ring_next->ring_previous = item->ring_previous;
        ring->hand = ring->hand == item ? next : ring->hand;
        ring->sweep = ring->sweep == item ? next : ring->sweep;
        ring->count--;
    }
    item->link = ITEM_UNLINKED;
}

void clock_exchange(struct item *item, struct item *replaced)
{
    struct ring *ring = &rings[(item != NULL ? item : replaced)->ring]; /* one key, one ring */
    pthread_mutex_lock(&ring->lock);
    if (item != NULL && item->link == ITEM_NEW) {
        insert_locked(ring, item);
    }
    if (replaced != NULL) {
        unlink_locked(ring, replaced);
    }
    pthread_mutex_unlock(&ring->lock);
}

/* Takes up to VICTIMS items that were not read lately out of a ring, for so many bytes. */
static size_t take_unread(struct ring *ring, size_t bytes, struct item *victims[VICTIMS])
{
    size_t taken = 0;
    size_t taken_bytes = 0;
    pthread_mutex_lock(&ring->lock);
    size_t steps = 2 * ring->count; /* one round clears all marks, the next one finds them clear */
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
            worker_count(worker, COUNT_evictions, table_remove(worker, victims[i]));
        }
    }
    return evicted;
}

/* Takes up to VICTIMS dead items out of a ring. */
static size_t take_dead(struct ring *ring, uint32_t now_s, struct item *victims[VICTIMS])
{
    size_t taken = 0;
    pthread_mutex_lock(&ring->lock);
    if (ring->generation != expiry_generation()) {
        ring->generation = expiry_generation();
        ring->unswept = ring->count;
    }
    size_t steps = ring->unswept > 0 ? SWEEP_STEPS : ring->count / SWEEPS_PER_ROUND + 1;
    for (; ring->sweep != NULL && steps > 0 && taken < VICTIMS; steps--) {
        struct item *item = ring->sweep;
        ring->sweep = item->ring_next;
        ring->unswept -= ring->unswept > 0;
        if (item_is_dead(item, now_s)) {
            unlink_locked(ring, item);
            victims[taken++] = item;
        }
    }
    pthread_mutex_unlock(&ring->lock);
    return taken;
}

void clock_sweep(struct worker *worker, size_t first, size_t step)
{
    for (size_t i = first; i < RINGS; i += step) {
        struct item *victims[VICTIMS];
        size_t taken = VICTIMS;
        for (unsigned sweeps = 0; taken == VICTIMS && sweeps < SWEEPS_AT_ONCE; sweeps++) {
            taken = take_dead(&rings[i], worker->now_s, victims);
            for (size_t k = 0; k < taken; k++) {
                worker_count(worker, COUNT_reclaimed, table_remove(worker, victims[k]));
            }
        }
    }
}
