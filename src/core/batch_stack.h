/*
 * batch_stack: a pool's central free list, a lock-free stack of batches (full magazines).
 *
 * Ladder: above base; knows slots and spans, no pools. Callers: pool, and the tests.
 *
 *   head  63 ............ 32 31 ............. 0        slot number: units through the pool's
 *         |      tag       |  first slot's no.  |      spans, one behind the other; 0 is none
 *
 *   a batch on the stack            the same batch as a chain
 *   +--------------------------+    +--------------------------+
 *   | next batch | second slot |    | (second slot, rounds-1)  |   first slot: the one word that
 *   +--------------------------+    +--------------------------+   is packed while in transit
 *   | (third slot, rounds-2)   |    | (third slot, rounds-2)   |
 *   +--------------------------+    +--------------------------+
 *   | ... 0                    |    | ... 0                    |
 *
 * Push and pop touch the head and the first slot's word only: O(1) whatever the batch's length.
 * This is Treiber's stack (IBM RJ 5118, 1986) with a version tag; moving constant-size batches
 * through it follows Blelloch and Wei (SPAA 2020).
 *
 * What synchronises with what
 *   push  [HEAD-PUSH] release  -> pop [HEAD-LOAD], [HEAD-POP] acquire: the popper sees the packed
 *         word and every link of the chain as the pusher left them. All changes of the head are
 *         read-modify-writes, so each push heads a release sequence that later pushes and pops
 *         continue: also the batches further down are seen.
 *   pop   needs no release: it writes nothing that others read through the head.
 *
 * ABA. A popper reads (first, tag), then first's word, and replaces the head only if it still is
 * (first, tag). To succeed with a stale word, first must have been popped in between, and each pop
 * increments the tag: so 2^32 pops of this pool must fall into one popper's pause, and the head be
 * the same batch at that very count. A push keeps the tag: the tag of an old head is already past.
 *
 * Reclamation. A stale popper may read the word of a slot that has an owner again. The memory is
 * never unmapped, so the read succeeds, and its value is thrown away as the CAS fails.
 */
#ifndef MEMORYBUCKET_CORE_BATCH_STACK_H
#define MEMORYBUCKET_CORE_BATCH_STACK_H

#include "core/size_class.h"
#include "core/upcalls.h"

/* Tests make the tag tiny to show what it is for. */
#ifndef BATCH_STACK_TAG_BITS
#define BATCH_STACK_TAG_BITS 32
#endif
#define BATCH_STACK_TAG_MASK (((uint64_t)1 << BATCH_STACK_TAG_BITS) - 1)
#define SLOT_NUMBER_BITS 32
#define SLOT_NUMBER_MASK (((uint64_t)1 << SLOT_NUMBER_BITS) - 1)

/*
 * Where the slots of a pool lie, in units of SLOT_UNIT_BYTES. All zeros until the pool is laid out;
 * from then on all but the atomic fields are constant.
 */
struct slot_space {
    char *start[SPAN_COUNT]; /* each span's first byte */
    /*
     * Units of the spans before the last; 0 where there is no such span. Lowered once, under the
     * pool's lock, when a span ends early, before the next one has slots. relaxed [SPAN-UNITS]:
     * either value gives the span's slots the same numbers, and a thread that has a slot of a later
     * span got it by an order that brings the new value along.
     */
    _Atomic uint32_t units[SPAN_COUNT - 1];
    /*
     * The number of the next fresh slot: all slots have lower ones; 0 before the first. Written
     * under the pool's lock, before any thread has the slots. relaxed [CARVED]: a thread got its
     * slots, and batches that lead to some, by an order that brings this along. A thread that is
     * given any address, which may be no slot, reads this first [CARVED-LOAD]: if it is not 0, the
     * thread sees the constants above as they are.
     */
    _Atomic uint32_t carved_end;
    uint16_t phase[SPAN_COUNT]; /* where slots begin in each span, in units, modulo a slot's size */
    uint64_t slot_reciprocal;  /* 2^64 by that size */
};

/* Every pusher and popper of the pool writes the head: nothing else is in its lines. */
struct batch_stack {
    _Alignas(ISOLATION_BYTES) _Atomic uint64_t head;
};

MBI_HOT_INLINE uint64_t slot_space_units(const struct slot_space *space, unsigned span)
{
    return atomic_load_explicit(&space->units[span], memory_order_relaxed); /* [SPAN-UNITS] */
}

/* An address and its number; what is no slot's may be anywhere. `unit` counts from `phase` on. */
struct slot_place {
    struct slot *slot;
    uint64_t number;
    uint32_t unit;
};
_Static_assert(SPAN_COUNT == 2, "what is not in the first span is in the last");

/* The next two read how long the first span is once: a transfer's slots are looked at by them. */
MBI_HOT_INLINE struct slot_place slot_space_place_of(const struct slot_space *space,
                                                     const struct slot *slot)
{
    uint64_t units = slot_space_units(space, 0);
    uint64_t unit = ((uintptr_t)slot - (uintptr_t)space->start[0]) / SLOT_UNIT_BYTES;
    struct slot_place place = { .slot = (struct slot *)(uintptr_t)slot, .number = unit };
    if (MBI_LIKELY(unit < units)) {
        place.unit = (uint32_t)(unit - space->phase[0]);
        return place;
    }
    unit = ((uintptr_t)slot - (uintptr_t)space->start[1]) / SLOT_UNIT_BYTES;
    place.number = units + unit;
    place.unit = (uint32_t)(unit - space->phase[1]);
    return place;
}

MBI_HOT_INLINE struct slot_place slot_space_place_at(const struct slot_space *space,
                                                     uint64_t number)
{
    uint64_t units = slot_space_units(space, 0);
    unsigned span = number >= units;
    uint64_t unit = span == 0 ? number : number - units;
    return (struct slot_place){
        .slot = (struct slot *)(void *)(space->start[span] + unit * SLOT_UNIT_BYTES),
        .number = number,
        .unit = (uint32_t)(unit - space->phase[span]),
    };
}

MBI_HOT_INLINE uint64_t slot_space_number(const struct slot_space *space, const struct slot *slot)
{
    return slot_space_place_of(space, slot).number;
}

/* The span of a slot's number. */
MBI_HOT_INLINE unsigned slot_space_span(const struct slot_space *space, uint64_t number)
{
    return number >= slot_space_units(space, 0);
}

MBI_HOT_INLINE struct slot *slot_space_slot(const struct slot_space *space, uint64_t number)
{
    return slot_space_place_at(space, number).slot;
}

/* Whether the number lies where slots were carved. 0 means none: the colour has no slots. */
MBI_HOT_INLINE bool slot_space_has_number(const struct slot_space *space, uint64_t number)
{
    uint64_t end = atomic_load_explicit(&space->carved_end, memory_order_relaxed); /* [CARVED] */
    return number != 0 && number < end;
}

/* For slots of so many units. */
static inline uint64_t slot_reciprocal(size_t units)
{
    return UINT64_MAX / units + 1; /* 0 for 1 unit, where every number fits */
}

/*
 * Whether a slot begins at a place. Multiplies: a division would take longer than a transfer's
 * other checks (Lemire, Kaser and Kurz, "Faster remainder by direct computation", 2019).
 */
MBI_HOT_INLINE bool slot_space_is_slot(const struct slot_space *space, struct slot_place place)
{
    uint64_t fraction = place.unit * space->slot_reciprocal;
    return slot_space_has_number(space, place.number) && fraction <= space->slot_reciprocal - 1;
}

/* carved_end: unless it is 0, the pool's constants are seen from now on. */
MBI_HOT_INLINE uint64_t slot_space_carved_end(const struct slot_space *space)
{
    /* acquire [CARVED-LOAD]: pairs with [CARVED-STORE]. */
    return atomic_load_explicit(&space->carved_end, memory_order_acquire);
}

/* Whether the pool has ever had a slot. */
static inline bool slot_space_is_carved(const struct slot_space *space)
{
    return slot_space_carved_end(space) != 0;
}

/* How much of the first span is carved, colour included. */
static inline uint64_t slot_space_carved_first_bytes(const struct slot_space *space)
{
    uint64_t end = atomic_load_explicit(&space->carved_end, memory_order_relaxed); /* [CARVED] */
    return size_min(end, slot_space_units(space, 0)) * SLOT_UNIT_BYTES;
}

/* Whether an address lies where slots were carved; any address. */
static inline bool slot_space_has(const struct slot_space *space, const struct slot *slot)
{
    const uint64_t end = slot_space_carved_end(space); /* once: realloc looks at little else */
    const uint64_t number = end != 0 ? slot_space_number(space, slot) : 0;
    return number != 0 && number < end;
}

/* The same for an address that lies in the first span, or where that would be: shorter. */
static inline bool slot_space_has_in_first(const struct slot_space *space, const void *address)
{
    const uint64_t end = slot_space_carved_end(space);
    const uint64_t number = ((uintptr_t)address - (uintptr_t)space->start[0]) / SLOT_UNIT_BYTES;
    return number < end && number < slot_space_units(space, 0);
}

/* Whether a slot that was carved begins there; any address. */
static inline bool slot_space_has_start(const struct slot_space *space, const void *address)
{
    return slot_space_is_carved(space)
           && slot_space_is_slot(space, slot_space_place_of(space, address))
           && (uintptr_t)address % SLOT_UNIT_BYTES == 0;
}

/*
 * The first slot's word while the batch is in transit. Slot number 0 is no slot.
 *
 * Hidden from ThreadSanitizer: the stale read of "Reclamation" above is a race with the owner's
 * plain writes, harmless by the argument given there, which the tool cannot know.
 */
MBI_UNSEEN_BY_TSAN uint64_t batch_read_packed(struct slot *first)
{
    /* relaxed [PACKED]: [HEAD-LOAD] orders it after the pusher's store if the head is still the
     * pusher's; else the value is thrown away. Atomic so that a stale read is not torn. */
    return atomic_load_explicit((_Atomic uint64_t *)(void *)first, memory_order_relaxed);
}

MBI_HOT_INLINE void batch_write_packed(struct slot *first, uint64_t packed)
{
    /* relaxed [PACKED]: published by [HEAD-PUSH]. */
    atomic_store_explicit((_Atomic uint64_t *)(void *)first, packed, memory_order_relaxed);
}

/* The number of the second slot of a chain that is to be packed: at least 2 rounds. */
MBI_HOT_INLINE uint64_t batch_second_number(const struct slot_space *space, uint64_t chain)
{
    uint64_t rest = chain_first(chain)->rest;
    struct slot_place second = slot_space_place_of(space, chain_first(rest));
    assert(chain_rounds(chain) >= 2);
    /* Freed twice in a row, a slot leads to itself. */
    if (MBI_UNLIKELY(!slot_space_is_slot(space, second) || second.slot == chain_first(chain)
                     || chain_rounds(rest) != chain_rounds(chain) - 1U)) {
        mbi_slot_space_corrupted(space, rest);
    }
    return second.number;
}

/* Gives a chain the form of a batch, with `next_batch` behind it; returns the batch's number. */
MBI_HOT_INLINE uint64_t batch_pack(const struct slot_space *space, uint64_t chain,
                                   uint64_t next_batch)
{
    struct slot *first = chain_first(chain);
    uint64_t second_number = batch_second_number(space, chain);
    batch_write_packed(first, next_batch << SLOT_NUMBER_BITS | second_number);
    return slot_space_number(space, first);
}

/* The way back: the chain of a batch whose first word is `packed`; at least 2 rounds. */
MBI_HOT_INLINE uint64_t batch_unpack(const struct slot_space *space, struct slot *first,
                                     uint64_t packed, uint32_t rounds)
{
    uint64_t next_number = packed >> SLOT_NUMBER_BITS;
    struct slot_place second = slot_space_place_at(space, packed & SLOT_NUMBER_MASK);
    if (MBI_UNLIKELY(!slot_space_is_slot(space, second) || second.slot == first
                     || (next_number != 0
                         && !slot_space_is_slot(space, slot_space_place_at(space, next_number))))) {
        mbi_slot_space_corrupted(space, packed);
    }
    first->rest = chain_make(second.slot, rounds - 1);
    return chain_make(first, rounds);
}

/* What a popper has read of the stack. */
struct batch_stack_snapshot {
    uint64_t head;
    uint64_t packed;
    struct slot *first;
};

/* False when the stack is empty. */
MBI_HOT_INLINE bool batch_stack_peek(struct batch_stack *stack, const struct slot_space *space,
                                     struct batch_stack_snapshot *seen)
{
    /* acquire [HEAD-LOAD]: pairs with [HEAD-PUSH]. */
    seen->head = atomic_load_explicit(&stack->head, memory_order_acquire);
    uint64_t number = seen->head & SLOT_NUMBER_MASK;
    if (number == 0) {
        return false;
    }
    seen->first = slot_space_slot(space, number);
    seen->packed = batch_read_packed(seen->first);
    return true;
}

/* Takes the batch that was seen; false when the head has changed since. */
MBI_HOT_INLINE bool batch_stack_try_pop(struct batch_stack *stack,
                                        const struct batch_stack_snapshot *seen)
{
    uint64_t tag = ((seen->head >> SLOT_NUMBER_BITS) + 1) & BATCH_STACK_TAG_MASK;
    uint64_t next_batch = seen->packed >> SLOT_NUMBER_BITS;
    uint64_t expected = seen->head;
    /* acquire [HEAD-POP]: pairs with [HEAD-PUSH]; relaxed on failure, the caller peeks again. */
    return atomic_compare_exchange_strong_explicit(&stack->head, &expected,
                                                   tag << SLOT_NUMBER_BITS | next_batch,
                                                   memory_order_acquire, memory_order_relaxed);
}

/*
 * Pops one batch of `rounds` (at least 2): a chain again, or 0 when the stack is empty.
 * Adds the number of failed CAS to *retries. Lock-free.
 */
static inline uint64_t batch_stack_pop(struct batch_stack *stack, const struct slot_space *space,
                                       uint32_t rounds, uint64_t *retries)
{
    struct batch_stack_snapshot seen;
    while (batch_stack_peek(stack, space, &seen)) {
        if (MBI_LIKELY(batch_stack_try_pop(stack, &seen))) {
            return batch_unpack(space, seen.first, seen.packed, rounds);
        }
        ++*retries;
    }
    return 0;
}

/*
 * Takes all batches at once, linked as they are: the number of the first, 0 when there is none. It
 * increments the tag, so that to a popper with an older view this is a pop like any other.
 */
static inline uint64_t batch_stack_detach(struct batch_stack *stack)
{
    /* relaxed [HEAD-GUESS]: only a guess; the CAS below checks it. */
    uint64_t head = atomic_load_explicit(&stack->head, memory_order_relaxed);
    while ((head & SLOT_NUMBER_MASK) != 0) {
        uint64_t tag = ((head >> SLOT_NUMBER_BITS) + 1) & BATCH_STACK_TAG_MASK;
        /* acquire [HEAD-POP]: pairs with [HEAD-PUSH]; on failure the next guess. */
        if (atomic_compare_exchange_weak_explicit(&stack->head, &head, tag << SLOT_NUMBER_BITS,
                                                  memory_order_acquire, memory_order_relaxed)) {
            break;
        }
    }
    return head & SLOT_NUMBER_MASK;
}

/* Takes the first batch of a list that is on no stack, as a chain. The list is not empty. */
static inline uint64_t batch_list_pop(uint32_t *list, const struct slot_space *space,
                                      uint32_t rounds)
{
    struct slot *first = slot_space_slot(space, *list);
    uint64_t packed = batch_read_packed(first);
    *list = (uint32_t)(packed >> SLOT_NUMBER_BITS);
    return batch_unpack(space, first, packed, rounds);
}

/* Pushes the chain as one batch. Adds the number of failed CAS to *retries. Lock-free. */
static inline void batch_stack_push(struct batch_stack *stack, const struct slot_space *space,
                                    uint64_t chain, uint64_t *retries)
{
    struct slot *first = chain_first(chain);
    uint64_t first_number = slot_space_number(space, first);
    uint64_t second_number = batch_second_number(space, chain);
    /* relaxed [HEAD-GUESS]: only a guess; the CAS below checks it. */
    uint64_t head = atomic_load_explicit(&stack->head, memory_order_relaxed);
    for (;;) {
        uint64_t tag_in_place = head & ~SLOT_NUMBER_MASK;
        batch_write_packed(first, head << SLOT_NUMBER_BITS | second_number);
        /* release [HEAD-PUSH]: pairs with [HEAD-LOAD] and [HEAD-POP]; on failure the next guess. */
        if (atomic_compare_exchange_strong_explicit(&stack->head, &head,
                                                    tag_in_place | first_number,
                                                    memory_order_release, memory_order_relaxed)) {
            return;
        }
        ++*retries;
    }
}

#endif
