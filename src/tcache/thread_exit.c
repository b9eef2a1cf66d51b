/* thread_exit: giving a thread its cache, and taking it back. */
#include "tcache/thread_exit.h"

#include "tcache/checked.h"
#include "tcache/startup.h"

#include <pthread.h>

/* Written under the init lock, and seen by whoever has been through mbi_startup. */
static pthread_key_t exit_key;
static bool exit_key_exists;

/* Puts the calling thread on one of the constant caches, which nobody writes. */
static void thread_use_constant(const struct thread_cache *constant)
{
    mbi_thread_cache = (struct thread_cache *)(uintptr_t)constant;
}

/*
 * The TSD destructor. It re-arms itself once, so that destructors which run after it in the first
 * round still find a cache; pthread then calls it again in the next round.
 */
static void thread_exit(void *argument)
{
    struct thread_cache *cache = argument;
    if (!cache->exit_seen) {
        cache->exit_seen = true;
        if (pthread_setspecific(exit_key, cache) == 0) {
            return;
        }
    }
    thread_use_constant(&mbi_cache_direct);
    mbi_thread_cache_flush(cache);
    mbi_registry_retire(cache);
}

void mbi_thread_exit_init(void)
{
    exit_key_exists = pthread_key_create(&exit_key, thread_exit) == 0;
}

void mbi_thread_start(void)
{
    (void)mbi_startup(); /* without a reservation the pools are empty, and all else works */

    /* What follows may allocate (pthread_setspecific does for the 33rd key and beyond), and must
     * not come back here. */
    thread_use_constant(&mbi_cache_direct);
    if (!exit_key_exists || checked_is_on()) {
        return;
    }
    struct thread_cache *cache = mbi_registry_take_cache();
    if (cache != NULL && pthread_setspecific(exit_key, cache) == 0) {
        if (mbi_registry_add(cache) >= 2) {
            mbi_startup_another_thread();
        }
        mbi_thread_cache = cache;
        return;
    }
    if (cache != NULL) {
        mbi_registry_put_back(cache);
    }
    /* No memory now: the next request tries again. */
    thread_use_constant(&mbi_cache_none);
}
