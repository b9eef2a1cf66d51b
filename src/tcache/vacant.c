/* vacant: lists, the count of walks, grace periods. */
#include "tcache/vacant.h"

#include "core/large.h"
#include "core/os.h"
#include "core/upcalls.h"

enum { CACHES_PER_MAPPING = 16, REGISTRATION_BYTES = 1 << 20 };

/* All under LOCK_REGISTRY; the counters are read without. */
static struct thread_cache *retired;
static struct thread_cache *waiting; /* retired, and a thread waits for their grace period */
static struct thread_cache *reusable;
static _Atomic uint64_t retired_count; /* of both lists */
static _Atomic uint64_t reusable_count = 1;

/*
 * Set without the lock, by the thread that waited, where that was refused when the wait was over.
 * Read and cleared under it, by the thread that puts the waiting back among the retired.
 */
static _Atomic bool waiting_over;

/*
 * Caches that no thread has had yet, one after the other: those behind the next are not touched.
 * The first thread's is there from the start, so that a process with one thread maps none.
 */
static struct {
    struct thread_cache *next;
    size_t count;
} fresh = { .next = &mbi_first_cache, .count = 1 };

/* Set at startup, in a forked child while it has one thread, or by a walk that finds no memory. */
static _Atomic bool without_rcu;

/*
 * Walks under way.
 *   walk    [WALK-BEGIN] adds 1, acquire and release; reads the list;
 *           [WALK-END] subtracts 1, release
 *   retire  takes the cache off the list; [WALK-LOOK] adds 0, acquire and release
 * All are read-modify-writes of one word, so they have one order. A walk that begins after the look
 * sees the list without the cache; one that began before it is either still counted, or has read
 * for the last time before the cache is used again. A walk without liburcu says so in without_rcu
 * before it begins, so a grace period that was begun after the look, and does not wait for that
 * walk, finds it said when it ends.
 */
static _Atomic uint32_t walks;
static _Thread_local uint8_t own_walks __attribute__((tls_model("initial-exec")));

void mbi_vacant_do_without_rcu(void)
{
    flag_set(&without_rcu, true);
}

uint64_t mbi_vacant_retired(void)
{
    return counter_read(&retired_count);
}

uint64_t mbi_vacant_reusable(void)
{
    return counter_read(&reusable_count);
}

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

static void reuse_list_locked(struct thread_cache **list)
{
    struct thread_cache *cache;
    while ((cache = list_pop(list)) != NULL) {
        list_push(&reusable, cache);
        counter_add(&reusable_count, 1);
        counter_subtract(&retired_count, 1);
    }
}

void mbi_vacant_reuse_locked(struct thread_cache *cache)
{
    list_push(&reusable, cache);
    counter_add(&reusable_count, 1);
}

/* Outside the lock. Where another thread maps caches at the same time, its go on the list. */
static bool map_fresh(void)
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
    counter_add(&reusable_count, CACHES_PER_MAPPING);
    mbi_lock_release(LOCK_REGISTRY);
    return true;
}

/* And a walk that begins from now on sees the list as it is. */
static bool no_walk_is_under_way(void)
{
    /* acquire and release [WALK-LOOK]: pairs with [WALK-BEGIN] and [WALK-END]. */
    return atomic_fetch_add_explicit(&walks, 0, memory_order_acq_rel) == 0;
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

/* The retired become reusable if no walk is under way. */
static void reuse_retired_locked(void)
{
    if (MBI_UNLIKELY(flag_is_set(&waiting_over))) {
        stop_waiting_locked();
    }
    if (retired != NULL && no_walk_is_under_way()) {
        reuse_list_locked(&retired);
    }
}

/* A cache that was used before, or else a fresh one; NULL when there is none. */
static struct thread_cache *find_cache_locked(void)
{
    if (reusable == NULL) {
        reuse_retired_locked();
    }
    struct thread_cache *cache = list_pop(&reusable);
    if (cache == NULL && fresh.count != 0) {
        fresh.count--;
        cache = fresh.next++;
    }
    if (cache != NULL) {
        counter_subtract(&reusable_count, 1);
    }
    return cache;
}

struct thread_cache *mbi_vacant_take(void)
{
    struct thread_cache *cache;
    do {
        if (!mbi_lock_acquire(LOCK_REGISTRY)) {
            return NULL;
        }
        cache = find_cache_locked();
        mbi_lock_release(LOCK_REGISTRY);
    } while (cache == NULL && map_fresh());

    if (cache != NULL) {
        mbi_thread_cache_init(cache);
    }
    return cache;
}

bool mbi_vacant_put_back(struct thread_cache *cache)
{
    if (!mbi_lock_acquire(LOCK_REGISTRY)) {
        return false;
    }
    mbi_vacant_reuse_locked(cache);
    mbi_lock_release(LOCK_REGISTRY);
    return true;
}

bool mbi_vacant_make_room_locked(void)
{
    reuse_retired_locked();
    return mbi_vacant_retired() < RETIRE_MAX;
}

void mbi_vacant_retire_locked(struct thread_cache *cache)
{
    list_push(&retired, cache);
    counter_add(&retired_count, 1);
    reuse_retired_locked();
}

/*
 * Waits until no walker can hold a cache that has left the list; false where liburcu cannot be
 * asked, or a walk did without it. No lock is held, and its poll(2) is no cancellation point here.
 *
 * liburcu decides for membarrier when it is loaded, and ends the process when it fails later, as
 * it does once a sandbox refuses it. So it is tried first, each time, since filters belong to
 * threads.
 */
static bool grace_period(void)
{
    if (flag_is_set(&without_rcu) || !mbi_epochs_in_use() || !mbi_os_membarrier()) {
        return false;
    }
    struct cancelling cancelling = mbi_lock_forbid_cancel();
    mbi_epochs_synchronize();
    mbi_lock_allow_cancel(cancelling);
    return !flag_is_set(&without_rcu);
}

/* Takes the retired, if there are enough of them, and no thread waits for others already. */
static bool begin_reclaim(void)
{
    bool begun = false;
    if (mbi_lock_acquire(LOCK_REGISTRY)) {
        reuse_retired_locked();
        if (waiting == NULL && mbi_vacant_retired() >= RETIRE_BATCH) {
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
        reuse_list_locked(&waiting);
    }
    stop_waiting_locked();
    mbi_lock_release(LOCK_REGISTRY);
}

void mbi_vacant_wait_for_room(void)
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

void mbi_vacant_reclaim_batch(void)
{
    if (mbi_vacant_retired() >= RETIRE_BATCH && begin_reclaim()) {
        end_reclaim(grace_period());
    }
}

/*
 * Whether liburcu may register this thread, for which it needs memory, of the kernel and of malloc:
 * where it gets none it ends the process. It needs much less than is tried here, unless other
 * threads use up the rest just now.
 */
static bool can_register(void)
{
    void *mapped = mbi_os_map(REGISTRATION_BYTES);
    void *allocated = mbi_large_alloc(SMALL_BYTES_MAX + 1);
    if (mapped != NULL) {
        mbi_os_unreserve(mapped, REGISTRATION_BYTES);
    }
    mbi_large_free(allocated);
    return mapped != NULL && allocated != NULL;
}

bool mbi_vacant_begin_walk(void)
{
    /* Loaded first: while a walk is counted, threads may wait for its end. */
    bool rcu = !flag_is_set(&without_rcu) && mbi_epochs_load();
    if (rcu && !can_register()) {
        mbi_vacant_do_without_rcu();
        rcu = false;
    }
    /* Threads that wait for room are left a moment without any walk. */
    while (own_walks == 0 && mbi_vacant_retired() >= RETIRE_MAX && !no_walk_is_under_way()) {
        mbi_os_sleep_ms(1);
    }
    sigset_t before = mbi_lock_block_signals(); /* both, or none, for a handler's fork */
    own_walks++;
    /* acquire and release [WALK-BEGIN]: pairs with [WALK-LOOK]. */
    atomic_fetch_add_explicit(&walks, 1, memory_order_acq_rel);
    mbi_lock_restore_signals(&before);
    if (rcu) {
        mbi_epochs_read_lock(); /* before the sums: a thread's first may allocate */
    }
    return rcu;
}

void mbi_vacant_end_walk(bool rcu)
{
    if (rcu) {
        mbi_epochs_read_unlock();
    }
    sigset_t before = mbi_lock_block_signals();
    /* release [WALK-END]: pairs with [WALK-LOOK]. */
    atomic_fetch_sub_explicit(&walks, 1, memory_order_release);
    own_walks--;
    mbi_lock_restore_signals(&before);
}

void mbi_vacant_reset_in_child(void)
{
    mbi_vacant_do_without_rcu();
    if (mbi_vacant_retired() != 0) {
        reuse_list_locked(&retired);
        reuse_list_locked(&waiting);
        flag_set(&waiting_over, false);
    }
    /* relaxed [WALK-ALONE]: the other threads' walks ended with them; there is one thread. */
    if (atomic_load_explicit(&walks, memory_order_relaxed) != own_walks) {
        atomic_store_explicit(&walks, own_walks, memory_order_relaxed); /* [WALK-ALONE] */
    }
}
