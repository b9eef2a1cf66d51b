/* sampling: stretches leave the magazines as they would be, and count every slot. */
#include "tcache/sampling.h"

#include "memorybucket/memorybucket.h"

#include "tcache/transfer.h"

#include <criterion/criterion.h>
#include <math.h>

static struct sampling_settings settings;

static struct thread_cache *begin(size_t mean_bytes)
{
    mb_free(mb_alloc(64)); /* the thread has its cache */
    mbi_sampling_seed = 20261130;
    mbi_sampling_prepare(&settings, mean_bytes);
    mbi_sampling_publish(&settings);
    mb_thread_flush(); /* so the first stretch begins with the first request */
    return mbi_thread_cache;
}

Test(sampling, shares_leave_many_slots_between_samples)
{
    mbi_sampling_prepare(&settings, 512 << 10);
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        size_t slots = settings.mean_bytes / size_class_slot_bytes(class);
        unsigned share = settings.share_max[class];
        cr_assert(share == SAMPLING_SHARE_MAX || slots >> (share + 1) < 8);
        cr_assert(share == 0 || slots >> share >= 8);
    }
    mbi_sampling_prepare(&settings, 1);
    cr_assert_eq(settings.share_max[0], 0);
}

/* One slot after the other, in a counted stretch with its samples far away. */
Test(sampling, a_counted_class_holds_as_many_slots_as_without_a_profile)
{
    enum { OBJECTS = 100, CLASS = 7 };
    void *objects[OBJECTS];
    struct thread_cache *cache = begin((size_t)1 << 40);
    objects[0] = mb_alloc(64);
    cr_assert(sampling_counts(cache, CLASS), "the first stretch is");
    size_t rounds = mbi_thread_cache_rounds(cache, CLASS);
    mb_free(objects[0]);
    cr_assert_eq(chain_rounds(sampling_hidden_of(cache, CLASS)), rounds + 1);
    cr_assert_eq(magazine_chain(&cache->loaded[CLASS]), 0);
    cr_assert_eq(mbi_thread_cache_rounds(cache, CLASS), rounds + 1);
    for (size_t i = 0; i < rounds + 1; i++) {
        objects[i] = mb_alloc(64);
    }
    cr_assert(sampling_counts(cache, CLASS), "no slow path but that of the profile");
    cr_assert_eq(mbi_thread_cache_rounds(cache, CLASS), 0);
    for (size_t i = 0; i < rounds + 1; i++) {
        mb_free(objects[i]);
    }
    mbi_sampling_end(cache, CLASS);
    cr_assert_eq(chain_rounds(magazine_chain(&cache->loaded[CLASS])), rounds + 1);
    cr_assert_eq(sampling_hidden_of(cache, CLASS), 0);
    cr_assert_eq(magazine_rounds_max(&cache->loaded[CLASS]), cache->capacity[CLASS]);
    mbi_sampling_publish(NULL);
}

/* A class that was counted for an earlier profile begins a stretch at its next free. */
Test(sampling, a_new_profile_finds_classes_that_take_fast_paths)
{
    enum { CLASS = 7 };
    static struct sampling_settings later;
    struct thread_cache *cache = begin((size_t)1 << 40);
    void *object = mb_alloc(64);
    mb_free(mb_alloc(64));
    cr_assert(sampling_counts(cache, CLASS));
    mbi_sampling_prepare(&later, 64); /* all is counted */
    mbi_sampling_publish(&later);
    mb_free(mb_alloc(200)); /* the thread learns of it on a slow path of another class */
    cr_assert(!sampling_counts(cache, CLASS));
    mb_free(object);
    cr_assert(sampling_counts(cache, CLASS), "its next free took the fast path");
    mbi_sampling_publish(NULL);
}

/* Whether a stretch is counted does not say where it ends. */
Test(sampling, an_uncounted_stretch_does_not_end_at_the_first_free)
{
    enum { CLASS = 7 };
    struct thread_cache *cache = begin((size_t)1 << 40);
    mb_free(mb_alloc(64));
    while (sampling_counts(cache, CLASS)) { /* with each group the share grows */
        sampling_next(cache, CLASS);
    }
    magazine_set_rounds_max(&cache->loaded[CLASS], 0);
    while (!sampling_counts(cache, CLASS)) {
        sampling_next(cache, CLASS);
        cr_assert_eq(magazine_rounds_max(&cache->loaded[CLASS]),
                     sampling_counts(cache, CLASS) ? 0 : cache->capacity[CLASS]);
    }
    mbi_sampling_publish(NULL);
}

/* Of each group of 2^share stretches one is counted, each as often as any other. */
Test(sampling, one_stretch_of_a_group_is_counted)
{
    enum { CLASS = 7, GROUPS = 2000, SHARE = 3, GROUP = 1 << SHARE };
    struct thread_cache *cache = begin((size_t)1 << 40);
    mb_free(mb_alloc(64));
    unsigned at[GROUP] = { 0 };
    struct sampling_class *state = &sampling_of(cache)->classes[CLASS];
    settings.share_max[CLASS] = SHARE;
    while (state->share != SHARE || state->rest != 0 || !state->counted) {
        sampling_next(cache, CLASS); /* until the last of a group is counted */
    }
    for (unsigned group = 0; group < GROUPS; group++) {
        unsigned counted = 0;
        for (unsigned place = 0; place < GROUP; place++) {
            sampling_next(cache, CLASS);
            counted += sampling_counts(cache, CLASS);
            at[place] += sampling_counts(cache, CLASS);
        }
        cr_assert_eq(counted, 1, "group %u: %u", group, counted);
    }
    for (unsigned place = 0; place < GROUP; place++) {
        double expected = (double)GROUPS / GROUP;
        cr_assert_leq(fabs(at[place] - expected), 5 * sqrt(expected), "%u: %u", place, at[place]);
    }
    mbi_sampling_publish(NULL);
}

/* So a class that moves in circles is not in one stretch for ever. */
Test(sampling, other_classes_have_their_turn_at_a_slow_path)
{
    enum { CLASS = 7, OTHER = 24, STRETCHES = 100, SLOW_PATHS = 10 };
    struct thread_cache *cache = begin((size_t)1 << 40);
    mb_free(mb_alloc(64));
    mb_free(mb_alloc(200));
    struct sampling *sampling = sampling_of(cache);
    mbi_sampling_end(cache, CLASS);
    mbi_sampling_end(cache, OTHER);
    sampling->skip[CLASS] = sampling->skip[OTHER] = STRETCHES;
    sampling->before_lap = 2; /* as many as there are classes */
    for (int i = 0; i < SLOW_PATHS; i++) {
        sampling_next(cache, OTHER);
    }
    cr_assert_eq(sampling->skip[OTHER], STRETCHES - SLOW_PATHS);
    cr_assert_eq(sampling->skip[CLASS], STRETCHES - SLOW_PATHS / 2, "each second one is a lap");
    mbi_sampling_publish(NULL);
}

/* Of all classes one stretch of a group is counted, also where laps alone end the stretches. */
Test(sampling, laps_count_one_stretch_of_a_group_of_each_class)
{
    enum { CLASSES = 40, OTHER = CLASSES, GROUPS = 20, SHARE = 4, GROUP = 1 << SHARE };
    struct thread_cache *cache = begin((size_t)1 << 40);
    mb_free(mb_alloc(8 * (OTHER + 1)));
    struct sampling *sampling = sampling_of(cache);
    for (size_t class = 0; class < CLASSES; class++) {
        settings.share_max[class] = SHARE;
        mb_free(mb_alloc(8 * (class + 1)));
    }
    unsigned counted[CLASSES] = { 0 };
    for (unsigned lap = 0; lap < GROUP * (GROUPS + SHARE);) {
        bool is_lap = sampling->before_lap == 1;
        sampling_next(cache, OTHER);
        for (size_t class = 0; is_lap && class < CLASSES; class++) {
            bool is_counted = sampling_counts(cache, class);
            cr_assert(!is_counted || sampling->skip[class] == 0);
            counted[class] += is_counted;
        }
        lap += is_lap;
    }
    for (size_t class = 0; class < CLASSES; class++) { /* SHARE ones more while the share grew */
        cr_assert_geq(counted[class], GROUPS, "%zu: %u", class, counted[class]);
        cr_assert_leq(counted[class], GROUPS + 2 * SHARE + 1, "%zu: %u", class, counted[class]);
    }
    mbi_sampling_publish(NULL);
}

/*
 * After some allocations in a row the next ones take the fast path. Slots come and go in the order
 * that they have without a profile, whenever that ends, and none is a sample before its turn.
 */
Test(sampling, an_opened_class_goes_on_as_before)
{
    enum { CLASS = 7, ROUNDS = 200, LEFT = 150 };
    static void *objects[ROUNDS];
    mb_free(mb_alloc(64));
    for (size_t frees = 0; frees < 120; frees++) {
        for (size_t i = 0; i < ROUNDS; i++) {
            objects[i] = mb_alloc(64);
        }
        struct thread_cache *cache = begin((size_t)1 << 40);
        mb_free(mb_alloc(64));
        for (size_t i = 0; i < ROUNDS; i++) {
            mb_free(objects[ROUNDS - 1 - i]);
        }
        struct sampling *sampling = sampling_of(cache);
        if (!sampling_counts(cache, CLASS)) { /* the frees ended the stretch */
            sampling->skip[CLASS] = 0;
            sampling_next(cache, CLASS);
        }
        struct sampling_class *state = &sampling->classes[CLASS];
        mbi_sampling_close(cache, CLASS);
        state->left = LEFT;
        bool opened = false;
        size_t rounds = mbi_thread_cache_rounds(cache, CLASS);
        for (size_t i = 0; i < frees; i++) {
            cr_assert_eq(mb_alloc(64), objects[i], "%zu of %zu", i, frees);
            opened |= sampling->cuts[CLASS].last != NULL;
            cr_assert_eq(mbi_thread_cache_rounds(cache, CLASS), rounds - 1 - i);
        }
        cr_assert_eq(opened, frees > 33, "after %zu", frees); /* one, and 32 of them known */
        for (size_t i = frees; i > 0; i--) {
            mb_free(objects[i - 1]);
            cr_assert_eq(mbi_thread_cache_rounds(cache, CLASS), rounds - i + 1);
        }
        cr_assert(sampling_counts(cache, CLASS), "after %zu", frees);
        mbi_sampling_close(cache, CLASS);
        cr_assert_eq(state->left, LEFT - frees);
        for (size_t i = 0; i < LEFT - frees; i++) {
            cr_assert_eq(mb_alloc(64), objects[i], "%zu after %zu", i, frees);
        }
        cr_assert_eq(chain_first(magazine_chain(&cache->loaded[CLASS])), NULL, "past the sample");
        mbi_sampling_close(cache, CLASS);
        cr_assert_eq(state->left, 0);
        mbi_sampling_publish(NULL);
        for (size_t i = 0; i < LEFT - frees; i++) {
            mb_free(objects[i]);
        }
    }
}

/* Each slot of a counted stretch is a sample with the same chance. */
Test(sampling, samples_are_as_frequent_as_they_should_be)
{
    enum { OBJECTS = 20000, CLASS = 7, MEAN = 6400 };
    size_t due = 0;
    struct thread_cache *cache = begin(MEAN);
    void *first = mb_alloc(64);
    struct slot *kept = NULL;
    for (size_t i = 0; i < OBJECTS; i++) {
        struct slot *slot = mbi_thread_cache_take(CLASS);
        due += sampling_is_due();
        slot->rest = (uintptr_t)kept;
        kept = slot;
    }
    while (kept != NULL) {
        struct slot *slot = kept;
        kept = (struct slot *)(uintptr_t)slot->rest;
        mb_free(slot);
    }
    double expected = OBJECTS * chance_within(64.0 / MEAN);
    cr_assert_leq(fabs((double)due - expected), 5 * sqrt(expected), "%zu, not %.0f", due, expected);
    mb_free(first);
    cr_assert(cache->active);
    mbi_sampling_publish(NULL);
}

/* The weight is the inverse of the chance, whatever the share. */
Test(sampling, weights_undo_shares)
{
    static struct sampling sampling;
    mbi_sampling_prepare(&settings, 512 << 10);
    sampling.settings = &settings;
    for (uint8_t share = 0; share <= SAMPLING_SHARE_MAX; share++) {
        sampling.classes[7].share = share;
        double chance = ldexp(-expm1(-ldexp(64.0 / (512 << 10), share)), -share);
        cr_assert_leq(fabs(mbi_sampling_weight(&sampling, 7) * chance - 1), 1e-8);
    }
    cr_assert_leq(fabs(mbi_sampling_large_weight(&settings, 512 << 10) * -expm1(-1) - 1), 1e-8);
}
