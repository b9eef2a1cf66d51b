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

/* No stack: taken before stacks_warm_up, or memory for it was short. */
enum { STACK_NONE = 0 };

/*
 * Loads what the C library's unwinder needs, which allocates: from a constructor, where that is
 * allowed. Until then stacks_take finds nothing.
 */
void mbi_stacks_warm_up(void);

/* The caller's stack. Takes no lock and allocates nothing. Async-signal-safe. */
void mbi_stacks_take(struct stack *stack);

/* The stack's number. Under the check lock. */
uint32_t mbi_stacks_put(const struct stack *stack);

/* All numbers are smaller. Under the check lock. */
size_t mbi_stacks_end(void);

/* The frames of a number, for ever; count 0 for STACK_NONE. Without any lock. */
void mbi_stacks_get(uint32_t id, struct stack *stack);

#endif
