/* sampling: stretches, which of them are counted, and the counting in between. */
#include "tcache/sampling.h"

#include "core/os.h"

/* So many samples of a counted stretch may be expected. */
#define POINTS_MAX 24.0
/*
 * The longest stretch is forgotten by such a part with each that is counted: slowly, as a program's
 * phases differ.
 */
enum { FADE = 256 };

/*
 * So many stretches are counted before fewer of them are: what comes next may be a phase of which
 * none has been counted yet.
 */
enum { STEADY_MIN = 48 };

/* So a thread that goes on as it began is counted as seldom as may be after half as long. */
enum { RAISED_BY = 2 };

uint64_t mbi_sampling_seed;

/*
 * The share of the last counted stretch of any thread: what a thread begins with, so that those
 * which live for a moment need not learn it. relaxed [SHARE]: a hint.
 */
static _Atomic uint8_t last_share;

void mbi_sampling_draw(struct sampling *sampling)
{
    double mean_bytes = sampling->settings->mean_at_share[sampling->share];
    int64_t more_bytes = (int64_t)(chance_exponential(&sampling->random) * mean_bytes);
    sampling->drawn_bytes += more_bytes - sampling->left_bytes;
    sampling->left_bytes = more_bytes;
}

/* Of the next group of 2^share stretches: which one is counted. */
static void choose(struct sampling *sampling)
{
    uint32_t place = (uint32_t)chance_one_of(&sampling->random, sampling->share);
    sampling->skip = (uint16_t)(sampling->rest + place);
    sampling->rest = (uint8_t)((1U << sampling->share) - 1 - place);
}

/* After a counted stretch: what share the next group is to have, by what was allocated in it. */
static void learn(struct sampling *sampling)
{
    size_t faded_bytes = sampling->longest_bytes - sampling->longest_bytes / FADE;
    size_t seen_bytes = (size_t)(sampling->drawn_bytes - sampling->left_bytes);
    sampling->longest_bytes = size_max(seen_bytes, faded_bytes);
    double points = (double)sampling->longest_bytes / (double)sampling->settings->mean_bytes;
    unsigned raised_by = sampling->steady == STEADY_MIN ? RAISED_BY : 0;
    unsigned share = (unsigned)size_min(sampling->share + raised_by, sampling->settings->share_max);
    while (share > 0 && points * (double)(1U << share) > POINTS_MAX) {
        share--;
    }
    if (share == sampling->share) {
        sampling->steady = (uint8_t)size_min(sampling->steady + 1U, STEADY_MIN);
    } else {
        sampling->share = (uint8_t)share;
        sampling->steady = 1;
        sampling->drawn = false;
    }
    choose(sampling);
    atomic_store_explicit(&last_share, (uint8_t)share, memory_order_relaxed); /* [SHARE] */
}

static void draw_large(struct sampling *sampling)
{
    double mean_bytes = (double)sampling->settings->mean_bytes;
    sampling->large_left = chance_exponential(&sampling->random) * mean_bytes;
}

/* Settings have changed: the thread begins anew. */
static MBI_COLD void adopt(struct thread_cache *cache)
{
    struct sampling *sampling = &cache->sampling;
    uint64_t random = sampling->random;
    if (random == 0) {
        random = (mbi_sampling_seed != 0 ? mbi_sampling_seed : mbi_os_random()) | 1;
    }
    mbi_fast_cache = cache;
    *sampling = (struct sampling){ .settings = sampling_settings(), .random = random };
    if (sampling->settings != NULL) {
        draw_large(sampling);
        uint8_t share = atomic_load_explicit(&last_share, memory_order_relaxed); /* [SHARE] */
        sampling->share = (uint8_t)size_min(share, sampling->settings->share_max);
        choose(sampling);
    }
}

MBI_COLD void mbi_sampling_next_slow(struct thread_cache *cache)
{
    struct sampling *sampling = &cache->sampling;
    if (!sampling_is_current(sampling)) {
        adopt(cache);
        if (sampling->settings == NULL) {
            return;
        }
    } else if (sampling->counted) {
        learn(sampling);
    }
    bool counted = sampling->skip == 0;
    if (counted) {
        if (!sampling->drawn) { /* else what is left is as good as what would be drawn */
            mbi_sampling_draw(sampling);
            sampling->drawn = true;
        }
        sampling->drawn_bytes = sampling->left_bytes;
    } else {
        sampling->skip--;
    }
    sampling->counted = counted;
    mbi_fast_cache = counted ? &mbi_cache_covered : cache;
}

bool mbi_sampling_count_large(size_t size_bytes)
{
    struct thread_cache *cache = mbi_thread_cache->active ? mbi_thread_cache_begin_slow() : NULL;
    bool sampled = false;
    if (cache == NULL) {
        return false;
    }
    struct sampling *sampling = &cache->sampling;
    if (!sampling_is_current(sampling)) {
        adopt(cache);
    }
    if (sampling->settings != NULL) {
        sampling->large_left -= (double)size_bytes;
        sampled = sampling->large_left < 0;
        if (sampled) {
            draw_large(sampling);
        }
    }
    thread_cache_end_slow(cache);
    return sampled;
}
