/* registry: lists, grace periods and the one walk. */
#include "tcache/registry.h"

#include "core/os.h"
#include "tcache/budget.h"

#include <urcu/urcu-bp.h>
#include <urcu/rculist.h>

enum { CACHES_PER_MAPPING = 16, WALK_TURNS_MAX = 8 };

static struct lock reclaim_lock = LOCK_INITIALIZER;
static struct lock walker_lock = LOCK_INITIALIZER;
static struct lock registry_lock = LOCK_INITIALIZER;

/* All under registry_lock; walkers read `active` through RCU. */
static CDS_LIST_HEAD(active);
static struct thread_cache *retired;
static struct thread_cache *reusable;
static struct registry_totals totals;

/* Set in a forked child, while it has one thread. */
static bool without_rcu;

/*
 * Odd while a departing cache is both folded and listed. A sequence lock with a
 * read-don't-modify-write at its end (Boehm, MSPC 2012).
 *   walk    [CHANGE-LOAD] acquire load, then the sums, then [CHANGE-CHECK] adds 0, release
 *   retire  [CHANGE-BEGIN] adds 1, acquire, then folds, then [CHANGE-END] adds 1, release
 * A walker whose CHECK comes before a BEGIN has by that pair read all its terms before they were
 * changed; one whose CHECK comes after it sees another number, and adds up again. LOAD pairs with
 * END: a walker that starts with an even number sees what was folded before.
 */
static _Atomic uint64_t changes;

static void list_push(struct thread_cache **list, struct thread_cache *cache)
{
    cache->next_idle = *list;
    *list = cache;
}

static struct thread_cache *list_pop(struct thread_cache **list)
{
    struct thread_cache *cache = *list;
    if (cache != NULL) {
        *list = cache->next_idle;
    }
    return cache;
}

/* Fresh caches come sixteen to a mapping. They are mapped outside the lock. */
static bool registry_map_caches(void)
{
    struct thread_cache *caches = mbi_os_map(CACHES_PER_MAPPING * sizeof *caches);
    if (caches == NULL) {
        return false;
    }
    mbi_lock_acquire(&registry_lock);
    for (size_t i = CACHES_PER_MAPPING; i-- > 0;) {
        list_push(&reusable, &caches[i]);
    }
    totals.caches_reusable += CACHES_PER_MAPPING;
    mbi_lock_release(&registry_lock);
    return true;
}

struct thread_cache *mbi_registry_take_cache(void)
{
    struct thread_cache *cache;
    do {
        mbi_lock_acquire(&registry_lock);
        cache = list_pop(&reusable);
        if (cache != NULL) {
            totals.caches_reusable--;
        }
        mbi_lock_release(&registry_lock);
    } while (cache == NULL && registry_map_caches());

    if (cache != NULL) {
        mbi_thread_cache_init(cache);
    }
    return cache;
}

void mbi_registry_put_back(struct thread_cache *cache)
{
    mbi_lock_acquire(&registry_lock);
    list_push(&reusable, cache);
    totals.caches_reusable++;
    mbi_lock_release(&registry_lock);
}

/* liburcu's publication orders what was written to the cache, and its mapping, before the link. */
static void publish(struct thread_cache *cache)
{
    MBI_TSAN_PUBLISHES(&cache->node);
    cds_list_add_rcu(&cache->node, &active);
}

uint64_t mbi_registry_add(struct thread_cache *cache)
{
    mbi_lock_acquire(&registry_lock);
    publish(cache);
    uint64_t threads = ++totals.threads_active;
    mbi_lock_release(&registry_lock);
    return threads;
}

/*
 * Waits until no walker can hold a cache that has left the list.
 *
 * liburcu decides for membarrier when it is loaded, and ends the process when it fails later, as
 * it does once a sandbox refuses it. So it is tried first, each time, since filters belong to
 * threads. Walkers hold the walker lock throughout: whoever gets it has waited for them too.
 */
static void grace_period(void)
{
    if (!without_rcu && mbi_os_membarrier()) {
        urcu_bp_synchronize_rcu();
        return;
    }
    mbi_lock_acquire(&walker_lock);
    mbi_lock_release(&walker_lock);
}

/* Under the reclaim lock. On return there was a moment with fewer than RETIRE_BATCH retired. */
static void reclaim_retired_locked(void)
{
    for (;;) {
        mbi_lock_acquire(&registry_lock);
        struct thread_cache *batch = NULL;
        uint64_t count = totals.caches_retired;
        if (count >= RETIRE_BATCH) {
            batch = retired;
            retired = NULL;
        }
        mbi_lock_release(&registry_lock);
        if (batch == NULL) {
            break;
        }

        grace_period();

        mbi_lock_acquire(&registry_lock);
        struct thread_cache *cache;
        while ((cache = list_pop(&batch)) != NULL) {
            list_push(&reusable, cache);
        }
        totals.caches_retired -= count;
        totals.caches_reusable += count;
        mbi_lock_release(&registry_lock);
    }
}

static void fold_counts(struct thread_cache *cache)
{
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        struct transfer_counts *counts = &cache->transfers[class];
        if (counter_read(&counts->refills) + counter_read(&counts->flushes) != 0) {
            mbi_pool_fold_counts(&mbi_pools[class], counts);
            transfer_counts_clear(counts);
        }
    }
    totals.departed_large_allocs += counter_read(&cache->large_allocs);
    totals.departed_large_frees += counter_read(&cache->large_frees);
    counter_clear(&cache->large_allocs);
    counter_clear(&cache->large_frees);
}

void mbi_registry_retire(struct thread_cache *cache)
{
    mbi_lock_acquire(&registry_lock);
    /* Looked at and added to under one hold of the lock: never more than RETIRE_MAX. */
    while (totals.caches_retired >= RETIRE_MAX) {
        mbi_lock_release(&registry_lock);
        mbi_lock_acquire(&reclaim_lock);
        reclaim_retired_locked();
        mbi_lock_release(&reclaim_lock);
        mbi_lock_acquire(&registry_lock);
    }
    /* acquire [CHANGE-BEGIN]: pairs with [CHANGE-CHECK]. */
    atomic_fetch_add_explicit(&changes, 1, memory_order_acquire);
    fold_counts(cache);
    cds_list_del_rcu(&cache->node);
    /* release [CHANGE-END]: pairs with [CHANGE-LOAD]. */
    atomic_fetch_add_explicit(&changes, 1, memory_order_release);
    totals.threads_active--;
    list_push(&retired, cache);
    totals.caches_retired++;
    bool enough = totals.caches_retired >= RETIRE_BATCH;
    mbi_lock_release(&registry_lock);

    /* If somebody is at it, what he misses the next retirement finds. */
    if (enough && mbi_lock_try_acquire(&reclaim_lock)) {
        reclaim_retired_locked();
        mbi_lock_release(&reclaim_lock);
    }
}

/*
 * Hidden from ThreadSanitizer: liburcu 0.13 reads and writes the links of its lists as volatile,
 * which the tool takes for plain accesses; it is told what they publish. What `visit` reads it
 * sees.
 */
MBI_UNSEEN_BY_TSAN void walk_once(
    void (*visit)(const struct thread_cache *cache, void *argument), void *argument)
{
    bool rcu = !without_rcu;
    if (rcu) {
        urcu_bp_read_lock();
    }
    struct cds_list_head *node;
    cds_list_for_each_rcu(node, &active) {
        MBI_TSAN_SEES_PUBLISHED(node);
        visit(cds_list_entry(node, struct thread_cache, node), argument);
    }
    if (rcu) {
        urcu_bp_read_unlock();
    }
}

void mbi_registry_walk(void (*before)(void *argument),
                       void (*visit)(const struct thread_cache *cache, void *argument),
                       void *argument)
{
    mbi_lock_acquire(&walker_lock);
    for (int turn = 0; turn < WALK_TURNS_MAX; turn++) {
        /* acquire [CHANGE-LOAD]: pairs with [CHANGE-END]. */
        uint64_t seen = atomic_load_explicit(&changes, memory_order_acquire);
        before(argument);
        walk_once(visit, argument);
        /* release [CHANGE-CHECK]: pairs with [CHANGE-BEGIN]. */
        uint64_t now = atomic_fetch_add_explicit(&changes, 0, memory_order_release);
        if (now == seen && seen % 2 == 0) {
            break;
        }
    }
    mbi_lock_release(&walker_lock);
}

struct registry_totals mbi_registry_totals(void)
{
    mbi_lock_acquire(&registry_lock);
    struct registry_totals copy = totals;
    mbi_lock_release(&registry_lock);
    return copy;
}

/*
 * Not an RCU walk: this may be called from malloc, which never enters liburcu. It writes to each
 * cache, and so would keep threads from coming and going for a microsecond each.
 */
void mbi_registry_ask_all(void)
{
    mbi_lock_acquire(&registry_lock);
    struct cds_list_head *node;
    cds_list_for_each(node, &active) {
        struct thread_cache *cache = cds_list_entry(node, struct thread_cache, node);
        if (cache != mbi_thread_cache) {
            mbi_thread_cache_ask(cache);
        }
    }
    mbi_lock_release(&registry_lock);
}

void mbi_registry_lock_all(void)
{
    mbi_lock_acquire(&reclaim_lock);
    mbi_lock_acquire(&walker_lock);
    mbi_lock_acquire(&registry_lock);
}

void mbi_registry_unlock_all(void)
{
    mbi_lock_release(&registry_lock);
    mbi_lock_release(&walker_lock);
    mbi_lock_release(&reclaim_lock);
}

/*
 * A thread that fork left behind stopped between any two instructions: its chains may be one
 * slot short or in two places at once, so they are counted and never followed.
 */
static void abandon_cache(struct thread_cache *cache)
{
    fold_counts(cache);
    mbi_thread_cache_tell(cache);
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        size_t slots = mbi_thread_cache_rounds(cache, class);
        if (slots != 0) {
            mbi_pool_add_orphans(&mbi_pools[class], slots);
        }
    }
    list_push(&reusable, cache); /* initialised anew when taken */
    totals.caches_reusable++;
}

void mbi_registry_reset_in_child(struct thread_cache *survivor)
{
    without_rcu = true;
    struct thread_cache *cache;
    struct cds_list_head *node;
    struct cds_list_head *next;
    cds_list_for_each_safe(node, next, &active) {
        cache = cds_list_entry(node, struct thread_cache, node);
        if (cache != survivor) {
            abandon_cache(cache);
        }
    }
    mbi_budget_reset_in_child(survivor != NULL ? survivor->taken_bytes : 0);
    CDS_INIT_LIST_HEAD(&active);
    totals.threads_active = 0;
    if (survivor != NULL) {
        publish(survivor);
        totals.threads_active = 1;
    }
    while ((cache = list_pop(&retired)) != NULL) {
        list_push(&reusable, cache);
    }
    totals.caches_reusable += totals.caches_retired;
    totals.caches_retired = 0;

    mbi_lock_init(&reclaim_lock);
    mbi_lock_init(&walker_lock);
    mbi_lock_init(&registry_lock);
}
