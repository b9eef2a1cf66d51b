/*
 * sampling: which allocations of a thread are samples of the heap profile, with no instruction more
 * on the fast paths.
 *
 * Ladder: beside thread_cache. Callers: the slow paths, transfer, and the profile, which turns it
 * on.
 *
 * The aim: each byte that is allocated is a point of a Poisson process, one in `mean` bytes, and an
 * allocation with a point in it is a sample. Processes of different classes may be independent, as
 * their sum is a Poisson process again. So each class of a thread counts allocations: how many
 * come before the next sample is geometrically distributed.
 *
 * Counting without the fast paths. A pop moves the thread towards the next sample, and a push
 * brings a slot that a later pop takes. From the chain alone only the difference is seen: a program
 * that allocates and frees one object in turn has the same chain for ever. So a class can be
 * counted only while it takes no fast path:
 *
 *   counted    `hidden` has the magazine's chain. The loaded chain is empty and rounds_max is 0, so
 *              that each allocation and each free comes here, to pop and to push in their place.
 *   opened     counted, and the loaded chain has all again, but cut behind the next slots: as
 *              many as are no samples, and no free has added any. Allocations take the fast path
 *              up to the cut, where it finds a word that counts slots and has no address; a free
 *              closes what is left. For programs that allocate many in a row.
 *   uncounted  the class is as it is without a profile, and no allocation is a sample.
 *
 *   rounds(loaded) + rounds(hidden) = what the magazine would hold without a profile. One is 0.
 *
 * To count always would make every call dear. So a class's life is divided into stretches, and of
 * each group of 2^share stretches one is counted, which a random number chooses when the group
 * begins. In counted stretches samples are 2^share times as likely. An allocation is a sample with
 * chance
 *
 *   2^-share * (1 - exp(-slot_bytes * 2^share / mean))
 *
 * and its weight is the inverse of that (Horvitz and Thompson, 1952), so that every sum of weights
 * has the true sum as its mean. That needs one thing: what happens in a stretch, and where it
 * ends, must not depend on the choice. A stretch ends where the class would take a slow path
 * without a profile (its magazine is empty, or full), or at a lap, where those of all classes end:
 * after as many slow paths of the thread as it uses classes, LAP_MAX at most. A sampled object
 * holds the slot that it would have been, and frees it when it is freed: so the magazines go on as
 * they would. (With a coin for each stretch, 2^-share to be counted, sums have the same mean, and
 * vary more: the counted stretches were now few, now many.)
 *
 * A group's `share` may follow from what happened before it. It begins with 0, all is counted; in
 * another thread with the share that the class had in the last one. Each counted stretch shows how
 * much is allocated in one. It raises the next group's share by one, up to the settings' share,
 * while no more than POINTS_MAX samples would be expected in as long a stretch, and lowers it to
 * that at once: samples in bunches say little. So a class that moves in circles, in which the fast
 * paths tell nothing and only laps end a stretch, is counted more often. What remains: a thread
 * that takes no slow path of any class any more stays in the stretch that it is in. The sum is
 * right on the average then, too, but varies as that one choice does.
 */
#ifndef MEMORYBUCKET_TCACHE_SAMPLING_H
#define MEMORYBUCKET_TCACHE_SAMPLING_H

#include "core/chance.h"
#include "tcache/thread_cache.h"

enum { SAMPLING_SHARE_MAX = 8 };

/* What a profile was started with. Constant once it is published; kept for ever. */
struct sampling_settings {
    size_t mean_bytes;
    uint8_t share_max[SIZE_CLASS_COUNT];
    /* Points of the process in a slot's bytes, on the average, where all is counted. */
    double per_slot[SIZE_CLASS_COUNT];
    /* What a sample weighs in a stretch of that share. */
    double weight_at_max[SIZE_CLASS_COUNT];
};

struct sampling_class {
    _Atomic uint64_t hidden; /* the chain of a counted class; walkers read its rounds */
    uint32_t left;           /* allocations before the next sample, when there was a grant last */
    uint32_t seen;           /* allocations in this stretch, while it is counted, up to then */
    uint32_t longest;        /* what the longest counted stretch had, fading */
    uint16_t granted;        /* allocations of which none is a sample, and that are not told here */
    uint16_t quick;          /* of these, what is left; 0 where they are of the fast path */
    uint16_t rounds;         /* of the chain, when that was granted */
    uint16_t rounds_max;     /* of the magazine; 0 while it is uncounted, or opened */
    uint8_t rest;            /* stretches of its group behind the one that is counted, or was */
    uint8_t share;           /* that `left` and `skip` were drawn for. SHARE_NONE: none yet */
    bool counted;
    bool drawn; /* whether `left` is */
};
_Static_assert(sizeof(struct sampling_class) == 2 * sizeof(struct magazine),
               "one is found from the other by their offsets");

/* Where the chain of an opened class is cut. */
struct sampling_cut {
    struct slot *last; /* NULL: not opened */
    uint64_t rest;     /* the word that was in it */
};

/* Numbers of eight classes, for steps that all take at once. */
typedef int16_t sampling_lanes __attribute__((vector_size(16)));
enum { SAMPLING_LANES = 8, SAMPLING_SKIP_NONE = -1 };
enum { SAMPLING_VECTORS = (SIZE_CLASS_COUNT + SAMPLING_LANES - 1) / SAMPLING_LANES };
enum { SAMPLING_SKIPS = SAMPLING_VECTORS * SAMPLING_LANES };

/* The owner's, but for `hidden`. One for each cache that ever needed it, and kept with it. */
struct sampling {
    const struct sampling_settings *settings; /* what the classes go by; NULL: none is counted */
    uint64_t random;
    double large_left; /* bytes of large requests before the next sample */
    /*
     * Of each class: stretches that are not counted before the next one that is, 0 also while that
     * lasts. SKIP_NONE: the class had no stretch yet.
     */
    union {
        int16_t skip[SAMPLING_SKIPS];
        sampling_lanes skip_lanes[SAMPLING_VECTORS];
    };
    uint8_t vectors_end;  /* those from here on have no class that had a stretch */
    uint8_t used_count;   /* classes that had a stretch */
    uint8_t before_lap;   /* slow paths before the next lap, and the one that has it */
    bool due;             /* the slot just taken is that of a sample */
    struct sampling_class classes[SIZE_CLASS_COUNT];
    struct sampling_cut cuts[SIZE_CLASS_COUNT];
};

/* NULL: no profile is being taken. */
extern MBI_HIDDEN const struct sampling_settings *_Atomic mbi_sampling_settings;

static inline const struct sampling_settings *sampling_settings(void)
{
    /* acquire [SAMPLING-LOAD]: pairs with [SAMPLING-STORE]. */
    return atomic_load_explicit(&mbi_sampling_settings, memory_order_acquire);
}

/* Points of the process in a slot's bytes, in a counted stretch. */
static inline double sampling_points(const struct sampling_settings *settings, size_t class,
                                     unsigned share)
{
    return settings->per_slot[class] * (double)(1U << share);
}

/* acquire [SAMPLING-SEEN]: a walker, which is no owner, sees the fresh page behind the pointer. */
static inline struct sampling *sampling_of(const struct thread_cache *cache)
{
    return atomic_load_explicit(&cache->sampling, memory_order_acquire); /* [SAMPLING-SEEN] */
}

/* relaxed [CHAIN]: as a magazine's chain; one writer. */
static inline uint64_t sampling_hidden(const struct sampling_class *state)
{
    return atomic_load_explicit(&state->hidden, memory_order_relaxed); /* [CHAIN] */
}

/* Whether slow paths have to look here at all. */
MBI_HOT_INLINE bool sampling_concerns(const struct thread_cache *cache)
{
    return MBI_UNLIKELY(sampling_settings() != NULL || sampling_of(cache) != NULL);
}

MBI_HOT_INLINE bool sampling_counts(const struct thread_cache *cache, size_t class)
{
    const struct sampling *sampling = sampling_of(cache);
    return MBI_UNLIKELY(sampling != NULL) && sampling->classes[class].counted;
}

/* Of the class, the chain that is not in the magazine. */
static inline uint64_t sampling_hidden_of(const struct thread_cache *cache, size_t class)
{
    const struct sampling *sampling = sampling_of(cache);
    return MBI_LIKELY(sampling == NULL) ? 0 : sampling_hidden(&sampling->classes[class]);
}

/* Whether the slot that mbi_thread_cache_take just gave the calling thread is that of a sample. */
static inline bool sampling_is_due(void)
{
    const struct sampling *sampling = sampling_of(mbi_thread_cache);
    return MBI_UNLIKELY(sampling != NULL) && sampling->due;
}

/* Turns sampling on, or off (NULL). Before: mbi_registry_watch. */
void mbi_sampling_publish(const struct sampling_settings *settings);

/* Fills settings in for a mean number of bytes between samples, at least 1. */
void mbi_sampling_prepare(struct sampling_settings *settings, size_t mean_bytes);

/* The inverse of the chance that an allocation of the class is a sample, now in this thread. */
double mbi_sampling_weight(const struct sampling *sampling, size_t class);

/* The same for a large request. */
double mbi_sampling_large_weight(const struct sampling_settings *settings, size_t size_bytes);

/* Counts a large request of the calling thread; whether it is a sample. */
bool mbi_sampling_count_large(size_t size_bytes);

/*
 * For the owner's slow paths.
 *   pop    in a counted stretch: the next slot, unless it is that of a sample. NULL: see take
 *   take   in a counted stretch: the next slot, and sets `due`. NULL: the stretch has to end
 *   keep   in a counted stretch: takes a freed slot, unless the class is opened. False: see
 *          close, and keep again
 *   close  of a counted stretch: tells what was granted, and hides the chain again
 *   end    of a counted stretch: leaves the class as it would be without a profile
 *   next   after a slow path of the class: begins its next stretch, and at a lap all others'.
 *          Whether the class is counted now
 */
struct slot *mbi_sampling_take(struct thread_cache *cache, size_t class);
void mbi_sampling_close(struct thread_cache *cache, size_t class);
void mbi_sampling_end(struct thread_cache *cache, size_t class);
bool mbi_sampling_next_slow(struct thread_cache *cache, size_t class);

/* All stretches end, but for that of the class that has just begun one. */
void mbi_sampling_have_lap(struct thread_cache *cache, struct sampling *sampling, size_t begun);

/* relaxed [CHAIN]: one writer, the owner. */
static inline void sampling_set_hidden(struct sampling_class *state, uint64_t hidden)
{
    atomic_store_explicit(&state->hidden, hidden, memory_order_relaxed); /* [CHAIN] */
}

/* The next slot of a hidden chain, which has one. */
static inline struct slot *sampling_pop_hidden(struct sampling_class *state, uint64_t hidden)
{
    struct slot *slot = chain_first(hidden);
    uint64_t rest = slot->rest;
    sampling_set_hidden(state, rest);
    __builtin_prefetch(chain_first(rest), 1); /* as magazine_pop does */
    return slot;
}

static inline bool sampling_is_current(const struct sampling *sampling)
{
    return MBI_LIKELY(sampling->settings == sampling_settings());
}

/* A class's, from its magazine in the owner's cache. */
static inline struct sampling_class *sampling_class_of(struct sampling *sampling,
                                                       const struct thread_cache *cache,
                                                       const struct magazine *loaded)
{
    size_t offset = (size_t)((const char *)loaded - (const char *)cache->loaded);
    return (struct sampling_class *)(void *)((char *)sampling->classes + 2 * offset);
}

/* These do nothing in an uncounted stretch. `cache` is the owner's, and `state` in its sampling. */
static inline struct slot *sampling_pop(const struct thread_cache *cache,
                                        struct sampling_class *state)
{
    uint64_t hidden = sampling_hidden(state);
    if (state->quick == 0 || chain_first(hidden) == NULL || cache->busy) {
        return NULL;
    }
    state->quick--;
    return sampling_pop_hidden(state, hidden);
}

/* Of a slow path, which has the cache to itself. */
static inline bool sampling_keep_in_slow(const struct thread_cache *cache,
                                         const struct sampling *sampling,
                                         struct sampling_class *state, struct slot *slot)
{
    uint64_t hidden = sampling_hidden(state);
    if (chain_rounds(hidden) >= state->rounds_max || slot == chain_first(hidden)
        || flag_is_set(&cache->asked) || !sampling_is_current(sampling)) {
        return false;
    }
    sampling_set_hidden(state, chain_push(hidden, slot));
    return true;
}

static inline bool sampling_keep(const struct thread_cache *cache, const struct sampling *sampling,
                                 struct sampling_class *state, struct slot *slot)
{
    return !cache->busy && sampling_keep_in_slow(cache, sampling, state, slot);
}

/* As next_slow; each slow path comes here. */
MBI_HOT_INLINE bool sampling_next(struct thread_cache *cache, size_t class)
{
    struct sampling *sampling = sampling_of(cache);
    if (MBI_LIKELY(sampling == NULL)) {
        return MBI_UNLIKELY(sampling_settings() != NULL) && mbi_sampling_next_slow(cache, class);
    }
    if (MBI_UNLIKELY(!sampling_is_current(sampling) || sampling->skip[class] <= 0
                     || magazine_rounds_max(&cache->loaded[class]) == 0)) {
        return mbi_sampling_next_slow(cache, class);
    }
    sampling->skip[class]--;
    if (MBI_UNLIKELY(--sampling->before_lap == 0)) {
        mbi_sampling_have_lap(cache, sampling, class);
    }
    return false;
}

/* Before the class leaves the thread: the same as end. */
static inline void sampling_settle(struct thread_cache *cache, size_t class)
{
    if (sampling_counts(cache, class)) {
        mbi_sampling_end(cache, class);
    }
}

/* The class's slots are a gone thread's, and no longer the cache's. For all classes, or none. */
void mbi_sampling_forget(struct thread_cache *cache, size_t class);

/* What each thread's random numbers begin with, where tests want the same ones; 0: any. */
extern MBI_HIDDEN uint64_t mbi_sampling_seed;

#endif
