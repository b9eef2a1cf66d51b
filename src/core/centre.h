/*
 * centre: how many bytes lie in the central free lists of all pools together, and how many of them
 * were put in order.
 *
 * Ladder: beside pool. Callers: pool, trim and the thread caches tell what they move,
 * and pool how it grows; excess reads.
 *
 *   told + what the thread caches have not told yet = sum of (flushes - refills) * batch bytes
 *
 * A thread adds up what it moves, tells it in portions of CENTRE_TELL_BYTES, and tells the rest
 * when it gives up its cache. So few transfers meet other threads here, and the sum is off by at
 * most one portion a thread. What moves under a pool's lock is told at once.
 *
 *   ordered = bytes of ordered slots, which count as the centre's but lie on no list (core/order.h)
 *   grown = bytes that pools committed while much lay here, and that excess has not answered yet
 */
#ifndef MEMORYBUCKET_CORE_CENTRE_H
#define MEMORYBUCKET_CORE_CENTRE_H

#include "core/base.h"

enum { CENTRE_TELL_BYTES = 256 << 10, CENTRE_MUCH_BYTES = 1 << 20 };

/* Written by threads that tell. */
struct centre {
    _Alignas(ISOLATION_BYTES) _Atomic int64_t bytes; /* below 0 while flushes are told late */
    _Atomic size_t ordered;
    _Atomic size_t grown; /* excess also lowers it, in a step, or to 0 where little lies here */
    /*
     * Since excess looked: it need not look while these are as they were. Cleared before it looks,
     * and set behind each step. A thread that finds it set does not store: what it changed while
     * another one clears this is seen a few slow paths late (tcache/chores.c).
     */
    _Atomic bool changed;
};
extern MBI_HIDDEN struct centre mbi_centre;

MBI_HOT_INLINE bool centre_has_changed(void)
{
    return flag_is_set(&mbi_centre.changed);
}

static inline void centre_note_change(void)
{
    if (!centre_has_changed()) {
        flag_set(&mbi_centre.changed, true);
    }
}

static inline void centre_note_look(void)
{
    if (centre_has_changed()) {
        flag_set(&mbi_centre.changed, false);
    }
}

/* So many bytes more, or, if negative, fewer. Tell a flush before it happens, a refill after. */
static inline void centre_tell(int64_t bytes)
{
    /* relaxed [CENTRE]: the sum is right whatever the order, and orders nothing. */
    atomic_fetch_add_explicit(&mbi_centre.bytes, bytes, memory_order_relaxed);
    centre_note_change();
}

/* So many bytes of ordered slots more, or, if negative, fewer: with the pool's lock. */
static inline void centre_tell_ordered(int64_t bytes)
{
    atomic_fetch_add_explicit(&mbi_centre.ordered, (size_t)bytes,
                              memory_order_relaxed); /* [CENTRE] */
    centre_note_change();
}

/* About the bytes on the central free lists; exact when no thread has anything to tell. */
MBI_HOT_INLINE size_t centre_list_bytes(void)
{
    int64_t bytes = atomic_load_explicit(&mbi_centre.bytes, memory_order_relaxed); /* [CENTRE] */
    return bytes > 0 ? (size_t)bytes : 0;
}

/* About the bytes in the centre: on the lists, and ordered. */
MBI_HOT_INLINE size_t centre_bytes(void)
{
    return centre_list_bytes()
           + atomic_load_explicit(&mbi_centre.ordered, memory_order_relaxed); /* [CENTRE] */
}

/* A pool committed so many fresh bytes. */
static inline void centre_tell_growth(size_t bytes)
{
    if (centre_bytes() > CENTRE_MUCH_BYTES) {
        atomic_fetch_add_explicit(&mbi_centre.grown, bytes, memory_order_relaxed); /* [CENTRE] */
    }
    centre_note_change();
}

static inline size_t centre_grown(void)
{
    return atomic_load_explicit(&mbi_centre.grown, memory_order_relaxed); /* [CENTRE] */
}

/* What two threads set at the same time may be lost: it only says how much goes back. */
static inline void centre_set_grown(size_t bytes)
{
    atomic_store_explicit(&mbi_centre.grown, bytes, memory_order_relaxed); /* [CENTRE] */
}

#endif
