/*
 * magazine: a thread's private chain of free slots, with its rounds counted.
 *
 * Ladder: above core/base; pure. Callers: the thread cache and its fast paths.
 *
 *   head -> slot -> slot -> ... -> NULL      rounds = length of the chain <= rounds_max
 *
 * The words are Bonwick and Adams' (USENIX 2001). `head` and `rounds` are written by the owner
 * only. `rounds_max` is read by the owner at each free and may be lowered by another thread, which so sends
 * the owner to its slow path.
 */
#ifndef MEMORYBUCKET_TCACHE_MAGAZINE_H
#define MEMORYBUCKET_TCACHE_MAGAZINE_H

#include "core/base.h"

struct magazine {
    struct slot *head;           /* owner only */
    _Atomic uint32_t rounds;     /* written by the owner; statistics read it */
    _Atomic uint32_t rounds_max; /* see above */
};
_Static_assert(sizeof(struct magazine) == 16, "four magazines to a cache line");

/*
 * relaxed [ROUNDS]: one writer, the owner; it needs no order with its own stores, and a walker
 * takes the number as it finds it.
 */
MBI_HOT_INLINE uint32_t magazine_rounds(const struct magazine *magazine)
{
    return atomic_load_explicit(&magazine->rounds, memory_order_relaxed); /* [ROUNDS] */
}

MBI_HOT_INLINE void magazine_set_rounds(struct magazine *magazine, uint32_t rounds)
{
    atomic_store_explicit(&magazine->rounds, rounds, memory_order_relaxed); /* [ROUNDS] */
}

/*
 * relaxed [MAILBOX]: a lowered value asks for attention and carries nothing else; the owner's slow path
 * finds all it needs by itself.
 */
MBI_HOT_INLINE uint32_t magazine_rounds_max(const struct magazine *magazine)
{
    return atomic_load_explicit(&magazine->rounds_max, memory_order_relaxed); /* [MAILBOX] */
}

MBI_HOT_INLINE void magazine_set_rounds_max(struct magazine *magazine, uint32_t rounds_max)
{
    atomic_store_explicit(&magazine->rounds_max, rounds_max, memory_order_relaxed); /* [MAILBOX] */
}

/* Takes the slot that was freed last; the magazine is not empty. */
MBI_HOT_INLINE struct slot *magazine_pop(struct magazine *magazine)
{
    struct slot *slot = magazine->head;
    magazine->head = slot->next;
    magazine_set_rounds(magazine, magazine_rounds(magazine) - 1);
    return slot;
}

/* `rounds` is magazine_rounds(), which the caller has just compared with the maximum. */
MBI_HOT_INLINE void magazine_push(struct magazine *magazine, struct slot *slot, uint32_t rounds)
{
    slot->next = magazine->head;
    magazine->head = slot;
    magazine_set_rounds(magazine, rounds + 1);
}

/* Puts a chain into an empty magazine. */
static inline void magazine_load(struct magazine *magazine, struct slot *chain, uint32_t rounds)
{
    magazine->head = chain;
    magazine_set_rounds(magazine, rounds);
}

/* Empties the magazine; returns its chain. */
static inline struct slot *magazine_unload(struct magazine *magazine)
{
    struct slot *chain = magazine->head;
    magazine_load(magazine, NULL, 0);
    return chain;
}

#endif
