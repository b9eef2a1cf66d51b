/* vacant: lists, the count of walks, grace periods. */
#include "tcache/vacant.h"

#include "core/large.h"

enum { CACHES_PER_MAPPING = 16, REGISTRATION_BYTES = 1 << 20 };

struct cache_counts mbi_cache_counts = { .reusable = 1 };

/* All under LOCK_REGISTRY. */
static struct thread_cache *retired;
static struct thread_cache *waiting; /* retired, and a thread waits for their grace period */
static struct thread_cache *reusable;

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

/* Set at startup, or in a forked child while it has one thread. */
static _Atomic bool without_rcu;

/*
 * Walks under way, and in the upper half those of them without liburcu.
 *   walk    [WALK-BEGIN] adds 1, acquire and release; reads the list;
 *           [WALK-END] subtracts 1, release
 *   retire  takes the cache off the list; [WALK-LOOK] adds 0, acquire and release
 * All are read-modify-writes of one word, so they have one order. A walk that begins after the look
 * sees the list without the cache; one that began before it is either still counted, or has read
 * for the last time before the cache is used again. The look after a grace period asks the same of
 * the walks without liburcu alone, for which the grace period did not wait.
 */
enum { WALK = 1, WALK_WITHOUT_RCU = WALK | 1 << 16 };
static _Atomic uint32_t walks;
static _Thread_local uint32_t own_walks __attribute__((tls_model("initial-exec")));
/* liburcu knows the thread, and needs no memory for it any more. */
static _Thread_local bool registered __attribute__((tls_model("initial-exec")));

void mbi_vacant_do_without_rcu(void)
{
    flag_set(&without_rcu, true);
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
        mbi_vacant_reuse_locked(cache);
        counter_subtract(&mbi_cache_counts.retired, 1);
    }
}

void mbi_vacant_reuse_locked(struct thread_cache *cache)
{
    list_push(&reusable, cache);
    counter_add(&mbi_cache_counts.reusable, 1);
}

/* Maps fresh caches, outside the lock. Those that another thread has just mapped go on the list. */
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
    counter_add(&mbi_cache_counts.reusable, CACHES_PER_MAPPING);
    mbi_lock_release(LOCK_REGISTRY);
    return true;
}

/* Walks under way. A walk that begins from now on sees the list as it is. */
static uint32_t walks_under_way(void)
{
    /* acquire and release [WALK-LOOK]: pairs with [WALK-BEGIN] and [WALK-END]. */
    return atomic_fetch_add_explicit(&walks, 0, memory_order_acq_rel);
}

/* Puts the waiting caches back among the retired: their wait did not surely succeed. */
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
    if (retired != NULL && walks_under_way() == 0) {
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
        counter_subtract(&mbi_cache_counts.reusable, 1);
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
    return counter_read(&mbi_cache_counts.retired) < RETIRE_MAX;
}

void mbi_vacant_retire_locked(struct thread_cache *cache)
{
    list_push(&retired, cache);
    counter_add(&mbi_cache_counts.retired, 1);
    reuse_retired_locked();
}

/*
 * Waits until no walker can hold a cache that has left the list; false where liburcu cannot be
 * asked, or a walk does without it. No lock is held, and its poll(2) is no cancellation point here.
 *
 * liburcu chooses membarrier(2) when it is loaded, and ends the process if the call fails later, as
 * when a sandbox refuses it. So the call is tried first, each time: filters belong to threads.
 */
static bool grace_period(void)
{
    if (flag_is_set(&without_rcu) || !mbi_epochs_in_use() || !mbi_os_membarrier()) {
        return false;
    }
    struct cancelling cancelling = mbi_lock_forbid_cancel();
    mbi_epochs_synchronize();
    mbi_lock_allow_cancel(cancelling);
    return walks_under_way() < WALK_WITHOUT_RCU;
}

/* Takes the retired, if there are enough of them, and no thread waits for others already. */
static bool begin_reclaim(void)
{
    bool begun = false;
    if (mbi_lock_acquire(LOCK_REGISTRY)) {
        reuse_retired_locked();
        if (waiting == NULL && counter_read(&mbi_cache_counts.retired) >= RETIRE_BATCH) {
            waiting = retired;
            retired = NULL;
            begun = true;
        }
        mbi_lock_release(LOCK_REGISTRY);
    }
    return begun;
}

/* The waiting caches become reusable, or wait as before for the walks to end. */
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
    if (counter_read(&mbi_cache_counts.retired) >= RETIRE_BATCH && begin_reclaim()) {
        end_reclaim(grace_period());
    }
}

/*
 * Whether liburcu may register this thread. It needs memory of the kernel and of malloc for that,
 * and ends the process without. It needs much less than is tried here, unless other threads use up
 * the rest just now.
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

/* Threads that wait for room are left a moment without any walk. */
static bool may_begin_walk(void)
{
    return own_walks != 0 || counter_read(&mbi_cache_counts.retired) < RETIRE_MAX
           || walks_under_way() == 0;
}

static void count_walk(uint32_t walk)
{
    sigset_t before = mbi_lock_block_signals(); /* both, or none, for a handler's fork */
    own_walks += walk;
    /* acquire and release [WALK-BEGIN]: pairs with [WALK-LOOK]. */
    atomic_fetch_add_explicit(&walks, walk, memory_order_acq_rel);
    mbi_lock_restore_signals(&before);
}

bool mbi_vacant_try_begin_walk(void)
{
    bool begun = may_begin_walk();
    if (begun) {
        count_walk(WALK_WITHOUT_RCU);
    }
    return begun;
}

MBI_SELDOM bool mbi_vacant_begin_walk(void)
{
    /* Loaded first: while a walk is counted, threads may wait for its end. */
    bool rcu = !flag_is_set(&without_rcu) && mbi_epochs_load() && (registered || can_register());
    while (!may_begin_walk()) {
        mbi_os_sleep_ms(1);
    }
    count_walk(rcu ? WALK : WALK_WITHOUT_RCU);
    if (rcu) {
        mbi_epochs_read_lock(); /* before the sums: a thread's first may allocate */
        registered = true;
    }
    return rcu;
}

void mbi_vacant_end_walk(bool rcu)
{
    if (rcu) {
        mbi_epochs_read_unlock();
    }
    uint32_t walk = rcu ? WALK : WALK_WITHOUT_RCU;
    sigset_t before = mbi_lock_block_signals();
    /* release [WALK-END]: pairs with [WALK-LOOK]. */
    atomic_fetch_sub_explicit(&walks, walk, memory_order_release);
    own_walks -= walk;
    mbi_lock_restore_signals(&before);
}

void mbi_vacant_reset_in_child(void)
{
    mbi_vacant_do_without_rcu();
    if (counter_read(&mbi_cache_counts.retired) != 0) {
        reuse_list_locked(&retired);
        reuse_list_locked(&waiting);
        flag_set(&waiting_over, false);
    }
    /* relaxed [WALK-ALONE]: the other threads' walks ended with them; there is one thread. */
    if (atomic_load_explicit(&walks, memory_order_relaxed) != own_walks) {
        atomic_store_explicit(&walks, own_walks, memory_order_relaxed); /* [WALK-ALONE] */
    }
}
