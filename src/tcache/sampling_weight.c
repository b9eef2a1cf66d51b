/* sampling_weight: the settings of a profile, and of how many allocations a sample is one. */
#include "core/config.h"
#include "tcache/sampling.h"

const struct sampling_settings *_Atomic mbi_sampling_settings;
struct thread_cache mbi_cache_covered;

/* Once, before the first thread is covered: what the fast paths read beside the magazines. */
static void prepare_covered(void)
{
    if (!mbi_cache_covered.active) {
        for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
            uint32_t slot_bytes = (uint32_t)size_class_slot_bytes(class);
            mbi_cache_covered.loaded[class].counted_bytes = slot_bytes;
        }
        mbi_cache_covered.dense_base = region_base(SPAN_DENSE);
        mbi_cache_covered.linear_bytes = size_min(mbi_config.pool_bytes_max, LINEAR_BYTES_MAX);
        mbi_cache_covered.pool_bytes = mbi_config.pool_bytes_max;
        mbi_cache_covered.active = true;
    }
}

void mbi_sampling_publish(const struct sampling_settings *settings)
{
    if (settings != NULL) { /* a stop may come before the library is up, or beside a start */
        prepare_covered();
    }
    /* release [SAMPLING-STORE]: pairs with [SAMPLING-LOAD], which then sees the settings and all
     * that the profile has prepared. */
    atomic_store_explicit(&mbi_sampling_settings, settings, memory_order_release);
}

void mbi_sampling_prepare(struct sampling_settings *settings, size_t mean_bytes)
{
    settings->mean_bytes = mean_bytes;
    for (unsigned share = 0; share <= SAMPLING_SHARE_MAX; share++) {
        double stretches = 1U << share;
        settings->mean_at_share[share] = (double)mean_bytes / stretches;
        if (share == 0 || settings->mean_at_share[share] >= (double)size_class_slot_bytes(0)) {
            settings->share_max = share;
        }
        for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
            double points = (double)size_class_slot_bytes(class) * stretches / (double)mean_bytes;
            settings->weights[share][class] = stretches / chance_within(points);
        }
    }
    if (mean_bytes == 1) { /* by chance, one object of 8 bytes in 3,000 would be none */
        settings->mean_at_share[0] = 0;
        for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
            settings->weights[0][class] = 1;
        }
    }
}

double mbi_sampling_large_weight(const struct sampling_settings *settings, size_t size_bytes)
{
    return 1 / chance_within((double)size_bytes / (double)settings->mean_bytes);
}
