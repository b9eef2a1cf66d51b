/*
 * left_behind: a stack of items that threads could not give back, as a lock was refused (lock.h).
 *
 * Ladder: above lock. Callers: pool_defer for freed slots, thread_exit for ended threads' caches.
 *
 *   a thread that leaves an item   pushes it [LEFT-PUSH];  looks at the gate [GATE-LOOK]
 *   the thread that forks          opens the gate [GATE-OPEN];  takes the stack [LEFT-TAKE]
 *
 * Items are pushed one at a time and taken all at once, so there is no ABA. All four steps are
 * sequentially consistent: if the take misses an item, the look at the gate comes after its
 * opening. Then the thread that left the item takes the stack itself. A signal handler that
 * interrupts a lock's holder does not; its item waits for the next taker. Model:
 * tests/model/fork_gate.pml.
 */
#ifndef MEMORYBUCKET_CORE_LEFT_BEHIND_H
#define MEMORYBUCKET_CORE_LEFT_BEHIND_H

#include "core/lock.h"

/* The head of an item. The pusher owns the item until the push, the taker after the take. */
struct left_item {
    struct left_item *next;
};

struct left_behind {
    _Atomic(struct left_item *) first;
};

MBI_HOT_INLINE bool left_behind_has_any(const struct left_behind *stack)
{
    /* relaxed [LEFT-HINT]: a thread that misses an item finds it when it looks again. */
    return atomic_load_explicit(&stack->first, memory_order_relaxed) != NULL;
}

static inline void left_behind_push(struct left_behind *stack, struct left_item *item)
{
    struct left_item *first =
        atomic_load_explicit(&stack->first, memory_order_relaxed); /* [LEFT-HINT] */
    do {
        item->next = first;
        /* seq_cst [LEFT-PUSH]: pairs with [LEFT-TAKE], and stands before [GATE-LOOK]. */
    } while (!atomic_compare_exchange_weak_explicit(&stack->first, &first, item,
                                                    memory_order_seq_cst, memory_order_relaxed));
}

static inline struct left_item *left_behind_take(struct left_behind *stack)
{
    /* seq_cst [LEFT-TAKE]: pairs with [LEFT-PUSH], and stands after [GATE-OPEN]. */
    return atomic_exchange_explicit(&stack->first, NULL, memory_order_seq_cst);
}

/*
 * Gives all items back. `give_back` pushes an item again that it cannot give back. It returns false
 * when another fork refused it a lock; then this thread may have to look again.
 */
static inline void left_behind_give_back(struct left_behind *stack,
                                         bool (*give_back)(struct left_item *item))
{
    bool refused;
    do {
        refused = false;
        struct left_item *item = left_behind_take(stack);
        while (item != NULL) {
            struct left_item *next = item->next;
            refused |= !give_back(item);
            item = next;
        }
    } while (refused && mbi_lock_is_available());
}

#endif
