/* startup: the order in which the parts come to life. */
#include "tcache/startup.h"

#include "core/cgroup.h"
#include "core/config.h"
#include "core/copies.h"
#include "core/decay.h"
#include "core/huge.h"
#include "core/limit.h"
#include "core/lock.h"
#include "core/os.h"
#include "core/pool.h"
#include "core/processors.h"
#include "core/region.h"
#include "tcache/background.h"
#include "tcache/budget.h"
#include "tcache/checked.h"
#include "tcache/thread_exit.h"

#include <errno.h>

/* Written under LOCK_INIT; set last. */
static _Atomic bool ready;

/* Written under LOCK_INIT: false where a sanitizer's malloc serves every request. */
static bool pools_wanted;

/* The text of the value that holds, where the program or the environment gives one. */
static const char *text_that_holds(enum option option)
{
    const char *text = mbi_config_text(option);
    if (text != NULL && option == OPTION_MB_HUGEPAGE && mbi_config.huge_pages == HUGE_NEVER) {
        return "0";
    }
    if (text != NULL && option == OPTION_MB_POOL_MAX
        && mbi_config.pool_bytes_max == SMALL_BYTES_MAX) {
        return "512"; /* in checked mode */
    }
    return text;
}

static MBI_SELDOM void report(void)
{
    mbi_message("reserved %zu KiB, spans of %zu + %zu MiB a pool%s; pools of up to %zu bytes; "
                "magazines of %u (8 bytes) to %u (%zu bytes) rounds; thread caches up to %zu KiB",
                mbi_region_claimed_bytes() >> 10, mbi_region.span_bytes[SPAN_DENSE] >> 20,
                mbi_region.span_bytes[SPAN_WIDE] >> 20,
                mbi_region.reserved_bytes == 0 ? ", mapped as they are used" : "",
                mbi_config.pool_bytes_max, mbi_config.magazine_rounds[0],
                mbi_config.magazine_rounds[config_class_end() - 1], mbi_config.pool_bytes_max,
                mbi_config.thread_cache_bytes_max >> 10);
    for (enum option option = 0; option < OPTION_COUNT; option++) {
        const char *text = text_that_holds(option);
        if (text != NULL) {
            mbi_message("%s=%s", mbi_option_name(option), text);
        }
    }
}

static void startup_locked(void)
{
    mbi_config_read();
    pools_wanted = mbi_check_init();
    if (pools_wanted && mbi_region_claim(mbi_config.region_bytes, config_class_end()) != 0
        && mbi_config.verbose) {
        mbi_message("no address space for the pools: every request goes to the system allocator");
    }
    mbi_copies_publish();
    huge_init();
    mbi_decay_init();
    (void)bounded_set_most(&mbi_committed, mbi_config.memory_limit_bytes);
    mbi_export_init();
    mbi_thread_exit_init();
    if (mbi_config.background && mbi_config.decay_ms < 0) {
        mbi_message("MB_BACKGROUND=1 has no effect, as nothing decays (MB_DECAY_MS=-1)");
    } else if (mbi_config.background && mbi_config_given(OPTION_MB_BACKGROUND) == NULL) {
        flag_set(&mbi_background_lost, true); /* the program's: a slow path or mb_init starts it */
    }
    if (mbi_config.verbose) {
        report();
    }
}

bool mbi_startup_was_made(void)
{
    /* acquire [READY-LOAD]: pairs with [READY-STORE], so that the constants written by startup
     * are seen. */
    return atomic_load_explicit(&ready, memory_order_acquire);
}

int mbi_startup(void)
{
    if (MBI_UNLIKELY(!mbi_startup_was_made())) {
        int saved_errno = errno;
        if (!mbi_lock_acquire(LOCK_INIT)) {
            return -EAGAIN;
        }
        /* relaxed [READY-AGAIN]: under the lock that its writer held. */
        if (!atomic_load_explicit(&ready, memory_order_relaxed)) {
            startup_locked();
            /* release [READY-STORE]: pairs with [READY-LOAD]. */
            atomic_store_explicit(&ready, true, memory_order_release);
        }
        mbi_lock_release(LOCK_INIT);
        errno = saved_errno;
    }
    return mbi_region.bytes != 0 || !pools_wanted ? 0 : -ENOMEM;
}

int mbi_startup_patiently(void)
{
    mbi_lock_set_patient(true);
    int error = mbi_startup();
    mbi_lock_set_patient(false);
    return error;
}

static const size_t cache_bytes_min = (size_t)16 << 20;

/* An eighth of the memory that there is, or that the control group may have; at least 16 MiB. */
static size_t default_cache_bytes_max(void)
{
    size_t group_bytes = mbi_cgroup_memory_bytes(CGROUP_MEMBERSHIP, CGROUP_MOUNTS);
    return size_max(size_min(mbi_os_memory_bytes(), group_bytes) / 8, cache_bytes_min);
}

/* The machine's processors; 0 until read. relaxed [RANK]: says only how far threads spread. */
static _Atomic unsigned processors_online;

/* The allowed processors are the process's from now on. */
static void spread_over(bool known, const struct processor_set *allowed, unsigned online)
{
    size_t processors = known ? mbi_processors_add(allowed) : PROCESSORS_MAX;
    mbi_pools_spread((unsigned)size_min(online, processors));
}

static void spread_again(void)
{
    unsigned online = atomic_load_explicit(&processors_online, memory_order_relaxed); /* [RANK] */
    struct processor_set allowed;
    if (central_mask() + 1 < size_min(online, CENTRAL_STACKS)) {
        spread_over(mbi_os_allowed_processors(false, &allowed), &allowed, online);
    }
}

/* Looks at the first thread's processors, too: the second may have been pinned before. */
static void spread_first(void)
{
    unsigned online = mbi_processors_online();
    struct processor_set allowed;
    spread_over(mbi_os_allowed_processors(true, &allowed), &allowed, online);
    atomic_store_explicit(&processors_online, online, memory_order_relaxed); /* [RANK] */
    spread_again();
}

void mbi_startup_another_thread(void)
{
    static _Atomic bool done; /* two threads may do it at the same time, with the same result */
    int saved_errno = errno;
    if (flag_is_set(&done)) {
        spread_again();
    } else {
        /* A bound first: while this thread reads files, others come and fill their caches. */
        size_t configured = mbi_config.cache_bytes_max;
        (void)bounded_set_most(&mbi_budget, configured != 0 ? configured : cache_bytes_min);
        flag_set(&done, true);
        spread_first();
        if (configured == 0) {
            (void)bounded_set_most(&mbi_budget, default_cache_bytes_max());
        }
    }
    errno = saved_errno;
}
