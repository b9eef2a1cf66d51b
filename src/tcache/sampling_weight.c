/* sampling_weight: the settings of a profile, and of how many allocations a sample is one. */
#include "tcache/sampling.h"

/*
 * With a share of 5 one stretch of 32 is counted, and samples are 32 times as likely there. The
 * share is less where two samples of a counted stretch would lie less than so many slots apart:
 * several samples in one object say nothing.
 */
enum { SLOTS_PER_SAMPLE_MIN = 8 };

const struct sampling_settings *_Atomic mbi_sampling_settings;

void mbi_sampling_publish(const struct sampling_settings *settings)
{
    /* release [SAMPLING-STORE]: pairs with [SAMPLING-LOAD], which then sees the settings and all
     * that the profile has prepared. */
    atomic_store_explicit(&mbi_sampling_settings, settings, memory_order_release);
}

static double weight_at(const struct sampling_settings *settings, size_t class, unsigned share)
{
    return (double)(1U << share) / chance_within(sampling_points(settings, class, share));
}

void mbi_sampling_prepare(struct sampling_settings *settings, size_t mean_bytes)
{
    settings->mean_bytes = mean_bytes;
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        size_t slot_bytes = size_class_slot_bytes(class);
        size_t slots = mean_bytes / slot_bytes;
        uint8_t share = 0;
        while (share < SAMPLING_SHARE_MAX && slots >> (share + 1) >= SLOTS_PER_SAMPLE_MIN) {
            share++;
        }
        settings->share_max[class] = share;
        settings->per_slot[class] = (double)slot_bytes / (double)mean_bytes;
        settings->weight_at_max[class] = weight_at(settings, class, share);
    }
}

double mbi_sampling_weight(const struct sampling *sampling, size_t class)
{
    const struct sampling_settings *settings = sampling->settings;
    uint8_t share = sampling->classes[class].share;
    return share == settings->share_max[class] ? settings->weight_at_max[class]
                                               : weight_at(settings, class, share);
}

double mbi_sampling_large_weight(const struct sampling_settings *settings, size_t size_bytes)
{
    return 1 / chance_within((double)size_bytes / (double)settings->mean_bytes);
}
