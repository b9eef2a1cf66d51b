/* fork: every lock, in order, and what the child makes of the others' caches. */
#include "tcache/fork.h"

#include "core/lock.h"
#include "core/trim.h"
#include "tcache/background.h"
#include "tcache/checked.h"
#include "tcache/out_of_memory.h"
#include "tcache/registry.h"
#include "tcache/startup.h"

#include <pthread.h>

static void fork_prepare(void)
{
    mbi_background_lock();
    mbi_startup_lock();
    mbi_trim_lock();
    mbi_registry_lock_all();
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        mbi_lock_acquire(&mbi_pools[class].lock);
    }
    mbi_out_of_memory_lock();
    mbi_check_lock();
    mbi_lock_set_forking(true);
}

static void fork_parent(void)
{
    mbi_lock_set_forking(false);
    mbi_check_unlock();
    mbi_out_of_memory_unlock();
    for (size_t class = SIZE_CLASS_COUNT; class-- > 0;) {
        mbi_lock_release(&mbi_pools[class].lock);
    }
    mbi_registry_unlock_all();
    mbi_trim_unlock();
    mbi_startup_unlock();
    mbi_background_unlock();
}

static void fork_child(void)
{
    struct thread_cache *own = mbi_thread_cache->active ? mbi_thread_cache : NULL;
    mbi_registry_reset_in_child(own); /* with locks that are still ours */
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        mbi_lock_init(&mbi_pools[class].lock);
    }
    mbi_check_reset_in_child();
    mbi_out_of_memory_reset_in_child();
    mbi_trim_lock_reset();
    mbi_startup_reset_in_child();
    mbi_background_reset_in_child();
    mbi_lock_set_forking(false);
}

void mbi_fork_register(void)
{
    if (pthread_atfork(fork_prepare, fork_parent, fork_child) != 0) {
        mbi_message("fork handlers could not be registered: children may hang");
    }
}
