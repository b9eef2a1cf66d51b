/* chores: what a thread does for the process on a slow path, and at some large requests. */
#include "core/centre.h"
#include "core/decay.h"
#include "core/large.h"
#include "core/os.h"
#include "core/upcalls.h"
#include "tcache/background.h"
#include "tcache/thread_cache.h"
#include "tcache/transfer.h"

static MBI_COLD void thread_cache_flush_as_asked(struct thread_cache *cache)
{
    flag_set(&cache->asked, false); /* first: a request from now on counts for next time */
    (void)mbi_thread_cache_flush(cache);
}

/*
 * A number that changes, most likely, when magazines of the class are used. It is the same again
 * when objects are freed in the opposite order of their allocation; what is given up by mistake
 * comes back with one refill.
 */
static uint32_t thread_cache_state_of(const struct thread_cache *cache, size_t class)
{
    const struct kept *kept = &cache->kept[class];
    uint64_t chain = magazine_chain(&cache->loaded[class]);
    return (uint32_t)chain ^ (uint32_t)(chain >> 32) ^ kept->top ^ (uint16_t)kept->swaps;
}

/* A window has ended: gives up the classes that this thread has not used while it lasted. */
static MBI_COLD void thread_cache_end_window(struct thread_cache *cache)
{
    cache->windows = decay_windows();
    mbi_parked_drain_unwanted();
    for (size_t class = pools_next(0); class < SIZE_CLASS_COUNT; class = pools_next(class + 1)) {
        if (cache->capacity[class] != 0
            && thread_cache_state_of(cache, class) == cache->state[class]) {
            (void)mbi_transfer_flush_class(cache, class);
        }
        uint32_t state = thread_cache_state_of(cache, class);
        if (state != cache->state[class]) { /* 0 before the thread uses the class */
            cache->state[class] = state;
        }
    }
    mbi_transfer_give_back_unused(cache);
}

/* Notes that the thread's large objects come and go; if they do not, does their step of decay. */
static inline void thread_cache_decay_large(struct thread_cache *cache)
{
    const struct thread_counts *counts = &cache->counts;
    uint64_t large = counter_read(&counts->large_allocs) + counter_read(&counts->large_frees);
    if (large - cache->large_seen >= LARGE_PER_TURN) {
        cache->large_seen = large;
        mbi_large_note_use();
    } else if (MBI_UNLIKELY(large_keeps())) {
        mbi_large_decay();
    }
}

MBI_HOT_INLINE void thread_cache_give_up_due(struct thread_cache *cache)
{
    if (MBI_UNLIKELY(cache->windows != decay_windows())) {
        thread_cache_end_window(cache);
    }
    if (MBI_UNLIKELY(flag_is_set(&cache->asked))) {
        thread_cache_flush_as_asked(cache);
    }
}

void mbi_thread_cache_give_up_due(struct thread_cache *cache)
{
    thread_cache_give_up_due(cache);
}

/*
 * To read the coarse clock takes as long as a CAS, and it stands still for 1 to 10 ms. So a
 * thread that saw it stand still leaves the next looks out, unless a step is due soon. One that
 * then pauses goes on a few slow paths late.
 */
enum { LOOKS_LEFT_OUT = 7 };

/* What is done when its time has come. */
static __attribute__((noinline)) void thread_cache_look_at_clock(struct thread_cache *cache)
{
    uint64_t coarse_ns = mbi_os_coarse_clock_ns();
    uint64_t wait_ns = pools_pending() ? mbi_decay_poll_at(coarse_ns) : UINT64_MAX;
    if (pools_exporting()) {
        mbi_export_poll(cache, coarse_ns);
    }
    bool stands = coarse_ns == cache->looked_ns && wait_ns > DECAY_SOON_NS;
    cache->looked_ns = coarse_ns;
    cache->looks_left_out = stands ? LOOKS_LEFT_OUT : 0;
}

/* Whether anything waits for a time. */
MBI_HOT_INLINE bool clock_matters(void)
{
    return pools_pending() || pools_exporting();
}

static inline void thread_cache_watch_clock(struct thread_cache *cache)
{
    if (clock_matters()) {
        if (cache->looks_left_out != 0 && !centre_has_changed()) {
            cache->looks_left_out--;
        } else {
            thread_cache_look_at_clock(cache);
        }
    }
}

void mbi_thread_cache_do_chores(struct thread_cache *cache)
{
    thread_cache_give_up_due(cache);
    thread_cache_watch_clock(cache);
    if (MBI_UNLIKELY(pools_have_deferred())) {
        mbi_pools_free_deferred();
    }
    thread_cache_decay_large(cache);
}

struct thread_counts mbi_uncached_counts;

/* relaxed [COUNT-SHARED]: many writers, so a read-modify-write; a statistic orders nothing. */
static void count_shared(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed); /* [COUNT-SHARED] */
}

void mbi_thread_cache_begin_large_alloc(void)
{
    if (background_is_lost()) {
        mbi_background_come_back();
    }
    struct thread_cache *cache = mbi_thread_cache_ensure();
    if (cache == NULL) {
        count_shared(&mbi_uncached_counts.large_allocs);
        return;
    }
    if (thread_cache_is_decay_turn(cache)) {
        mbi_large_note_use();
        if (clock_matters()) {
            thread_cache_look_at_clock(cache);
        }
    }
    counter_add(&cache->counts.large_allocs, 1);
}

void mbi_thread_cache_count_large_free(void)
{
    struct thread_cache *cache = mbi_thread_cache;
    if (cache->active) {
        counter_add(&cache->counts.large_frees, 1);
    } else {
        count_shared(&mbi_uncached_counts.large_frees);
    }
}
