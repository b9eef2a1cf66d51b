/* registry: lists, grace periods and the one walk. */
#include "tcache/registry.h"

#include "core/os.h"
#include "core/upcalls.h"
#include "tcache/budget.h"

#define URCU_INLINE_SMALL_FUNCTIONS /* of the lists: no call into liburcu */
#include <urcu/rculist.h>

enum { CACHES_PER_MAPPING = 16, WALK_TURNS_MAX = 8 };

/*
 * All under LOCK_REGISTRY; walkers read `active` through RCU. The totals are written under it, and
 * read without.
 */
static CDS_LIST_HEAD(active);
static struct thread_cache *retired;
static struct thread_cache *waiting; /* retired, and somebody waits for their grace period */
/*
 * Set without the lock, by the one who waited, where that was refused when the wait was over. Read and
 * cleared under it, by who puts them back among the retired.
 */
static _Atomic bool waiting_over;
static struct thread_cache *reusable;
static struct {
    _Atomic uint64_t threads_active;
    _Atomic uint64_t caches_retired; /* those that wait included */
    _Atomic uint64_t caches_reusable;
} totals = { .caches_reusable = 1 };

struct thread_counts mbi_departed_counts;

/*
 * Caches that nobody has had yet, one after the other: those behind the next are not touched. The
 * first thread's is there from the start, so that a process with one thread maps none.
 */
static struct {
    struct thread_cache *next;
    size_t count;
} fresh = { .next = &mbi_first_cache, .count = 1 };

/* Set at startup, or in a forked child while it has one thread. */
static bool without_rcu;

void mbi_registry_do_without_rcu(void)
{
    without_rcu = true;
}

/*
 * Walks under way.
 *   walk    [WALK-BEGIN] adds 1, acquire; reads the list; [WALK-END] subtracts 1, release
 *   retire  takes the cache off the list; [WALK-LOOK] adds 0, acquire and release
 * All are read-modify-writes of one word, so they have one order. A walk that begins after the look
 * sees the list without the cache; one that began before it is either still counted, or has read
 * for the last time before the cache is used again.
 */
static _Atomic uint32_t walks;
static _Thread_local uint8_t own_walks __attribute__((tls_model("initial-exec")));

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
    cache->next_vacant = *list;
    *list = cache;
}

static struct thread_cache *list_pop(struct thread_cache **list)
{
    struct thread_cache *cache = *list;
    if (cache != NULL) {
        *list = cache->next_vacant;
    }
    return cache;
}

/* Moves a whole list to the reusable; how many. */
static uint64_t list_reuse(struct thread_cache **list)
{
    struct thread_cache *cache;
    uint64_t count = 0;
    while ((cache = list_pop(list)) != NULL) {
        list_push(&reusable, cache);
        count++;
    }
    return count;
}

/*
 * Fresh caches come sixteen to a mapping. They are mapped outside the lock: if somebody else did so
 * at the same time, his go on the list.
 */
static bool registry_map_caches(void)
{
    struct thread_cache *caches = mbi_os_map(CACHES_PER_MAPPING * sizeof *caches);
    if (caches == NULL) {
        return false;
    }
    if (!mbi_lock_acquire(LOCK_REGISTRY)) {
        mbi_os_unreserve(caches, CACHES_PER_MAPPING * sizeof *caches);
        return false;
    }
    while (fresh.count != 0) {
        list_push(&reusable, &fresh.next[--fresh.count]);
    }
    fresh.next = caches;
    fresh.count = CACHES_PER_MAPPING;
    counter_add(&totals.caches_reusable, CACHES_PER_MAPPING);
    mbi_lock_release(LOCK_REGISTRY);
    return true;
}

/* Nobody walks, and who begins from now on sees the list as it is. */
static bool no_walk_is_under_way(void)
{
    /* acquire and release [WALK-LOOK]: pairs with [WALK-BEGIN] and [WALK-END]. */
    return atomic_fetch_add_explicit(&walks, 0, memory_order_acq_rel) == 0;
}

static void note_reusable_locked(uint64_t count)
{
    counter_add(&totals.caches_retired, -count);
    counter_add(&totals.caches_reusable, count);
}

/* What waited in vain, or is not known to have. */
static void stop_waiting_locked(void)
{
    struct thread_cache *cache;
    while ((cache = list_pop(&waiting)) != NULL) {
        list_push(&retired, cache);
    }
    flag_set(&waiting_over, false);
}

/* The retired become reusable if nobody walks. */
static void reuse_retired_locked(void)
{
    if (MBI_UNLIKELY(flag_is_set(&waiting_over))) {
        stop_waiting_locked();
    }
    if (retired != NULL && no_walk_is_under_way()) {
        note_reusable_locked(list_reuse(&retired));
    }
}

/* A cache that was used before, or else a fresh one; NULL when there is none. Under the lock. */
static struct thread_cache *registry_find_cache_locked(void)
{
    struct thread_cache *cache = list_pop(&reusable);
    if (cache == NULL && fresh.count != 0) {
        fresh.count--;
        cache = fresh.next++;
    }
    return cache;
}

struct thread_cache *mbi_registry_take_cache(void)
{
    struct thread_cache *cache;
    do {
        if (!mbi_lock_acquire(LOCK_REGISTRY)) {
            return NULL;
        }
        if (reusable == NULL) {
            reuse_retired_locked();
        }
        cache = registry_find_cache_locked();
        if (cache != NULL) {
            counter_add(&totals.caches_reusable, -(uint64_t)1);
        }
        mbi_lock_release(LOCK_REGISTRY);
    } while (cache == NULL && registry_map_caches());

    if (cache != NULL) {
        mbi_thread_cache_init(cache);
    }
    return cache;
}

bool mbi_registry_put_back(struct thread_cache *cache)
{
    if (!mbi_lock_acquire(LOCK_REGISTRY)) {
        return false;
    }
    list_push(&reusable, cache);
    counter_add(&totals.caches_reusable, 1);
    mbi_lock_release(LOCK_REGISTRY);
    return true;
}

/* liburcu's publication orders what was written to the cache, and its mapping, before the link. */
static void publish(struct thread_cache *cache)
{
    MBI_TSAN_PUBLISHES(&cache->node);
    cds_list_add_rcu(&cache->node, &active);
}

uint64_t mbi_registry_add(struct thread_cache *cache)
{
    if (!mbi_lock_acquire(LOCK_REGISTRY)) {
        return 0;
    }
    sigset_t before = mbi_lock_block_signals(); /* all, or nothing, for a handler's fork */
    publish(cache);
    cache->listed = true;
    counter_add(&totals.threads_active, 1);
    mbi_lock_restore_signals(&before);
    uint64_t threads = counter_read(&totals.threads_active);
    mbi_lock_release(LOCK_REGISTRY);
    return threads;
}

/*
 * Waits until no walker can hold a cache that has left the list; false where liburcu cannot be
 * asked. No lock is held, and poll(2) in it is no cancellation point here.
 *
 * liburcu decides for membarrier when it is loaded, and ends the process when it fails later, as
 * it does once a sandbox refuses it. So it is tried first, each time, since filters belong to
 * threads.
 */
static bool grace_period(void)
{
    if (without_rcu || !mbi_epochs_in_use() || !mbi_os_membarrier()) {
        return false;
    }
    struct cancelling cancelling = mbi_lock_forbid_cancel();
    mbi_epochs_synchronize();
    mbi_lock_allow_cancel(cancelling);
    return true;
}

/* Takes the retired, if there are enough of them, and nobody waits for others already. */
static bool begin_reclaim(void)
{
    bool begun = false;
    if (mbi_lock_acquire(LOCK_REGISTRY)) {
        reuse_retired_locked();
        if (waiting == NULL && counter_read(&totals.caches_retired) >= RETIRE_BATCH) {
            waiting = retired;
            retired = NULL;
            begun = true;
        }
        mbi_lock_release(LOCK_REGISTRY);
    }
    return begun;
}

/* What waited is reusable, or waits as before for the walks to end. */
static void end_reclaim(bool reusable_now)
{
    if (!mbi_lock_acquire(LOCK_REGISTRY)) {
        flag_set(&waiting_over, true);
        return;
    }
    if (reusable_now) {
        note_reusable_locked(list_reuse(&waiting));
    }
    stop_waiting_locked();
    mbi_lock_release(LOCK_REGISTRY);
}

/* Waits until the retire list may have room: for a grace period, on behalf of all. */
static void wait_for_room(void)
{
    bool begun = begin_reclaim();
    bool ended = grace_period();
    if (begun) {
        end_reclaim(ended);
    }
    if (!ended) {
        mbi_os_sleep_ms(1); /* walks come to an end by themselves */
    }
}

static void fold_counts(struct thread_cache *cache)
{
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        struct transfer_counts *counts = &cache->transfers[class];
        if (!transfer_counts_are_zero(counts)) { /* else the pool's lock can be spared */
            mbi_pool_fold_counts(&mbi_pools[class], counts);
            transfer_counts_clear(counts);
        }
    }
    thread_counts_add(&mbi_departed_counts, &cache->counts);
    thread_counts_clear(&cache->counts);
}

/* Off the list; under the lock. */
static void retire_locked(struct thread_cache *cache)
{
    /* acquire [CHANGE-BEGIN]: pairs with [CHANGE-CHECK]. */
    atomic_fetch_add_explicit(&changes, 1, memory_order_acquire);
    fold_counts(cache);
    cds_list_del_rcu(&cache->node);
    /* release [CHANGE-END]: pairs with [CHANGE-LOAD]. */
    atomic_fetch_add_explicit(&changes, 1, memory_order_release);
    counter_add(&totals.threads_active, -(uint64_t)1);
    list_push(&retired, cache);
    counter_add(&totals.caches_retired, 1);
    reuse_retired_locked();
}

enum retirement mbi_registry_try_retire(struct thread_cache *cache)
{
    if (!mbi_lock_acquire(LOCK_REGISTRY)) {
        return RETIRE_REFUSED;
    }
    /* Looked at and added to under one hold of the lock: never more than RETIRE_MAX. */
    reuse_retired_locked();
    bool room = counter_read(&totals.caches_retired) < RETIRE_MAX;
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
        wait_for_room();
        result = mbi_registry_try_retire(cache);
    }
    if (result == RETIRED && counter_read(&totals.caches_retired) >= RETIRE_BATCH
        && begin_reclaim()) {
        end_reclaim(grace_period());
    }
    return result;
}

/*
 * Hidden from ThreadSanitizer: liburcu 0.13 reads and writes the links of its lists as volatile,
 * which the tool takes for plain accesses; it is told what they publish. What `visit` reads it
 * sees.
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

/* A walk that would begin while threads wait for room leaves them a moment without any. */
static void begin_walk(void)
{
    while (own_walks == 0 && counter_read(&totals.caches_retired) >= RETIRE_MAX
           && !no_walk_is_under_way()) {
        mbi_os_sleep_ms(1);
    }
    sigset_t before = mbi_lock_block_signals(); /* both, or none, for a handler's fork */
    own_walks++;
    /* acquire [WALK-BEGIN]: pairs with [WALK-LOOK]. */
    atomic_fetch_add_explicit(&walks, 1, memory_order_acquire);
    mbi_lock_restore_signals(&before);
}

static void end_walk(void)
{
    sigset_t before = mbi_lock_block_signals();
    /* release [WALK-END]: pairs with [WALK-LOOK]. */
    atomic_fetch_sub_explicit(&walks, 1, memory_order_release);
    own_walks--;
    mbi_lock_restore_signals(&before);
}

void mbi_registry_walk(void (*before)(void *argument),
                       void (*visit)(const struct thread_cache *cache, void *argument),
                       void *argument)
{
    struct cancelling cancelling = mbi_lock_forbid_cancel();
    /* Loaded first: while a walk is counted, threads may wait for its end. */
    bool rcu = !without_rcu && mbi_epochs_load();
    begin_walk();
    if (rcu) {
        mbi_epochs_read_lock(); /* before the sums: a thread's first may allocate */
    }
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
    if (rcu) {
        mbi_epochs_read_unlock();
    }
    end_walk();
    mbi_lock_allow_cancel(cancelling);
}

struct registry_totals mbi_registry_totals(void)
{
    return (struct registry_totals){
        .threads_active = counter_read(&totals.threads_active),
        .caches_retired = counter_read(&totals.caches_retired),
        .caches_reusable = counter_read(&totals.caches_reusable),
    };
}

/*
 * Not an RCU walk: this may be called from malloc, which never enters liburcu. It writes to each
 * cache, and so would keep threads from coming and going for a microsecond each.
 */
void mbi_registry_ask_all(void)
{
    if (!mbi_lock_acquire(LOCK_REGISTRY)) {
        return;
    }
    struct cds_list_head *node;
    cds_list_for_each(node, &active) {
        struct thread_cache *cache = cds_list_entry(node, struct thread_cache, node);
        if (cache != mbi_thread_cache) {
            mbi_thread_cache_ask(cache);
        }
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
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        size_t slots = mbi_thread_cache_rounds(cache, class);
        if (slots != 0) {
            mbi_pool_add_orphans(&mbi_pools[class], slots);
        }
    }
    list_push(&reusable, cache); /* initialised anew when taken */
    counter_add(&totals.caches_reusable, 1);
}

/* The list of active caches made anew, with one on it at most. */
static void abandon_all_but(struct thread_cache *survivor)
{
    struct cds_list_head *node;
    struct cds_list_head *next;
    cds_list_for_each_safe(node, next, &active) {
        struct thread_cache *cache = cds_list_entry(node, struct thread_cache, node);
        if (cache != survivor) {
            abandon_cache(cache);
        }
    }
    CDS_INIT_LIST_HEAD(&active);
    if (survivor != NULL) {
        publish(survivor);
    }
}

void mbi_registry_reset_in_child(struct thread_cache *survivor)
{
    uint64_t survivors = survivor != NULL;
    without_rcu = true;
    if (counter_read(&totals.threads_active) != survivors) {
        abandon_all_but(survivor);
        counter_add(&totals.threads_active, survivors - counter_read(&totals.threads_active));
        mbi_budget_reset_in_child(survivor != NULL ? survivor->taken_bytes : 0);
    }
    if (counter_read(&totals.caches_retired) != 0) {
        note_reusable_locked(list_reuse(&retired) + list_reuse(&waiting));
        flag_set(&waiting_over, false);
    }
    /* relaxed [WALK-ALONE]: the other threads' walks ended with them; there is one thread. */
    if (atomic_load_explicit(&walks, memory_order_relaxed) != own_walks) {
        atomic_store_explicit(&walks, own_walks, memory_order_relaxed); /* [WALK-ALONE] */
    }
}
