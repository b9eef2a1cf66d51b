/*
 * profile_stacks: the stacks of a heap profile's samples, each once, with what was allocated and
 * freed there.
 *
 * Ladder: above core/os. Callers: profile, which adds, and profile_write, which reads. Any thread,
 * without a lock; a signal handler or a fork at any moment finds each stack whole or not at all.
 *
 *   heads[hash] ─> stack ─> stack ─> ...     only ever pushed to; a stack stays for ever
 *
 *   push     [STACK-PUSH] CAS on the head, release: the stack and its link before it
 *   find     [STACK-HEAD] acquire load of the head; links never change once they are pushed
 *
 * ABA cannot be: nothing is ever taken off. Two threads may store the same stack at once; the one
 * whose CAS fails finds the other's. What it had begun to store is lost, some hundred bytes.
 */
#ifndef MEMORYBUCKET_INSIGHT_PROFILE_STACKS_H
#define MEMORYBUCKET_INSIGHT_PROFILE_STACKS_H

#include "core/base.h"

enum { PROFILE_FRAMES_MAX = 64, PROFILE_HEADS = 1 << 14 };

/*
 * How many samples, and sums of their weights, in parts of an object (1/256) and in bytes. The
 * freed ones are added behind the allocated ones of the same sample, and read before them: never
 * more is freed than allocated. All in one cache line: what two threads count costs them one.
 */
struct profile_stack {
    uint64_t hash;
    uint32_t next; /* 0: the last */
    uint32_t count;
    _Atomic uint64_t samples;
    _Atomic uint64_t freed;
    _Atomic uint64_t alloc_parts;
    _Atomic uint64_t alloc_bytes;
    _Atomic uint64_t freed_parts;
    _Atomic uint64_t freed_bytes;
    void *frames[]; /* return addresses, innermost first */
};
_Static_assert(sizeof(struct profile_stack) == LINE_BYTES, "stacks begin with a line");
enum { PROFILE_PARTS = 256 };

/* Reserves memory for them; false without. Once, before all other calls. */
bool mbi_profile_stacks_init(void);

/* A stack's number, which is stored if it is new; 0 without memory. */
uint32_t mbi_profile_stacks_put(void *const *frames, uint32_t count);

/* Words of 8 bytes; a stack's number is the offset of its first word, which begins a line. */
extern MBI_HIDDEN uint64_t *mbi_profile_arena;

/* By its number, which is not 0. */
static inline struct profile_stack *profile_stack_at(uint32_t number)
{
    return (struct profile_stack *)(void *)&mbi_profile_arena[number];
}

/* Whether the stack of that number is this one; false for number 0. */
static inline bool profile_stack_is(uint32_t number, void *const *frames, uint32_t count)
{
    if (number == 0 || profile_stack_at(number)->count != count) {
        return false;
    }
    const struct profile_stack *stack = profile_stack_at(number);
    uint32_t same = 0;
    while (same < count && stack->frames[same] == frames[same]) { /* most stacks are short */
        same++;
    }
    return same == count;
}

/* The first stack of a head, from 0 to PROFILE_HEADS - 1; 0: none. */
uint32_t mbi_profile_stacks_head(unsigned head);

#endif
