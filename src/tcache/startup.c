/* startup: the order in which the parts come to life. */
#include "tcache/startup.h"

#include "core/cgroup.h"
#include "core/config.h"
#include "core/decay.h"
#include "core/limit.h"
#include "core/lock.h"
#include "core/os.h"
#include "core/pool.h"
#include "core/region.h"
#include "tcache/budget.h"
#include "tcache/checked.h"
#include "tcache/thread_exit.h"

#include <errno.h>

static struct lock init_lock = LOCK_INITIALIZER;
/* Written under init_lock; set last. */
static _Atomic bool ready;

/* Written under init_lock: false where a sanitizer's malloc serves every request. */
static bool pools_wanted;

static void report(void)
{
    mbi_message("reserved %zu MiB, spans of %zu + %zu MiB a pool%s; magazines of %u (8 bytes) to "
                "%u (512 bytes) rounds; blocks of %zu KiB; thread caches up to %zu KiB%s",
                mbi_region_claimed_bytes() >> 20, mbi_region.dense_span_bytes >> 20,
                mbi_region.wide_span_bytes >> 20,
                mbi_region.reserved_bytes == 0 ? ", mapped as they are used" : "",
                mbi_config.magazine_rounds[0],
                mbi_config.magazine_rounds[SIZE_CLASS_COUNT - 1], mbi_config.block_bytes >> 10,
                mbi_config.thread_cache_bytes_max >> 10,
                mbi_config.huge_pages ? "; huge pages asked for" : "");
}

static void ask_for_huge_pages(void)
{
    if (!mbi_config.huge_pages) {
        return;
    }
    void *sample = mbi_os_reserve(HUGE_PAGE_BYTES);
    if (mbi_region_dense_span(0) == NULL) {
        mbi_message("MB_HUGEPAGE=1: no huge pages, as the address space has no room for them");
        mbi_config_no_huge_pages();
    } else if (sample != NULL
               && !mbi_os_ask_for_pages(sample, HUGE_PAGE_BYTES, OS_PAGES_HUGE)) {
        /* A number: strerror may allocate, and this may be inside the first malloc. */
        mbi_message("MB_HUGEPAGE=1: no huge pages, as the kernel refuses (errno %d)", errno);
        mbi_config_no_huge_pages();
    }
    if (sample != NULL) {
        mbi_os_unreserve(sample, HUGE_PAGE_BYTES);
    }
}

static void startup_locked(void)
{
    mbi_config_read(mbi_os_page_bytes());
    pools_wanted = mbi_check_init();
    if (pools_wanted && mbi_region_claim(mbi_config.region_bytes) != 0 && mbi_config.verbose) {
        mbi_message("no address space for the pools: every request goes to the system allocator");
    }
    ask_for_huge_pages();
    mbi_pools_init();
    mbi_decay_init();
    (void)mbi_limit_set(mbi_config.memory_limit_bytes);
    mbi_thread_exit_init();
    if (mbi_config.verbose) {
        report();
    }
}

int mbi_startup(void)
{
    /* acquire [READY-LOAD]: pairs with [READY-STORE], so that the constants written by startup
     * are seen. */
    if (MBI_UNLIKELY(!atomic_load_explicit(&ready, memory_order_acquire))) {
        int saved_errno = errno;
        mbi_lock_acquire(&init_lock);
        /* relaxed [READY-AGAIN]: under the lock that its writer held. */
        if (!atomic_load_explicit(&ready, memory_order_relaxed)) {
            startup_locked();
            /* release [READY-STORE]: pairs with [READY-LOAD]. */
            atomic_store_explicit(&ready, true, memory_order_release);
        }
        mbi_lock_release(&init_lock);
        errno = saved_errno;
    }
    return mbi_region.bytes != 0 || !pools_wanted ? 0 : -ENOMEM;
}

/* An eighth of the memory that there is, or that the control group may have; at least 16 MiB. */
static size_t default_cache_bytes_max(void)
{
    const size_t least = (size_t)16 << 20;
    size_t machine_bytes = mbi_os_memory_bytes();
    size_t group_bytes = mbi_cgroup_memory_bytes();
    size_t bytes = (group_bytes < machine_bytes ? group_bytes : machine_bytes) / 8;
    return bytes > least ? bytes : least;
}

void mbi_startup_many_threads(void)
{
    static _Atomic bool done; /* two threads may do it at the same time, with the same result */
    if (flag_is_set(&done)) {
        return;
    }
    flag_set(&done, true);
    int saved_errno = errno;
    unsigned processors = mbi_os_processors();
    unsigned quota = mbi_cgroup_processors(); /* so many run at the same time, for most of it */
    mbi_pools_spread(quota < processors ? quota : processors);
    mbi_budget_set_max(mbi_config.cache_bytes_max != 0 ? mbi_config.cache_bytes_max
                                                       : default_cache_bytes_max());
    errno = saved_errno;
}

void mbi_startup_lock(void)
{
    mbi_lock_acquire(&init_lock);
}

void mbi_startup_unlock(void)
{
    mbi_lock_release(&init_lock);
}

void mbi_startup_reset_in_child(void)
{
    mbi_lock_init(&init_lock);
}
