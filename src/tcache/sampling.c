/* sampling: stretches, which of them are counted, and the counting in between. */
#include "tcache/sampling.h"

#include "core/os.h"

/*
 * With a share of 5 one stretch of 32 is counted, and samples are 32 times as likely there. The
 * share is less where two samples of a counted stretch would lie less than so many slots apart:
 * several samples in one object say nothing.
 */
enum { SLOTS_PER_SAMPLE_MIN = 16 };
/* So many samples of a counted stretch may be expected. */
#define POINTS_MAX 2.0
/* The longest stretch is forgotten by such a part with each that is counted. */
enum { FADE = 8 };
#define LEFT_MAX ((uint32_t)1 << 31)

const struct sampling_settings *_Atomic mbi_sampling_settings;
uint64_t mbi_sampling_seed;

void mbi_sampling_publish(const struct sampling_settings *settings)
{
    /* release [SAMPLING-STORE]: pairs with [SAMPLING-LOAD], which then sees the settings and all
     * that the profile has prepared. */
    atomic_store_explicit(&mbi_sampling_settings, settings, memory_order_release);
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
    }
}

static double points_in_slot(const struct sampling *sampling, size_t class)
{
    unsigned share = sampling->classes[class].share;
    return sampling->settings->per_slot[class] * (double)(1U << share);
}

double mbi_sampling_weight(const struct sampling *sampling, size_t class)
{
    unsigned share = sampling->classes[class].share;
    return (double)(1U << share) / chance_within(points_in_slot(sampling, class));
}

double mbi_sampling_large_weight(const struct sampling_settings *settings, size_t size_bytes)
{
    return 1 / chance_within((double)size_bytes / (double)settings->mean_bytes);
}

/*
 * By class, the share of the last counted stretch of any thread: what a thread begins with, so that
 * those which live for a moment need not learn it. relaxed [SHARES]: a hint.
 */
static _Atomic uint8_t shares[SIZE_CLASS_COUNT];
enum { SHARE_NONE = UINT8_MAX };

/* As before the class's first stretch. */
static void reset(struct sampling_class *state)
{
    sampling_set_hidden(state, 0);
    state->left = 0;
    state->left_drawn = 0;
    state->seen = 0;
    state->longest = 0;
    state->skip = 0;
    state->rest = 0;
    state->share = SHARE_NONE;
    state->counted = false;
    state->drawn = false;
}

/* How many allocations are no samples before the next one: geometric, as a part of exponential. */
static void draw(struct sampling *sampling, size_t class)
{
    double points = chance_exponential(&sampling->random);
    double left = points / points_in_slot(sampling, class);
    struct sampling_class *state = &sampling->classes[class];
    state->left = left < (double)LEFT_MAX ? (uint32_t)left : LEFT_MAX;
    state->left_drawn = state->left;
    state->drawn = true;
}

/* Adds what `left` has lost to what was seen in the stretch. */
static void note_seen(struct sampling_class *state)
{
    state->seen += state->left_drawn - state->left;
    state->left_drawn = state->left;
}

struct slot *mbi_sampling_take(struct thread_cache *cache, size_t class)
{
    struct sampling *sampling = sampling_of(cache);
    struct sampling_class *state = &sampling->classes[class];
    uint64_t hidden = sampling_hidden(state);
    assert(state->counted && magazine_chain(&cache->loaded[class]) == 0);
    /* Empty; or a word that counts slots and has no address, which the end keeps. */
    if (chain_first(hidden) == NULL || !sampling_is_current(sampling)) {
        return NULL;
    }
    sampling->due = state->left == 0;
    if (sampling->due) {
        note_seen(state);
        state->seen++;
        draw(sampling, class);
    } else {
        state->left--;
    }
    return sampling_pop_hidden(state, hidden);
}

/* Of the class's next group of 2^share stretches: which one is counted. */
static void choose(struct sampling *sampling, struct sampling_class *state)
{
    uint32_t place = (uint32_t)chance_one_of(&sampling->random, state->share);
    state->skip = state->rest + place;
    state->rest = (uint8_t)((1U << state->share) - 1 - place);
}

/* After a counted stretch: what share the class is to have, by what was allocated in it. */
static void learn(struct sampling *sampling, size_t class)
{
    struct sampling_class *state = &sampling->classes[class];
    note_seen(state);
    state->longest = (uint32_t)size_max(state->seen, state->longest - state->longest / FADE);
    double points = sampling->settings->per_slot[class] * (double)state->longest;
    size_t most = size_min(state->share + 1U, sampling->settings->share_max[class]);
    uint8_t share = 0;
    while (share < most && points * (double)(2U << share) <= POINTS_MAX) {
        share++;
    }
    state->drawn = state->drawn && state->share == share;
    state->share = share;
    choose(sampling, state);
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
    struct magazine *loaded = &cache->loaded[class];
    assert(state->counted && magazine_chain(loaded) == 0);
    magazine_set_chain(loaded, sampling_hidden(state));
    sampling_set_hidden(state, 0);
    state->counted = false;
    learn(sampling, class);
    restore_rounds_max(cache, class);
}

/* The next stretch of a class begins, unless it is one that is counted. */
static inline bool begin_uncounted(struct thread_cache *cache, struct sampling_class *state,
                                   size_t class)
{
    if (state->skip == 0) {
        return false;
    }
    state->skip--;
    if (MBI_UNLIKELY(magazine_rounds_max(&cache->loaded[class]) == 0)) {
        /* To end what came before. This stretch ends where a counted one would. */
        restore_rounds_max(cache, class);
    }
    return true;
}

static MBI_COLD void change_slow(struct thread_cache *cache, struct sampling *sampling,
                                 size_t class)
{
    struct sampling_class *state = &sampling->classes[class];
    struct magazine *loaded = &cache->loaded[class];
    sampling_settle(cache, class);
    if (MBI_UNLIKELY(state->share == SHARE_NONE)) {
        uint8_t share = atomic_load_explicit(&shares[class], memory_order_relaxed); /* [SHARES] */
        state->share = (uint8_t)size_min(share, sampling->settings->share_max[class]);
        choose(sampling, state);
        sampling->used[sampling->used_count++] = (uint8_t)class;
    }
    if (begin_uncounted(cache, state, class)) {
        return;
    }
    state->counted = true;
    if (!state->drawn) {
        draw(sampling, class);
    }
    state->left_drawn = state->left;
    state->seen = 0;
    sampling_set_hidden(state, magazine_unload(loaded));
    magazine_set_rounds_max(loaded, 0);
}

/* Ends the class's stretch, and begins its next one. A counted class has none to skip. */
static inline void change(struct thread_cache *cache, struct sampling *sampling, size_t class)
{
    if (MBI_UNLIKELY(!begin_uncounted(cache, &sampling->classes[class], class))) {
        change_slow(cache, sampling, class);
    }
}

/* Settings have changed: no class is counted, and each begins anew at its next free or refill. */
static MBI_COLD void adopt(struct thread_cache *cache, struct sampling *sampling)
{
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        sampling_settle(cache, class);
        reset(&sampling->classes[class]);
    }
    sampling->used_count = 0;
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

/* Another class than the one that has just begun a stretch has its turn. */
static inline void give_turn(struct thread_cache *cache, struct sampling *sampling, size_t begun)
{
    size_t turn = sampling->turn + 1;
    turn = turn < sampling->used_count ? turn : 0;
    sampling->turn = turn;
    size_t class = sampling->used[turn];
    if (MBI_LIKELY(class != begun)) {
        change(cache, sampling, class);
    }
}

/* Not cold: while a profile is taken each slow path comes here. */
void mbi_sampling_next(struct thread_cache *cache, size_t class)
{
    struct sampling *sampling = sampling_of(cache);
    if (MBI_UNLIKELY(sampling == NULL || !sampling_is_current(sampling))) {
        sampling = sampling_now(cache);
    }
    if (MBI_LIKELY(sampling != NULL && sampling->settings != NULL)) {
        change(cache, sampling, class);
        give_turn(cache, sampling, class);
    }
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
        reset(&sampling->classes[class]);
        sampling->used_count = 0;
    }
}
