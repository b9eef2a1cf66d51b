/* sampling: stretches, coins, and the counting in between. */
#include "tcache/sampling.h"

#include "core/os.h"

/*
 * With a share of 5 every 32nd stretch is counted, and samples are 32 times as likely there. The
 * share is less where two samples of a counted stretch would lie less than so many slots apart:
 * samples in bunches say little, and several in one object nothing.
 */
enum { SLOTS_PER_SAMPLE_MIN = 64 };
/* A class that had so many turns and ended no stretch itself is counted always. */
enum { TURNS_MAX = 8 };
/* A turn looks at so many classes at most that the thread does not use. */
enum { TURN_LOOKS_MAX = 4 };
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

/* relaxed [CHAIN]: one writer, the owner. */
static void set_side(struct sampling_class *state, uint64_t side)
{
    atomic_store_explicit(&state->side, side, memory_order_relaxed); /* [CHAIN] */
}

/* As before the class's first stretch. */
static void reset(struct sampling_class *state)
{
    state->cut = 0;
    set_side(state, 0);
    state->left = 0;
    state->share = 0;
    state->turns = 0;
    state->begun = false;
    state->counted = false;
    state->drawn = false;
}

/* How many allocations are no samples before the next one: geometric, as a part of exponential. */
static void draw(struct sampling *sampling, size_t class)
{
    double points = chance_exponential(&sampling->random);
    double left = points / points_in_slot(sampling, class);
    sampling->classes[class].left = left < (double)LEFT_MAX ? (uint32_t)left : LEFT_MAX;
    sampling->classes[class].drawn = true;
}

/* Cuts the loaded chain where the next sample is due, if that is in it. */
static void cut(struct magazine *loaded, struct sampling_class *state)
{
    uint64_t chain = magazine_chain(loaded);
    uint32_t left = state->left;
    assert(state->cut == 0);
    if (left >= chain_rounds(chain)) {
        state->left = left - chain_rounds(chain);
        return;
    }
    state->left = 0;
    if (left == 0) {
        state->cut = chain;
        magazine_set_chain(loaded, chain_make(NULL, chain_rounds(chain)));
        return;
    }
    struct slot *last = chain_first(chain);
    for (; left > 1; left--) {
        last = chain_first(last->rest);
    }
    state->cut = last->rest;
    last->rest = chain_make(NULL, chain_rounds(state->cut));
}

/* Undoes the above, after some of the loaded chain was used. */
static void uncut(struct magazine *loaded, struct sampling_class *state)
{
    uint64_t chain = magazine_chain(loaded);
    uint32_t before = (uint32_t)(chain_rounds(chain) - chain_rounds(state->cut));
    state->left += before;
    if (state->cut == 0) {
        return;
    }
    if (before == 0) {
        magazine_set_chain(loaded, state->cut);
    } else {
        struct slot *last = chain_first(chain);
        for (; before > 1; before--) {
            last = chain_first(last->rest);
        }
        last->rest = state->cut;
    }
    state->cut = 0;
}

static bool is_current(const struct sampling *sampling)
{
    return MBI_LIKELY(sampling->settings == sampling_settings());
}

struct slot *mbi_sampling_take(struct thread_cache *cache, size_t class)
{
    struct sampling *sampling = sampling_of(cache);
    struct sampling_class *state = &sampling->classes[class];
    struct magazine *loaded = &cache->loaded[class];
    assert(state->counted);
    while (is_current(sampling)) {
        struct slot *slot = magazine_pop(loaded);
        if (slot != NULL) {
            return slot;
        }
        if (state->cut != 0) {
            magazine_set_chain(loaded, state->cut);
            state->cut = 0;
            slot = magazine_pop(loaded);
            draw(sampling, class);
            cut(loaded, state);
            sampling->due = true;
            return slot;
        }
        if (magazine_chain(loaded) != 0 || sampling_side(state) == 0) {
            break; /* empty; or a word that counts slots and has no address, which the end keeps */
        }
        magazine_set_chain(loaded, sampling_side(state));
        set_side(state, 0);
        cut(loaded, state);
    }
    return NULL;
}

bool mbi_sampling_keep(struct thread_cache *cache, size_t class, struct slot *slot)
{
    struct sampling *sampling = sampling_of(cache);
    struct sampling_class *state = &sampling->classes[class];
    uint64_t side = sampling_side(state);
    unsigned loaded_rounds = chain_rounds(magazine_chain(&cache->loaded[class]));
    if (loaded_rounds + chain_rounds(side) >= cache->capacity[class] || cache->busy
        || slot == chain_first(side) || flag_is_set(&cache->asked) || !is_current(sampling)) {
        return false;
    }
    set_side(state, chain_push(side, slot));
    return true;
}

void mbi_sampling_end(struct thread_cache *cache, size_t class)
{
    struct sampling_class *state = &sampling_of(cache)->classes[class];
    struct magazine *loaded = &cache->loaded[class];
    assert(state->counted);
    uncut(loaded, state);
    uint64_t chain = magazine_chain(loaded);
    uint64_t side = sampling_side(state);
    if (chain == 0) {
        chain = side;
        side = 0;
    }
    while (side != 0) {
        struct slot *slot = chain_first(side);
        side = slot->rest;
        chain = chain_push(chain, slot);
    }
    magazine_set_chain(loaded, chain);
    set_side(state, 0);
    state->counted = false;
    bool asked = flag_is_set(&cache->asked);
    magazine_set_rounds_max(loaded, asked ? 0 : cache->capacity[class]);
}

/* The class has no stretch: throws the coin for one. */
static void begin(struct thread_cache *cache, struct sampling *sampling, size_t class,
                  uint8_t share)
{
    struct sampling_class *state = &sampling->classes[class];
    if (state->share != share) {
        state->share = share;
        state->drawn = false;
    }
    state->begun = true;
    state->counted = chance_once_in(&sampling->random, share);
    if (state->counted) {
        if (!state->drawn) {
            draw(sampling, class);
        }
        cut(&cache->loaded[class], state);
        magazine_set_rounds_max(&cache->loaded[class], 0);
    }
}

/* Settings have changed: no class is counted, and all begin anew. */
static MBI_COLD void adopt(struct thread_cache *cache, struct sampling *sampling)
{
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        sampling_settle(cache, class);
        reset(&sampling->classes[class]);
    }
    sampling->settings = sampling_settings();
    if (sampling->settings != NULL) {
        sampling->large_left =
            chance_exponential(&sampling->random) * (double)sampling->settings->mean_bytes;
    }
}

/* The cache's, with the settings of now; NULL without a profile, or without memory. */
static struct sampling *sampling_now(struct thread_cache *cache)
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
    if (MBI_UNLIKELY(!is_current(sampling))) {
        adopt(cache, sampling);
    }
    return sampling->settings != NULL ? sampling : NULL;
}

/* The next class that the thread uses; SIZE_CLASS_COUNT when none is near. */
static size_t next_in_turn(const struct thread_cache *cache, struct sampling *sampling)
{
    for (int look = 0; look < TURN_LOOKS_MAX; look++) {
        sampling->turn = pools_next(sampling->turn + 1);
        if (sampling->turn >= SIZE_CLASS_COUNT) {
            sampling->turn = pools_next(0);
        }
        size_t class = sampling->turn;
        if (class < SIZE_CLASS_COUNT && cache->capacity[class] != 0) {
            return class;
        }
    }
    return SIZE_CLASS_COUNT;
}

static void give_turn(struct thread_cache *cache, struct sampling *sampling)
{
    size_t class = next_in_turn(cache, sampling);
    if (class == SIZE_CLASS_COUNT) {
        return;
    }
    struct sampling_class *state = &sampling->classes[class];
    state->turns = (uint8_t)size_min(state->turns + 1U, TURNS_MAX);
    sampling_settle(cache, class);
    begin(cache, sampling, class, state->turns < TURNS_MAX ? state->share : 0);
}

void mbi_sampling_next(struct thread_cache *cache, size_t class)
{
    struct sampling *sampling = sampling_now(cache);
    if (sampling == NULL) {
        return;
    }
    struct sampling_class *state = &sampling->classes[class];
    unsigned share = state->begun ? state->share + 1U : 0;
    state->turns = 0;
    sampling_settle(cache, class); /* a turn during the chores cannot be, but an adoption */
    begin(cache, sampling, class,
          (uint8_t)size_min(share, sampling->settings->share_max[class]));
    give_turn(cache, sampling);
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
    }
}
