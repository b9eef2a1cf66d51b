/* thread_exit: giving a thread its cache, and taking it back. */
#include "tcache/thread_exit.h"

#include "tcache/checked.h"
#include "tcache/sampling.h"
#include "tcache/startup.h"

#include <errno.h>
#include <pthread.h>

/* Written under the init lock, and seen by each thread that has been through mbi_startup. */
static pthread_key_t exit_key;
static bool exit_key_exists;

/*
 * A cache that the thread has got and does not use yet. It may be in the registry already; or it
 * could not be put there, as another thread forks: then the thread does without until its next slow
 * path, and its exit finds it here. volatile: for a signal handler that forks.
 */
static _Thread_local struct thread_cache *volatile unlisted
    __attribute__((tls_model("initial-exec")));

struct thread_cache *mbi_thread_listed_cache(void)
{
    struct thread_cache *own = mbi_thread_cache;
    struct thread_cache *cache = own->active ? own : unlisted;
    return cache != NULL && cache->listed ? cache : NULL;
}

/* Set before any other call of the library; see the header. */
static bool in_other_namespace;

/*
 * Caches whose threads ended while another thread forked. A thread that joins such a thread may
 * have a lock that the fork waits for: so a thread's end does not wait for the fork, and leaves the
 * cache. Until it is taken back a cache is listed as if its thread lived.
 */
static struct left_behind left_behind;

static enum retirement retire(struct thread_cache *cache, bool waits)
{
    if (!cache->listed) {
        return mbi_vacant_put_back(cache) ? RETIRED : RETIRE_REFUSED;
    }
    /* A thread that adopts what is parked may come to its end without any chores. */
    if (!cache->busy) {
        mbi_thread_cache_give_up_due(cache);
    }
    if (mbi_parked_add(cache)) {
        return RETIRED;
    }
    if (!mbi_thread_cache_flush(cache)) {
        return RETIRE_REFUSED;
    }
    return waits ? mbi_registry_retire(cache) : mbi_registry_try_retire(cache);
}

/* False when another fork refuses a lock. A cache that cannot be taken back stays behind. */
static bool take_back(struct left_item *item, bool waits)
{
    struct thread_cache *cache =
        (struct thread_cache *)(void *)((char *)item - offsetof(struct thread_cache, left));
    enum retirement result = retire(cache, waits);
    if (result != RETIRED) {
        left_behind_push(&left_behind, &cache->left);
    }
    return result != RETIRE_REFUSED;
}

static bool take_back_now(struct left_item *item)
{
    return take_back(item, false);
}

static bool wait_and_take_back(struct left_item *item)
{
    return take_back(item, true);
}

void mbi_thread_take_back(void)
{
    left_behind_give_back(&left_behind, take_back_now);
}

void mbi_thread_forget_in_child(void)
{
    if (left_behind_has_any(&left_behind)) { /* else the page need not be copied */
        (void)left_behind_take(&left_behind);
    }
}

/*
 * The thread uses its cache no more, and gives it back. A signal handler's fork has to wait: its
 * child would write off the caches in hand here.
 */
static void thread_give_up(struct thread_cache *cache, bool (*give_back)(struct left_item *item))
{
    sigset_t before = mbi_lock_block_signals();
    thread_use_cache(&mbi_cache_direct);
    unlisted = NULL;
    (void)give_back(&cache->left);
    if (left_behind_has_any(&left_behind) && mbi_lock_is_available()) {
        left_behind_give_back(&left_behind, give_back);
    }
    mbi_lock_restore_signals(&before);
}

/*
 * The TSD destructor. It re-arms itself once, so that destructors which run after it in the first
 * pass still find a cache; pthread then calls it again in the next pass. It stays armed, too, until
 * the thread cannot be cancelled any more: one that is asynchronously cancelled here comes again.
 *
 * The argument is ignored: it may be a plugin's. Each namespace of dlmopen has a C library that
 * counts its keys from 0, and all of them keep the values in the same place.
 */
static void thread_exit(void *argument)
{
    (void)argument;
    struct thread_cache *cache = unlisted != NULL ? unlisted : mbi_thread_cache;
    if (!cache->active) {
        return;
    }
    bool comes_again = pthread_setspecific(exit_key, cache) == 0;
    struct cancelling cancelling = mbi_lock_forbid_cancel();
    if (!cache->exit_seen && comes_again) {
        cache->exit_seen = true;
    } else {
        (void)pthread_setspecific(exit_key, NULL);
        thread_give_up(cache, wait_and_take_back);
    }
    mbi_lock_allow_cancel(cancelling);
}

void mbi_thread_exit_find_namespace(void)
{
    in_other_namespace = !mbi_os_is_in_first_namespace();
}

void mbi_thread_exit_init(void)
{
    if (in_other_namespace) {
        mbi_vacant_do_without_rcu();
    } else {
        exit_key_exists = pthread_key_create(&exit_key, thread_exit) == 0;
    }
}

/* A cache that its thread's exit will find; NULL when there is none now. */
static struct thread_cache *thread_get_cache(void)
{
    struct thread_cache *cache = unlisted != NULL ? unlisted : mbi_parked_adopt(&unlisted);
    if (cache == NULL) {
        unlisted = cache = mbi_vacant_take();
    }
    if (cache == NULL || pthread_setspecific(exit_key, cache) == 0) {
        return cache;
    }
    thread_give_up(cache, take_back_now);
    return NULL;
}

static bool thread_start(void)
{
    if (mbi_startup() == -EAGAIN) {
        return false;
    }
    /* What follows may allocate (pthread_setspecific does for the 33rd key and beyond), and must
     * not come back here. */
    thread_use_cache(&mbi_cache_direct);
    if (!exit_key_exists || checked_is_on()) {
        return true;
    }
    struct thread_cache *cache = thread_get_cache();
    uint64_t threads = 0;
    if (cache != NULL) {
        threads = cache->listed ? size_max(mbi_registry_threads(), 1) : mbi_registry_add(cache);
    }
    if (threads == 0) {
        /* No memory now, or another thread forks: the next request tries again. */
        thread_use_cache(&mbi_cache_none);
        return true;
    }
    if (threads >= 2) {
        mbi_startup_another_thread();
    }
    thread_use_cache(cache);
    unlisted = NULL;
    sampling_resume(cache);
    return true;
}

bool mbi_thread_start(void)
{
    int cancel_type = mbi_lock_defer_cancel();
    bool started = thread_start();
    mbi_lock_restore_cancel(cancel_type);
    return started;
}
