/* registry: the list of active caches, its walk, and what leaves it. */
#include "tcache/registry.h"

#include "tcache/budget.h"

#define URCU_INLINE_SMALL_FUNCTIONS /* of the lists: no call into liburcu */
#include <urcu/rculist.h>

enum { WALK_TURNS_MAX = 8, SLOW_PATH_TURNS_MAX = 2 };

/* Written under LOCK_REGISTRY; walkers read it through RCU. */
static CDS_LIST_HEAD(active);

struct thread_counts mbi_departed_counts;

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

static bool watched; /* under LOCK_REGISTRY */

/* relaxed [FLAG]: the owner reads both, and a profile begins after all are written. */
static void set_large_ways(struct thread_cache *cache)
{
    uint8_t large_turn = watched ? 0 : LARGE_PER_TURN - 1;
    flag_set(&cache->passes_on, !watched);
    atomic_store_explicit(&cache->large_turn, large_turn, memory_order_relaxed); /* [FLAG] */
}

/* liburcu's publication orders what was written to the cache, and its mapping, before the link. */
static void publish(struct thread_cache *cache)
{
    MBI_TSAN_PUBLISHES(&cache->node);
    cds_list_add_rcu(&cache->node, &active);
}

uint64_t mbi_registry_threads(void)
{
    /* Read without the lock, either may be the later one. */
    return size_above(counter_read(&mbi_cache_counts.in_use),
                      counter_read(&mbi_cache_counts.parked));
}

uint64_t mbi_registry_add(struct thread_cache *cache)
{
    if (!mbi_lock_acquire(LOCK_REGISTRY)) {
        return 0;
    }
    sigset_t before = mbi_lock_block_signals(); /* all, or nothing, for a handler's fork */
    set_large_ways(cache);
    publish(cache);
    cache->listed = true;
    counter_add(&mbi_cache_counts.in_use, 1);
    mbi_lock_restore_signals(&before);
    uint64_t threads = mbi_registry_threads();
    mbi_lock_release(LOCK_REGISTRY);
    return threads;
}

static void fold_counts(struct thread_cache *cache)
{
    for (size_t class = pools_next(0); class < SIZE_CLASS_COUNT; class = pools_next(class + 1)) {
        struct transfer_counts *counts = &cache->transfers[class];
        if (!transfer_counts_are_zero(counts)) { /* else the pool's lock can be spared */
            mbi_pool_fold_counts(pool_at(class), counts);
            transfer_counts_clear(counts);
        }
    }
    thread_counts_add(&mbi_departed_counts, &cache->counts);
    thread_counts_clear(&cache->counts);
}

/* Takes the cache off the list; under the lock. */
static void retire_locked(struct thread_cache *cache)
{
    /* acquire [CHANGE-BEGIN]: pairs with [CHANGE-CHECK]. */
    atomic_fetch_add_explicit(&changes, 1, memory_order_acquire);
    fold_counts(cache);
    cds_list_del_rcu(&cache->node);
    /* release [CHANGE-END]: pairs with [CHANGE-LOAD]. */
    atomic_fetch_add_explicit(&changes, 1, memory_order_release);
    counter_subtract(&mbi_cache_counts.in_use, 1);
    mbi_vacant_retire_locked(cache);
}

enum retirement mbi_registry_try_retire(struct thread_cache *cache)
{
    if (!mbi_lock_acquire(LOCK_REGISTRY)) {
        return RETIRE_REFUSED;
    }
    /* Looked at and added to under one hold of the lock: never more than RETIRE_MAX. */
    bool room = mbi_vacant_make_room_locked();
    if (room) {
        retire_locked(cache);
    }
    mbi_lock_release(LOCK_REGISTRY);
    return room ? RETIRED : RETIRE_NO_ROOM;
}

enum retirement mbi_registry_retire(struct thread_cache *cache)
{
    enum retirement result = mbi_registry_try_retire(cache);
    while (result == RETIRE_NO_ROOM) {
        mbi_vacant_wait_for_room();
        result = mbi_registry_try_retire(cache);
    }
    if (result == RETIRED) {
        mbi_vacant_reclaim_batch();
    }
    return result;
}

/*
 * Hidden from ThreadSanitizer: liburcu 0.13 accesses its lists' links as volatile, which the tool
 * takes for plain accesses. It is told what they publish, and sees what `visit` reads.
 */
MBI_UNSEEN_BY_TSAN void walk_once(
    void (*visit)(const struct thread_cache *cache, void *argument), void *argument)
{
    struct cds_list_head *node;
    cds_list_for_each_rcu(node, &active) {
        MBI_TSAN_SEES_PUBLISHED(node);
        visit(cds_list_entry(node, struct thread_cache, node), argument);
    }
}

static void take_turns(int turns_max, void (*before)(void *argument),
                       void (*visit)(const struct thread_cache *cache, void *argument),
                       void *argument)
{
    for (int turn = 0; turn < turns_max; turn++) {
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
}

void mbi_registry_walk(void (*before)(void *argument),
                       void (*visit)(const struct thread_cache *cache, void *argument),
                       void *argument)
{
    struct cancelling cancelling = mbi_lock_forbid_cancel();
    bool rcu = mbi_vacant_begin_walk();
    take_turns(WALK_TURNS_MAX, before, visit, argument);
    mbi_vacant_end_walk(rcu);
    mbi_lock_allow_cancel(cancelling);
}

bool mbi_registry_try_walk(void (*before)(void *argument),
                           void (*visit)(const struct thread_cache *cache, void *argument),
                           void *argument)
{
    bool begun = mbi_vacant_try_begin_walk();
    if (begun) {
        take_turns(SLOW_PATH_TURNS_MAX, before, visit, argument);
        mbi_vacant_end_walk(false);
    }
    return begun;
}

/*
 * Not an RCU walk: this may be called from malloc, which never enters liburcu. Meanwhile no thread
 * gets or leaves a cache: a microsecond for each thread's, and about 15 for each full parked one.
 */
void mbi_registry_ask_all(void)
{
    if (!mbi_lock_acquire(LOCK_REGISTRY)) {
        return;
    }
    struct cds_list_head *node;
    cds_list_for_each(node, &active) {
        struct thread_cache *cache = cds_list_entry(node, struct thread_cache, node);
        if (flag_is_set(&cache->parked)) {
            mbi_parked_drain_locked(cache);
        } else if (cache != mbi_thread_cache) {
            mbi_thread_cache_ask(cache);
        }
    }
    mbi_lock_release(LOCK_REGISTRY);
}

bool mbi_registry_watch(void)
{
    if (!mbi_lock_acquire(LOCK_REGISTRY)) {
        return false;
    }
    watched = true;
    struct cds_list_head *node;
    cds_list_for_each(node, &active) {
        set_large_ways(cds_list_entry(node, struct thread_cache, node));
    }
    mbi_lock_release(LOCK_REGISTRY);
    return true;
}

void mbi_registry_interrupt_all(void)
{
    if (!mbi_lock_acquire(LOCK_REGISTRY)) {
        return;
    }
    struct cds_list_head *node;
    cds_list_for_each(node, &active) {
        mbi_thread_cache_interrupt(cds_list_entry(node, struct thread_cache, node));
    }
    mbi_lock_release(LOCK_REGISTRY);
}

/*
 * A thread that fork left behind stopped between any two instructions: its chains may be one
 * slot short or in two places at once, so they are counted and never followed.
 */
static void abandon_cache(struct thread_cache *cache)
{
    fold_counts(cache);
    mbi_thread_cache_tell(cache);
    for (size_t class = pools_next(0); class < SIZE_CLASS_COUNT; class = pools_next(class + 1)) {
        size_t slots = mbi_thread_cache_rounds(cache, class);
        if (slots != 0) {
            mbi_pool_add_orphans(pool_at(class), slots);
        }
    }
    mbi_vacant_reuse_locked(cache); /* initialised anew when taken */
}

/* What stays: those without a thread, and that of the child's. Returns the others' taken bytes. */
static size_t abandon_all_but(const struct thread_cache *survivor)
{
    size_t taken_bytes = 0;
    struct cds_list_head *node;
    struct cds_list_head *next;
    cds_list_for_each_safe(node, next, &active) {
        struct thread_cache *cache = cds_list_entry(node, struct thread_cache, node);
        if (cache != survivor && !flag_is_set(&cache->parked)) {
            cds_list_del_rcu(&cache->node);
            counter_subtract(&mbi_cache_counts.in_use, 1);
            taken_bytes += cache->taken_bytes;
            abandon_cache(cache);
        }
    }
    return taken_bytes;
}

/*
 * What is taken of the budget from now on: what the caches that stay have noted. If a handler forks
 * that interrupted this thread, it may have taken more, or be about to give some back, and notes
 * that later. So only what the others noted is given back: what these were about to note, a piece
 * each at most, stays taken.
 */
static void reset_budget(const struct thread_cache *survivor, size_t abandoned_bytes)
{
    size_t bytes = mbi_parked_bytes() + (survivor != NULL ? survivor->taken_bytes : 0);
    if (mbi_lock_has_any() || (survivor != NULL && survivor->busy)) {
        bytes = size_max(bytes, size_above(bounded_taken(&mbi_budget), abandoned_bytes));
    }
    bounded_reset(&mbi_budget, bytes);
}

void mbi_registry_reset_in_child(struct thread_cache *survivor)
{
    if (mbi_registry_threads() != (survivor != NULL)) { /* else the page need not be copied */
        reset_budget(survivor, abandon_all_but(survivor));
    }
    mbi_vacant_reset_in_child();
}
