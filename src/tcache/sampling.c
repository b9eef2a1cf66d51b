/* sampling: stretches, which of them are counted, and the counting in between. */
#include "tcache/sampling.h"

#include "core/os.h"

#include <string.h>

/* So many samples of a counted stretch may be expected. */
#define POINTS_MAX 4.0
/*
 * The longest stretch is forgotten by such a part with each that is counted: slowly, as a program's
 * phases leave a class without allocations for many of them.
 */
enum { FADE = 32 };
#define LEFT_MAX ((uint32_t)1 << 31)
/*
 * So many slow paths lie between two laps at most. The more, the longer are the stretches of a
 * class with few slow paths: it has fewer that are counted, each with more samples in a bunch.
 */
enum { LAP_MAX = 12 };
/*
 * So many allocations of a counted class come here one by one before take sees whether any slot was
 * freed in between; if not, so many more, or fewer, take the fast path.
 */
enum { QUICK_MAX = 32, OPENED_MIN = 8, OPENED_MAX = 64 };

uint64_t mbi_sampling_seed;

/*
 * By class, the share of the last counted stretch of any thread: what a thread begins with, so that
 * those which live for a moment need not learn it. relaxed [SHARES]: a hint.
 */
static _Atomic uint8_t shares[SIZE_CLASS_COUNT];
enum { SHARE_NONE = UINT8_MAX };

/* As before the class's first stretch. */
static void reset(struct sampling *sampling, size_t class)
{
    struct sampling_class *state = &sampling->classes[class];
    sampling->skip[class] = SAMPLING_SKIP_NONE;
    sampling_set_hidden(state, 0);
    state->left = 0;
    state->seen = 0;
    state->longest = 0;
    state->granted = 0;
    state->quick = 0;
    state->rounds_max = 0;
    sampling->cuts[class].last = NULL;
    state->rest = 0;
    state->share = SHARE_NONE;
    state->counted = false;
    state->drawn = false;
}

/* How many allocations are no samples before the next one: geometric, as a part of exponential. */
static void draw(struct sampling *sampling, size_t class)
{
    double points = chance_exponential(&sampling->random);
    struct sampling_class *state = &sampling->classes[class];
    double left = points / sampling_points(sampling->settings, class, state->share);
    state->left = left < (double)LEFT_MAX ? (uint32_t)left : LEFT_MAX;
    state->drawn = true;
}

/* Tells that so many allocations were made, of which none was a sample. */
static void tell(struct sampling_class *state, uint32_t allocations)
{
    state->left -= allocations;
    state->seen += allocations;
    state->granted = 0;
    state->quick = 0;
}

/*
 * Hides the chain of an opened class again. Where the program wrote to a slot after its free, what
 * it wrote counts for none, and the slow path finds it behind the end of the stretch.
 */
static MBI_COLD void close_opened(struct magazine *loaded, struct sampling_class *state,
                                  struct sampling_cut *cut)
{
    uint64_t chain = magazine_unload(loaded);
    size_t before = size_above(chain_rounds(chain), chain_rounds(cut->rest));
    before = size_min(before, state->granted);
    tell(state, state->granted - (uint32_t)before);
    if (before != 0) {
        cut->last->rest = cut->rest;
    } else if (chain == chain_rounds(cut->rest)) {
        chain = cut->rest;
    }
    cut->last = NULL;
    sampling_set_hidden(state, chain);
}

void mbi_sampling_close(struct thread_cache *cache, size_t class)
{
    struct sampling *sampling = sampling_of(cache);
    struct sampling_class *state = &sampling->classes[class];
    struct magazine *loaded = &cache->loaded[class];
    assert(state->counted);
    if (sampling->cuts[class].last != NULL) {
        close_opened(loaded, state, &sampling->cuts[class]);
    } else {
        tell(state, state->granted - state->quick);
    }
    state->rounds_max = cache->capacity[class];
    assert(magazine_chain(loaded) == 0);
}

/*
 * Cuts the hidden chain behind its first slots, and loads it. Not where it ends before that, as a
 * slot was written to after its free: the end of the chain will be found as without a profile.
 */
static void open_class(struct thread_cache *cache, struct sampling *sampling, size_t class,
                       uint16_t slots)
{
    struct sampling_class *state = &sampling->classes[class];
    struct sampling_cut *cut = &sampling->cuts[class];
    uint64_t chain = sampling_hidden(state);
    struct slot *last = chain_first(chain);
    for (uint16_t i = 1; i < slots && last != NULL; i++) {
        last = chain_first(last->rest);
    }
    if (MBI_UNLIKELY(last == NULL)) {
        return;
    }
    cut->last = last;
    cut->rest = last->rest;
    state->granted = slots;
    state->rounds_max = 0;
    sampling_set_hidden(state, 0);
    last->rest = chain_rounds(cut->rest);
    magazine_set_chain(&cache->loaded[class], chain);
}

/* Lets allocations go on without a call of take, as far as none is a sample. */
static void grant(struct thread_cache *cache, struct sampling *sampling, size_t class, bool in_row)
{
    struct sampling_class *state = &sampling->classes[class];
    size_t rounds = chain_rounds(sampling_hidden(state));
    size_t slots = size_min(size_min(rounds, state->left), OPENED_MAX);
    state->rounds = (uint16_t)rounds;
    if (in_row && slots >= OPENED_MIN) {
        open_class(cache, sampling, class, (uint16_t)slots);
    } else {
        state->granted = (uint16_t)size_min(state->left, QUICK_MAX);
        state->quick = state->granted;
    }
}

struct slot *mbi_sampling_take(struct thread_cache *cache, size_t class)
{
    struct sampling *sampling = sampling_of(cache);
    struct sampling_class *state = &sampling->classes[class];
    uint32_t seen = state->seen;
    mbi_sampling_close(cache, class);
    uint64_t hidden = sampling_hidden(state);
    /* Empty; or a word that counts slots and has no address, which the end keeps. */
    if (chain_first(hidden) == NULL || !sampling_is_current(sampling)) {
        return NULL;
    }
    uint32_t told = state->seen - seen;
    bool in_row = told >= QUICK_MAX && state->rounds == chain_rounds(hidden) + told;
    sampling->due = state->left == 0;
    state->seen++;
    if (sampling->due) {
        draw(sampling, class);
    } else {
        state->left--;
    }
    struct slot *slot = sampling_pop_hidden(state, hidden);
    grant(cache, sampling, class, in_row);
    return slot;
}

/* Of the class's next group of 2^share stretches: which one is counted. */
static void choose(struct sampling *sampling, size_t class)
{
    struct sampling_class *state = &sampling->classes[class];
    uint32_t place = (uint32_t)chance_one_of(&sampling->random, state->share);
    sampling->skip[class] = (int16_t)(state->rest + place);
    state->rest = (uint8_t)((1U << state->share) - 1 - place);
}

/* After a counted stretch: what share the class is to have, by what was allocated in it. */
static void learn(struct sampling *sampling, size_t class)
{
    struct sampling_class *state = &sampling->classes[class];
    state->longest = (uint32_t)size_max(state->seen, state->longest - state->longest / FADE);
    double points = sampling->settings->per_slot[class] * (double)state->longest;
    size_t most = size_min(state->share + 1U, sampling->settings->share_max[class]);
    uint8_t share = (uint8_t)most;
    while (share > 0 && points * (double)(1U << share) > POINTS_MAX) {
        share--;
    }
    state->drawn = state->drawn && state->share == share;
    state->share = share;
    choose(sampling, class);
    atomic_store_explicit(&shares[class], share, memory_order_relaxed); /* [SHARES] */
}

/* Frees take the fast path again, unless another thread asks for the magazines. */
static void restore_rounds_max(struct thread_cache *cache, size_t class)
{
    bool asked = flag_is_set(&cache->asked);
    magazine_set_rounds_max(&cache->loaded[class], asked ? 0 : cache->capacity[class]);
}

void mbi_sampling_end(struct thread_cache *cache, size_t class)
{
    struct sampling *sampling = sampling_of(cache);
    struct sampling_class *state = &sampling->classes[class];
    mbi_sampling_close(cache, class);
    magazine_set_chain(&cache->loaded[class], sampling_hidden(state));
    sampling_set_hidden(state, 0);
    state->counted = false;
    state->rounds_max = 0;
    learn(sampling, class);
    restore_rounds_max(cache, class);
}

/* A class's first stretch in this cache, for these settings, is about to begin. */
static void enter(struct sampling *sampling, size_t class)
{
    struct sampling_class *state = &sampling->classes[class];
    uint8_t share = atomic_load_explicit(&shares[class], memory_order_relaxed); /* [SHARES] */
    state->share = (uint8_t)size_min(share, sampling->settings->share_max[class]);
    choose(sampling, class);
    sampling->used_count++;
    sampling->vectors_end =
        (uint8_t)size_max(sampling->vectors_end, class / SAMPLING_LANES + 1);
}

/* The class's stretch ends, and its next one begins. */
static MBI_COLD void change(struct thread_cache *cache, struct sampling *sampling, size_t class)
{
    struct sampling_class *state = &sampling->classes[class];
    struct magazine *loaded = &cache->loaded[class];
    int16_t *skip = &sampling->skip[class];
    sampling_settle(cache, class);
    if (MBI_UNLIKELY(state->share == SHARE_NONE)) {
        enter(sampling, class);
    }
    if (*skip != 0) {
        --*skip;
        restore_rounds_max(cache, class);
        return;
    }
    state->counted = true;
    if (!state->drawn) {
        draw(sampling, class);
    }
    state->seen = 0;
    state->rounds_max = cache->capacity[class];
    sampling_set_hidden(state, magazine_unload(loaded));
    magazine_set_rounds_max(loaded, 0);
    grant(cache, sampling, class, false);
}

static inline bool any_is_zero(sampling_lanes lanes)
{
    sampling_lanes are_zero = lanes == 0;
    uint64_t halves[2];
    memcpy(halves, &are_zero, sizeof halves);
    return (halves[0] | halves[1]) != 0;
}

/*
 * Of the classes in a vector, changes those that have no stretch to skip. They are a stretch ahead
 * of the others then.
 */
static MBI_COLD void change_in_vector(struct thread_cache *cache, struct sampling *sampling,
                                      size_t vector)
{
    size_t first = vector * SAMPLING_LANES;
    for (size_t class = first; class < first + SAMPLING_LANES; class++) {
        if (sampling->skip[class] == 0) {
            change(cache, sampling, class);
            sampling->skip[class]++;
        }
    }
}

void mbi_sampling_have_lap(struct thread_cache *cache, struct sampling *sampling, size_t begun)
{
    bool is_alone = sampling->used_count == 1;
    sampling->before_lap = is_alone ? LAP_MAX : (uint8_t)size_min(sampling->used_count, LAP_MAX);
    sampling->skip[begun]++;
    for (size_t vector = 0, end = sampling->vectors_end; vector < end; vector++) {
        if (MBI_UNLIKELY(any_is_zero(sampling->skip_lanes[vector]))) {
            change_in_vector(cache, sampling, vector);
        }
        sampling_lanes skip = sampling->skip_lanes[vector];
        sampling->skip_lanes[vector] = skip + (skip > 0); /* true is -1 */
    }
}

/* Before the first stretch of any class. */
static void begin_anew(struct sampling *sampling)
{
    sampling->used_count = 0;
    sampling->vectors_end = 0;
    sampling->before_lap = 1;
    for (size_t lane = SIZE_CLASS_COUNT; lane < SAMPLING_SKIPS; lane++) {
        sampling->skip[lane] = SAMPLING_SKIP_NONE; /* of no class */
    }
}

/* Settings have changed: no class is counted, and each begins anew at its next free or refill. */
static MBI_COLD void adopt(struct thread_cache *cache, struct sampling *sampling)
{
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        sampling_settle(cache, class);
        reset(sampling, class);
    }
    begin_anew(sampling);
    sampling->settings = sampling_settings();
    if (sampling->settings != NULL) {
        mbi_thread_cache_interrupt(cache);
        sampling->large_left =
            chance_exponential(&sampling->random) * (double)sampling->settings->mean_bytes;
    }
}

/* The cache's, with the settings of now; NULL without a profile, or without memory. */
static MBI_COLD struct sampling *sampling_now(struct thread_cache *cache)
{
    struct sampling *sampling = sampling_of(cache);
    if (MBI_UNLIKELY(sampling == NULL)) {
        sampling = mbi_os_map(sizeof *sampling);
        if (sampling == NULL) {
            return NULL;
        }
        uint64_t seed = mbi_sampling_seed != 0 ? mbi_sampling_seed : mbi_os_random();
        sampling->random = seed | 1;
        /* release [SAMPLING-SHOW]: pairs with [SAMPLING-SEEN]. */
        atomic_store_explicit(&cache->sampling, sampling, memory_order_release);
    }
    if (MBI_UNLIKELY(!sampling_is_current(sampling))) {
        adopt(cache, sampling);
    }
    return sampling->settings != NULL ? sampling : NULL;
}

MBI_COLD bool mbi_sampling_next_slow(struct thread_cache *cache, size_t class)
{
    struct sampling *sampling = sampling_now(cache);
    if (sampling == NULL) {
        return false;
    }
    change(cache, sampling, class);
    if (--sampling->before_lap == 0) {
        mbi_sampling_have_lap(cache, sampling, class);
    }
    return sampling->classes[class].counted;
}

bool mbi_sampling_count_large(size_t size_bytes)
{
    struct thread_cache *cache = mbi_thread_cache->active ? mbi_thread_cache_begin_slow() : NULL;
    bool sampled = false;
    if (cache == NULL) {
        return false;
    }
    struct sampling *sampling = sampling_now(cache);
    if (sampling != NULL) {
        sampling->large_left -= (double)size_bytes;
        sampled = sampling->large_left < 0;
        if (sampled) {
            sampling->large_left =
                chance_exponential(&sampling->random) * (double)sampling->settings->mean_bytes;
        }
    }
    thread_cache_end_slow(cache);
    return sampled;
}

void mbi_sampling_forget(struct thread_cache *cache, size_t class)
{
    struct sampling *sampling = sampling_of(cache);
    if (sampling != NULL) {
        reset(sampling, class);
        begin_anew(sampling);
    }
}
