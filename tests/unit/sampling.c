/* sampling: stretches leave the magazines as they would be, and count every slot. */
#include "tcache/sampling.h"

#include "memorybucket/memorybucket.h"

#include "core/region.h"
#include "tcache/transfer.h"

#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>

enum { CLASS = 7, BYTES = 64 };
static struct sampling_settings settings;

static bool thread_is_covered(void)
{
    return mbi_fast_cache == &mbi_cache_covered;
}

/* The calling thread, in its first stretch, which is counted. */
static struct thread_cache *begin(size_t mean_bytes)
{
    mb_free(mb_alloc(BYTES)); /* the thread has its cache */
    mbi_sampling_seed = 20261130;
    mbi_sampling_prepare(&settings, mean_bytes);
    mbi_sampling_publish(&settings);
    mb_thread_flush(); /* so the first stretch begins with the first request */
    mb_free(mb_alloc(BYTES));
    struct thread_cache *cache = mbi_thread_cache;
    cr_assert(cache->active && cache->sampling.counted, "the first stretch is");
    return cache;
}

static void end(void)
{
    mbi_sampling_publish(NULL);
    sampling_next(mbi_thread_cache);
    cr_assert(!thread_is_covered());
}

/* What a covered thread reads of its constant cache is there, also after a stop that came first. */
Test(sampling, a_profile_may_be_stopped_before_the_library_is_up)
{
    mb_profile_stop();
    const struct thread_cache *cache = begin((size_t)1 << 40);
    cr_assert_eq(mbi_cache_covered.dense_base, cache->dense_base);
    cr_assert_eq(mbi_cache_covered.linear_bytes, cache->linear_bytes);
    cr_assert_eq(mbi_cache_covered.pool_bytes, cache->pool_bytes);
    end();
}

/* One slot after the other, in a counted stretch with its samples far away. */
Test(sampling, a_covered_thread_holds_as_many_slots_as_without_a_profile)
{
    enum { OBJECTS = 100 };
    void *objects[OBJECTS];
    struct thread_cache *cache = begin((size_t)1 << 40);
    objects[0] = mb_alloc(BYTES);
    size_t rounds = mbi_thread_cache_rounds(cache, CLASS);
    mb_free(objects[0]);
    cr_assert(thread_is_covered());
    cr_assert_eq(mbi_thread_cache, cache);
    cr_assert_eq(magazine_chain(&mbi_fast_cache->loaded[CLASS]), 0);
    cr_assert_eq(mbi_thread_cache_rounds(cache, CLASS), rounds + 1);
    int64_t left_bytes = cache->sampling.left_bytes;
    for (size_t i = 0; i < rounds + 1; i++) {
        objects[i] = mb_alloc(BYTES);
        cr_assert_eq(mbi_thread_cache_rounds(cache, CLASS), rounds - i);
    }
    for (size_t i = 0; i < rounds + 1; i++) {
        mb_free(objects[rounds - i]);
    }
    cr_assert(thread_is_covered(), "no exchange with the pool");
    cr_assert_eq(cache->sampling.left_bytes, left_bytes - (int64_t)((rounds + 1) * BYTES));
    cr_assert_eq(mb_alloc(BYTES), objects[0], "in the order in which the fast path has them");
    mb_free(objects[0]);
    end();
    cr_assert_eq(mbi_fast_cache, cache);
    cr_assert_eq(mb_alloc(BYTES), objects[0]);
    mb_free(objects[0]);
}

/* Each way to a slot and back goes on while the thread is covered, and counts. */
Test(sampling, all_calls_serve_a_covered_thread)
{
    enum { OBJECTS = 10 };
    void *objects[OBJECTS];
    struct thread_cache *cache = begin((size_t)1 << 40);
    mb_free(mb_aligned_alloc(64, BYTES));
    int64_t left_bytes = cache->sampling.left_bytes;
    cr_assert(thread_is_covered());
    void *aligned = mb_aligned_alloc(64, BYTES);
    cr_assert_eq(cache->sampling.left_bytes, left_bytes - BYTES);
    mb_free_sized(aligned, BYTES);
    void *cleared = mb_calloc(1, BYTES);
    cr_assert_eq(cache->sampling.left_bytes, left_bytes - 2 * BYTES);
    cr_assert_eq(mb_realloc(cleared, BYTES - 1), cleared);
    cr_assert_eq(mb_usable_size(cleared), BYTES);
    mb_free(cleared);
    cr_assert(thread_is_covered());
    cr_assert_eq(mb_alloc_batch(BYTES, OBJECTS, objects), OBJECTS);
    mb_free_batch(OBJECTS, objects);
    mb_thread_idle();
    cr_assert(flag_is_set(&cache->idle));
    mb_thread_busy();
    cr_assert(!flag_is_set(&cache->idle));
    mb_free(mb_alloc(100000));
    end();
}

/*
 * A thread that is counted for an earlier profile, and moves in circles, hears of the next one
 * where a sample is due.
 */
Test(sampling, a_new_profile_finds_a_covered_thread)
{
    static struct sampling_settings later;
    struct thread_cache *cache = begin((size_t)1 << 40);
    mbi_sampling_prepare(&later, 1);
    mbi_sampling_publish(&later);
    mb_free(mb_alloc(BYTES));
    cr_assert_neq(cache->sampling.settings, &later);
    cache->sampling.left_bytes = BYTES - 1;
    void *object = mb_alloc(BYTES);
    cr_assert_eq(cache->sampling.settings, &later);
    cr_assert_eq(region_class_of(object), CLASS, "no sample of either");
    mb_free(object);
    mbi_sampling_publish(NULL);
    object = mb_alloc(BYTES);
    cr_assert_eq(mbi_fast_cache, cache);
    mb_free(object);
}

/* Of each group of 2^share stretches one is counted, each as often as any other. */
Test(sampling, one_stretch_of_a_group_is_counted)
{
    enum { GROUPS = 2000, GROUP = 1 << SAMPLING_SHARE_MAX, PARTS = 8 };
    struct thread_cache *cache = begin((size_t)1 << 40);
    struct sampling *sampling = &cache->sampling;
    unsigned in_part[PARTS] = { 0 };
    while (sampling->share != SAMPLING_SHARE_MAX) {
        sampling_next(cache); /* with each group the share grows */
    }
    while (sampling->skip > sampling->rest || !sampling->counted) {
        sampling_next(cache);
    }
    for (unsigned rest = sampling->rest; rest != 0; rest--) { /* to the last of its group */
        sampling_next(cache);
        cr_assert(!sampling->counted);
    }
    for (unsigned group = 0; group < GROUPS; group++) {
        unsigned counted = 0;
        for (unsigned place = 0; place < GROUP; place++) {
            sampling_next(cache);
            cr_assert_eq(thread_is_covered(), sampling->counted);
            counted += sampling->counted;
            in_part[place * PARTS / GROUP] += sampling->counted;
        }
        cr_assert_eq(counted, 1, "group %u: %u", group, counted);
    }
    for (unsigned part = 0; part < PARTS; part++) {
        double expected = (double)GROUPS / PARTS;
        cr_assert_leq(fabs(in_part[part] - expected), 5 * sqrt(expected), "%u: %u", part,
                      in_part[part]);
    }
    end();
}

/* With a mean of 1 each object is a sample, whatever a thread did before, and in what profile. */
Test(sampling, each_stretch_is_counted_where_each_object_is_a_sample)
{
    static struct sampling_settings exact;
    struct thread_cache *cache = begin((size_t)1 << 40);
    while (cache->sampling.share != SAMPLING_SHARE_MAX) {
        sampling_next(cache);
    }
    mbi_sampling_prepare(&exact, 1);
    mbi_sampling_publish(&exact);
    for (unsigned stretch = 0; stretch < 100; stretch++) { /* nothing is allocated in them */
        sampling_next(cache);
        cr_assert(thread_is_covered());
        cr_assert_eq(cache->sampling.share, 0);
    }
    for (unsigned i = 0; i < 100000; i++) { /* also of the smallest */
        cr_assert(sampling_count(&cache->sampling, &mbi_cache_covered.loaded[0]));
        mbi_sampling_draw(&cache->sampling);
    }
    cr_assert_eq(sampling_weight(&cache->sampling, 0), 1);
    end();
}

/* Stretches with many samples are counted more often. */
Test(sampling, the_share_follows_what_a_stretch_allocates)
{
    struct thread_cache *cache = begin(1 << 20);
    struct sampling *sampling = &cache->sampling;
    while (sampling->share != SAMPLING_SHARE_MAX || !sampling->counted) {
        sampling_next(cache);
    }
    sampling->drawn_bytes = sampling->left_bytes + (1 << 20); /* so at most one in 16 is counted */
    sampling_next(cache);
    cr_assert_eq(sampling->share, 4, "%u", sampling->share);
    cr_assert_eq(sampling->longest_bytes, 1 << 20);
    end();
}

static void *look_at_resumed(void *argument)
{
    (void)argument;
    mb_free(mb_alloc(BYTES));
    const struct sampling *sampling = &mbi_thread_cache->sampling;
    cr_assert(thread_is_covered());
    cr_assert_eq(sampling->drawn_bytes - sampling->left_bytes, BYTES, "of its own stretch");
    cr_assert_gt(sampling->longest_bytes, BYTES, "of the one before");
    return mbi_thread_cache;
}

static void *end_covered(void *argument)
{
    (void)argument;
    struct thread_cache *cache = begin((size_t)1 << 40);
    size_t rounds = mbi_thread_cache_rounds(cache, CLASS);
    mb_free(mb_alloc(BYTES));
    cr_assert_eq(mbi_thread_cache_rounds(cache, CLASS), rounds);
    return cache;
}

/* A stretch ends where another thread has the cache; the settings and what was learned stay. */
Test(sampling, a_stretch_ends_with_its_thread)
{
    void *first;
    void *second;
    pthread_t thread;
    mb_free(mb_alloc(BYTES)); /* so the second thread of the process is no cause of anything */
    cr_assert_eq(pthread_create(&thread, NULL, end_covered, NULL), 0);
    cr_assert_eq(pthread_join(thread, &first), 0);
    cr_assert_eq(pthread_create(&thread, NULL, look_at_resumed, NULL), 0);
    cr_assert_eq(pthread_join(thread, &second), 0);
    cr_assert_eq(first, second);
    mbi_sampling_publish(NULL);
}

/* Each slot of a counted stretch is a sample with the same chance. */
Test(sampling, samples_are_as_frequent_as_they_should_be)
{
    enum { OBJECTS = 20000, MEAN = 6400 };
    struct thread_cache *cache = begin(MEAN);
    struct sampling *sampling = &cache->sampling;
    size_t due = 0;
    for (size_t i = 0; i < OBJECTS; i++) {
        if (sampling_count(sampling, &mbi_cache_covered.loaded[CLASS])) {
            mbi_sampling_draw(sampling);
            due++;
        }
    }
    sampling->due = false;
    double expected = OBJECTS * chance_within((double)BYTES / MEAN);
    cr_assert_leq(fabs((double)due - expected), 5 * sqrt(expected), "%zu, not %.0f", due, expected);
    end();
}

/* The weight is the inverse of the chance, whatever the share. */
Test(sampling, weights_undo_shares)
{
    struct sampling sampling = { .settings = &settings };
    mbi_sampling_prepare(&settings, 512 << 10);
    for (uint8_t share = 0; share <= SAMPLING_SHARE_MAX; share++) {
        sampling.share = share;
        double chance = ldexp(-expm1(-ldexp((double)BYTES / (512 << 10), share)), -share);
        cr_assert_leq(fabs(sampling_weight(&sampling, CLASS) * chance - 1), 1e-8);
    }
    cr_assert_leq(fabs(mbi_sampling_large_weight(&settings, 512 << 10) * -expm1(-1) - 1), 1e-8);
}
