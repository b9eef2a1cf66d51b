/*
 * sampling: which allocations of a thread are samples of the heap profile, with no instruction more
 * on the fast paths.
 *
 * Ladder: beside thread_cache. Callers: the slow paths, transfer, and the profile, which turns it
 * on.
 *
 * The aim: each byte that is allocated is a point of a Poisson process, one in `mean` bytes, and an
 * allocation with a point in it is a sample. So each thread counts bytes: how many come before the
 * next sample is exponentially distributed.
 *
 * Counting without the fast paths. A pop moves the thread towards the next sample, and a push
 * brings a slot that a later pop takes. From the chain alone only the difference is seen: a program
 * that allocates and frees one object in turn has the same chain for ever. So a thread can be
 * counted only while it takes no fast path:
 *
 *   counted    the thread is covered: mbi_fast_cache is mbi_cache_covered, whose magazines are
 *              full and empty at once. Each call comes to a slow path, which does with the thread's
 *              own cache what the fast path would have done, and counts.
 *   uncounted  the thread is as it is without a profile, and no allocation is a sample.
 *
 * To count always would make every call dear. So a thread's life is divided into stretches, and of
 * each group of 2^share stretches one is counted, which a random number chooses when the group
 * begins. In counted stretches samples are 2^share times as likely. An allocation is a sample with
 * chance
 *
 *   2^-share * (1 - exp(-slot_bytes * 2^share / mean))
 *
 * and its weight is the inverse of that (Horvitz and Thompson, 1952), so that every sum of weights
 * has the true sum as its mean. That needs one thing: what happens in a stretch, and where it
 * ends, must not depend on the choice. A stretch ends where the thread would exchange slots with
 * the pools without a profile: where a magazine is empty, or full; and where another thread gets
 * the cache. A sampled object holds the slot that it would have been, and frees it when it is
 * freed: so the magazines go on as they would.
 * (With a coin for each stretch, 2^-share to be counted, sums have the same mean, and vary more:
 * the counted stretches were now few, now many.)
 *
 * A group's `share` may follow from what happened before it. It begins with 0, all is counted; in
 * another thread with the share that the last one had. Each counted stretch shows how much is
 * allocated in one. After STEADY_MIN of them the share is raised by two, or one, if no more than
 * POINTS_MAX samples would be expected in the longest one; and it is lowered to that at once:
 * samples in bunches say little. So a thread whose stretches are long is counted more often. There
 * is a most, with which one sample is expected in eight bytes: so a mean of 1 counts all, also
 * where threads only freed.
 *
 * What remains: a thread that takes no slow path any more stays in the stretch that it is in. The
 * sum is right on the average then, too, but varies as that one choice does.
 */
#ifndef MEMORYBUCKET_TCACHE_SAMPLING_H
#define MEMORYBUCKET_TCACHE_SAMPLING_H

#include "core/chance.h"
#include "tcache/thread_cache.h"

/* What a profile was started with. Constant once it is published; kept for ever. */
struct sampling_settings {
    size_t mean_bytes;
    unsigned share_max; /* with more, counted stretches would have no more samples */
    double mean_at_share[SAMPLING_SHARE_MAX + 1]; /* in counted stretches */
    /* The inverse of an allocation's chance to be a sample, by the share of its stretch. */
    double weights[SAMPLING_SHARE_MAX + 1][SIZE_CLASS_COUNT];
};

/* NULL: no profile is being taken. */
extern MBI_HIDDEN const struct sampling_settings *_Atomic mbi_sampling_settings;

static inline const struct sampling_settings *sampling_settings(void)
{
    /* acquire [SAMPLING-LOAD]: pairs with [SAMPLING-STORE]. */
    return atomic_load_explicit(&mbi_sampling_settings, memory_order_acquire);
}

/* Whether the cache goes by the settings of now. */
MBI_HOT_INLINE bool sampling_is_current(const struct sampling *sampling)
{
    return MBI_LIKELY(sampling->settings == sampling_settings());
}

/* Whether slow paths have to look here at all. */
MBI_HOT_INLINE bool sampling_concerns(const struct thread_cache *cache)
{
    return MBI_UNLIKELY(sampling_settings() != NULL || cache->sampling.settings != NULL);
}

/* Whether the slot that mbi_thread_cache_take just gave the calling thread is that of a sample. */
static inline bool sampling_is_due(void)
{
    return MBI_UNLIKELY(mbi_thread_cache->sampling.due);
}

/*
 * Turns sampling on, under LOCK_INIT, with the library up and after mbi_registry_watch; or off
 * (NULL), at any time.
 */
void mbi_sampling_publish(const struct sampling_settings *settings);

/* Fills settings in for a mean number of bytes between samples, at least 1. */
void mbi_sampling_prepare(struct sampling_settings *settings, size_t mean_bytes);

/* The inverse of the chance that an allocation of the class is a sample, now in this thread. */
static inline double sampling_weight(const struct sampling *sampling, size_t class)
{
    return sampling->settings->weights[sampling->share][class];
}

/* The same for a large request. */
double mbi_sampling_large_weight(const struct sampling_settings *settings, size_t size_bytes);

/* Counts a large request of the calling thread; whether it is a sample. */
bool mbi_sampling_count_large(size_t size_bytes);

/*
 * Counts an allocation in the thread's counted stretch, of the class of that magazine of
 * mbi_cache_covered, which has the bytes of a slot: in the line that the fast path has just read.
 * Whether a sample is due. Reads no settings: a signal handler that interrupts the thread may have
 * it adopt that there are none.
 */
MBI_HOT_INLINE bool sampling_count(struct sampling *sampling, const struct magazine *covered)
{
    sampling->left_bytes -= (int64_t)covered->counted_bytes;
    return MBI_UNLIKELY(sampling->left_bytes < 0);
}

/* After a sample: draws how many bytes come before the next one. */
void mbi_sampling_draw(struct sampling *sampling);

/* After an exchange with the pools: the calling thread's stretch ends, and its next one begins. */
void mbi_sampling_next_slow(struct thread_cache *cache);

MBI_HOT_INLINE void sampling_next(struct thread_cache *cache)
{
    struct sampling *sampling = &cache->sampling;
    if (MBI_UNLIKELY(sampling_concerns(cache))) {
        if (sampling_is_current(sampling) && sampling->skip != 0) {
            sampling->skip--;
        } else {
            mbi_sampling_next_slow(cache);
        }
    }
}

/* The calling thread has just got the cache: a stretch of the one before it ends. */
MBI_HOT_INLINE void sampling_resume(struct thread_cache *cache)
{
    if (MBI_UNLIKELY(cache->sampling.settings != NULL)) {
        sampling_next(cache);
    }
}

/* What each thread's random numbers begin with, where tests want the same ones; 0: any. */
extern MBI_HIDDEN uint64_t mbi_sampling_seed;

#endif
