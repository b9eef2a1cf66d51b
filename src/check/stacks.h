/*
 * stacks: call stacks, each stored once and known by a number.
 *
 * Ladder: above core/os. Callers: the rest of check/, and api.c, which warms up.
 *
 *   arena  | header frames | header frames frames | header ...      an id is an offset in words
 *   table  hash of the frames -> id                                 grown by halves full
 *
 * Nothing is ever removed: a program has few places that allocate, and each is stored once.
 */
#ifndef MEMORYBUCKET_CHECK_STACKS_H
#define MEMORYBUCKET_CHECK_STACKS_H

#include "core/base.h"

enum { STACK_FRAMES_MAX = 32 };

struct stack {
    uint32_t count;
    void *frames[STACK_FRAMES_MAX]; /* return addresses, innermost first */
};

/* No stack: taken before stacks_warm_up, or by the unwinder itself; or memory for it was short. */
enum { STACK_NONE = 0, STACK_LOST = 1 };

/*
 * Loads what the C library's unwinder needs, which allocates: from a constructor, where that is
 * allowed. Until then stacks_take finds nothing.
 */
void mbi_stacks_warm_up(void);

/*
 * The stack of the calling thread. `caller`: who called the allocator, or NULL.
 *
 * The unwinder has a lock for tables that a process registers (__register_frame, as programs do
 * that compile while they run), and allocates and frees under it. What it asks for itself, and what
 * it asks for on our behalf, gets no stack. Otherwise it takes no lock and allocates nothing.
 *
 * The caller is known where the slow paths are reached by jumps: a library that was compiled
 * with less than -O2 hangs when such a process takes a table away again.
 */
void mbi_stacks_take(const void *caller, struct stack *stack);

/* The stack's number. Under the check lock. */
uint32_t mbi_stacks_put(const struct stack *stack);

/* All numbers are smaller. Under the check lock. */
size_t mbi_stacks_end(void);

/* The frames of a number, for ever; count 0 for STACK_NONE and STACK_LOST. Without any lock. */
void mbi_stacks_get(uint32_t id, struct stack *stack);

#endif
