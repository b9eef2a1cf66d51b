/*
 * stacks: call stacks, each stored once and known by a number.
 *
 * Ladder: above core/os. Callers: the rest of check/; the heap profile takes stacks here, too, and
 * stores them itself.
 *
 *   | buckets | header frames | header frames frames | ...      a number is an offset in words
 *
 * A stack is stored for ever: a program allocates in few places.
 */
#ifndef MEMORYBUCKET_CHECK_STACKS_H
#define MEMORYBUCKET_CHECK_STACKS_H

#include "core/base.h"

enum { STACK_FRAMES_MAX = 32 };

struct stack {
    uint32_t count;
    void *frames[STACK_FRAMES_MAX]; /* return addresses, innermost first */
};

/*
 * STACK_NONE: no stack was taken, as the unwinder was not loaded yet or called the allocator
 * itself. STACK_LOST: there was no memory to store one.
 */
enum { STACK_NONE = 0, STACK_LOST = 1 };

/* Loads the C library's unwinder, which allocates. Until then mbi_stacks_take takes no stack. */
void mbi_stacks_warm_up(void);

/*
 * The stack of the calling thread. `caller`: a return address in the code that called the
 * allocator, or NULL.
 *
 * The unwinder has a lock for the tables that a process registers (__register_frame, called by
 * programs that compile at run time), and allocates and frees under it. So requests of the unwinder
 * itself get no stack, nor do requests that come while a stack is being taken. Otherwise nothing is
 * locked or allocated.
 *
 * `caller` is right only where the slow paths are reached by jumps: a library that was compiled
 * with less than -O2 hangs when such a process deregisters a table.
 */
void mbi_stacks_take(const void *caller, struct stack *stack);

/*
 * The same into an array, from the callers of a function on that the calling thread is in; `frame`:
 * its frame (__builtin_frame_address). How many frames there are, 0 for none.
 */
uint32_t mbi_stacks_take_frames(const void *caller, const void *frame, void **frames,
                                uint32_t frames_max);

/* Stores a stack and returns its number. Under the check lock. */
uint32_t mbi_stacks_put(const struct stack *stack);

/* All numbers are smaller. Under the check lock. */
size_t mbi_stacks_end(void);

/* The stack of a number; count 0 for STACK_NONE and STACK_LOST. Takes no lock. */
void mbi_stacks_get(uint32_t id, struct stack *stack);

#endif
