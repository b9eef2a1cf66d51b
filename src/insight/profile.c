/* profile: from a request that is a sample to its object, and back. */
#include "insight/profile.h"

#include "check/stacks.h"
#include "core/large.h"
#include "core/lock.h"
#include "insight/cells.h"
#include "insight/profile_stacks.h"
#include "tcache/checked.h"
#include "tcache/registry.h"
#include "tcache/sampling.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

_Atomic bool mbi_profile_begun;

/* Samples for which there was no memory. */
static _Atomic uint64_t lost;

/* Many writers. relaxed [COUNT-SHARED]: statistics order nothing. */
static void add_shared(_Atomic uint64_t *sum, uint64_t amount)
{
    atomic_fetch_add_explicit(sum, amount, memory_order_relaxed); /* [COUNT-SHARED] */
}

/* Under LOCK_INIT. Settings are kept for ever, as threads may go by them; one mean has one. */
static struct sampling_settings *last_settings;

/* Prepares what only the first profile needs; false without memory. */
static bool prepare_once(void)
{
    static bool prepared; /* under LOCK_INIT */
    prepared = prepared || (mbi_samples_init() && mbi_cells_init() && mbi_profile_stacks_init());
    return prepared;
}

static const struct sampling_settings *settings_for(size_t mean_bytes)
{
    if (last_settings == NULL || last_settings->mean_bytes != mean_bytes) {
        struct sampling_settings *settings = mbi_os_map(sizeof *settings);
        if (settings == NULL) {
            return NULL;
        }
        mbi_sampling_prepare(settings, mean_bytes);
        last_settings = settings;
    }
    return last_settings;
}

static int start_locked(size_t mean_bytes)
{
    if (sampling_settings() != NULL) {
        return -EALREADY;
    }
    const struct sampling_settings *settings = prepare_once() ? settings_for(mean_bytes) : NULL;
    if (settings == NULL) {
        return -ENOMEM;
    }
    if (!mbi_registry_watch()) {
        return -EAGAIN;
    }
    /* release [PROFILE-BEGUN]: pairs with [PROFILE-SEEN], which then sees the empty tables. */
    atomic_store_explicit(&mbi_profile_begun, true, memory_order_release);
    mbi_sampling_publish(settings);
    mbi_registry_interrupt_all(); /* now a thread that moves in circles begins to count, too */
    return 0;
}

static pthread_once_t warm_once = PTHREAD_ONCE_INIT;

int mbi_profile_start(size_t mean_bytes)
{
    if (checked_is_on()) {
        return -ENOTSUP;
    }
    struct cancelling cancelling = mbi_lock_forbid_cancel();
    (void)pthread_once(&warm_once, mbi_stacks_warm_up); /* allocates: without a lock */
    int error = -EAGAIN;
    mbi_lock_set_patient(true);
    if (mbi_lock_acquire(LOCK_INIT)) {
        error = start_locked(mean_bytes);
        mbi_lock_release(LOCK_INIT);
    }
    mbi_lock_set_patient(false);
    mbi_lock_allow_cancel(cancelling);
    return error;
}

void mbi_profile_stop(void)
{
    mbi_sampling_publish(NULL);
}

struct profile_counts mbi_profile_counts(void)
{
    const struct sampling_settings *settings = sampling_settings();
    return (struct profile_counts){
        .mean_bytes = settings != NULL ? settings->mean_bytes : 0,
        .lost = counter_read(&lost),
    };
}

/*
 * The stack of the calling thread from the program's call on. The library's own frames lie before
 * it: paths that jump leave no frame, and paths that call do. `last`: one that it may be, or 0.
 */
MBI_HOT_INLINE uint32_t take_stack(struct program_call call, uint32_t last)
{
    void *frames[PROFILE_FRAMES_MAX];
    const void *frame = call.frame != NULL ? call.frame : __builtin_frame_address(0);
    uint32_t count = mbi_stacks_take_frames(call.caller, frame, frames, PROFILE_FRAMES_MAX);
    uint32_t first = 0;
    while (first < count && frames[first] != call.caller) {
        first++;
    }
    if (first == count) { /* none taken, or one that does not show the call: all of it */
        first = 0;
    }
    return profile_stack_is(last, frames + first, count - first)
               ? last
               : mbi_profile_stacks_put(frames + first, count - first);
}

/* Signed: for unsigned numbers there is no instruction, and the sign takes two branches. */
static inline size_t rounded(double number)
{
    return (size_t)(int64_t)(number + 0.5);
}

/*
 * Fills a sample in, and counts it as allocated; false without memory. relaxed [COUNT-SHARED]:
 * before the object is known, so before it is counted as freed.
 */
MBI_HOT_INLINE bool count_allocated(struct sample *sample, double weight, size_t size_bytes,
                                    struct program_call call, uint32_t last)
{
    sample->parts = rounded(weight * PROFILE_PARTS);
    sample->bytes = rounded(weight * (double)(int64_t)size_bytes);
    sample->stack = take_stack(call, last);
    if (sample->stack == 0) {
        return false;
    }
    struct profile_stack *stack = profile_stack_at(sample->stack);
    add_shared(&stack->alloc_parts, sample->parts);
    add_shared(&stack->alloc_bytes, sample->bytes);
    add_shared(&stack->samples, 1);
    return true;
}

static void uncount_allocated(const struct sample *sample)
{
    struct profile_stack *stack = profile_stack_at(sample->stack);
    add_shared(&stack->alloc_parts, (uint64_t)0 - sample->parts);
    add_shared(&stack->alloc_bytes, (uint64_t)0 - sample->bytes);
    add_shared(&stack->samples, (uint64_t)0 - 1);
}

void *mbi_profile_sample(void *slot, size_t size_bytes, size_t alignment_bytes,
                                  struct program_call call)
{
    struct sampling *sampling = &mbi_thread_cache->sampling;
    size_t class = region_class_of(slot);
    if (MBI_UNLIKELY(sampling->settings == NULL)) { /* a signal handler ended the profile */
        return slot;
    }
    double weight = sampling_weight(sampling, class);
    sampling->due = false;
    mbi_sampling_draw(sampling);
    void *object;
    struct cell *cell = mbi_cells_take(size_bytes, alignment_bytes, &object);
    if (cell != NULL
        && count_allocated(&cell->sample, weight, size_bytes, call, sampling->stack)) {
        cell->sample.slot = slot;
        cell->sample.class = (uint32_t)class;
        sampling->stack = cell->sample.stack;
        cells_publish(cell);
        return object;
    }
    add_shared(&lost, 1);
    if (cell != NULL) {
        mbi_cells_give_back(cell);
    }
    return slot;
}

static MBI_SELDOM void note_large(void *pointer, size_t size_bytes, const void *caller)
{
    if (!mbi_sampling_count_large(size_bytes)) {
        return;
    }
    /* Those that the thread counted by: others may have been published meanwhile. */
    const struct sampling_settings *settings = mbi_thread_cache->sampling.settings;
    if (settings == NULL) { /* a signal handler ended the profile */
        return;
    }
    int saved_errno = errno;
    struct sample sample = { .slot = NULL };
    double weight = mbi_sampling_large_weight(settings, size_bytes);
    struct program_call call = { caller, NULL };
    bool counted = count_allocated(&sample, weight, size_bytes, call, 0);
    if (counted && !mbi_samples_put(pointer, &sample)) {
        uncount_allocated(&sample);
        counted = false;
    }
    add_shared(&lost, !counted);
    errno = saved_errno;
}

MBI_COLD void mbi_profile_note_large(void *pointer, size_t size_bytes, const void *caller)
{
    if (sampling_settings() != NULL && pointer != NULL) {
        note_large(pointer, size_bytes, caller);
    }
}

/* release [FREED-ADD]: pairs with [FREED-READ], which then sees the sample as allocated, too. */
static void add_freed(_Atomic uint64_t *sum, uint64_t amount)
{
    atomic_fetch_add_explicit(sum, amount, memory_order_release); /* [FREED-ADD] */
}

/* Counts a sample that was taken out as freed. */
static void count_freed(const struct sample *sample)
{
    struct profile_stack *stack = profile_stack_at(sample->stack);
    add_freed(&stack->freed_parts, sample->parts);
    add_freed(&stack->freed_bytes, sample->bytes);
    add_freed(&stack->freed, 1);
}

static MBI_SELDOM bool holds(const void *pointer)
{
    struct sample sample;
    return cells_have(pointer) || mbi_samples_find(pointer, &sample);
}

bool mbi_profile_holds(const void *pointer)
{
    return profile_is_begun() && holds(pointer);
}

size_t mbi_profile_small_bytes(const void *pointer)
{
    return profile_is_begun() && cells_have(pointer) ? mbi_cells_bytes(pointer) : 0;
}

/* A small object, which holds a slot. */
static void free_small(void *pointer)
{
    struct cell *cell = mbi_cells_remove(pointer);
    if (cell == NULL) {
        mbi_message("invalid free: %p lies among a heap profile's samples, and is none that lives",
                    pointer);
        abort();
    }
    count_freed(&cell->sample);
    void *slot = cell->sample.slot;
    size_t class = cell->sample.class;
    mbi_cells_give_back(cell);
    thread_cache_free(mbi_thread_cache, slot, class, CHECKED_SIZE_UNKNOWN);
}

static MBI_SELDOM bool free_sample(void *pointer)
{
    struct sample sample;
    if (cells_have(pointer)) {
        free_small(pointer);
        return true;
    }
    if (!mbi_samples_take(pointer, &sample)) {
        return false;
    }
    int saved_errno = errno;
    count_freed(&sample);
    mbi_thread_cache_count_large_free();
    mbi_large_free(pointer); /* only now may another thread be given this address */
    errno = saved_errno;
    return true;
}

MBI_COLD bool mbi_profile_free(void *pointer)
{
    return profile_is_begun() && free_sample(pointer);
}

void *mbi_profile_realloc_large(void *pointer, size_t size_bytes, const void *caller)
{
    struct sample sample;
    bool sampled = mbi_samples_take(pointer, &sample);
    void *moved = mbi_large_realloc(pointer, size_bytes);
    if (moved == NULL && sampled && !mbi_samples_put(pointer, &sample)) {
        add_shared(&lost, 1); /* its place is another's now: it counts as freed */
        count_freed(&sample);
    }
    if (moved != NULL && sampled) {
        count_freed(&sample);
    }
    mbi_profile_note_large(moved, size_bytes, caller);
    return moved;
}
