/*
 * profile: the heap profile. Serves sampled requests, knows each live sample, and writes what was
 * allocated and what lives, by stack.
 *
 * Ladder: above check/stacks and tcache/sampling, which says what is a sample. Callers: api/; the
 * slow paths through core/upcalls.h.
 *
 *   tcache/sampling   which allocation is a sample      per thread
 *   profile           its stack, its weight, its object
 *   profile_stacks    sums by stack                     shared, lock-free, only grows
 *   cells             small samples' objects            shared, lock-free
 *   samples           large ones by address             shared, lock-free
 *   profile_write     the dump; where MB_PROFILE's dumps go
 *
 * A sample's object lies outside all spans, in a cell or with the system allocator, so its free
 * leaves the fast path by itself. A small one holds the slot that it would have been. Nothing here
 * takes a lock, but for start and stop, or memory of this library.
 */
#ifndef MEMORYBUCKET_INSIGHT_PROFILE_H
#define MEMORYBUCKET_INSIGHT_PROFILE_H

#include "core/upcalls.h"
#include "insight/samples.h"

/* Between samples, on the average: MB_PROFILE and mb_profile_start take these. */
#define PROFILE_MEAN_MAX ((size_t)1 << 40)

/*
 * 0; -EALREADY while a profile is taken; -ENOTSUP in checked mode; -ENOMEM; -EAGAIN in a signal
 * handler that interrupted the start. The library is up.
 */
int mbi_profile_start(size_t mean_bytes);

/* Takes no more samples. Those that live are followed for ever. */
void mbi_profile_stop(void);

/* Whether a profile was ever begun: there may be samples. */
extern MBI_HIDDEN _Atomic bool mbi_profile_begun;

static inline bool profile_is_begun(void)
{
    /* acquire [PROFILE-SEEN]: pairs with [PROFILE-BEGUN]. */
    return MBI_UNLIKELY(atomic_load_explicit(&mbi_profile_begun, memory_order_acquire));
}

/*
 * After the system allocator served a large request, or NULL; `caller`: a return address in the
 * code that called the allocator. Preserves errno.
 */
void mbi_profile_note_large(void *pointer, size_t size_bytes, const void *caller);

/* Whether the pointer is that of a live sample. */
bool mbi_profile_holds(const void *pointer);

/* What a small object that is a sample has room for; 0 if the pointer is not that of one. */
size_t mbi_profile_small_bytes(const void *pointer);

/*
 * The system allocator's realloc of a large object, once a profile was begun: the object may be a
 * sample, and may become one. Never of a sample that holds a slot. The caller as above.
 */
void *mbi_profile_realloc_large(void *pointer, size_t size_bytes, const void *caller);

/* What the dump's first lines say, beside what its stacks do. */
struct profile_counts {
    size_t mean_bytes; /* of the last profile */
    uint64_t lost;     /* samples for which there was no memory */
};
struct profile_counts mbi_profile_counts(void);

#endif
