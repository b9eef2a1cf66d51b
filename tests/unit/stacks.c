/* stacks: each is stored once, and comes back as it was. */
#include "check/stacks.h"

#include <criterion/criterion.h>
#include <string.h>

static void make(struct stack *stack, uintptr_t number)
{
    stack->count = 1 + (uint32_t)(number % STACK_FRAMES_MAX);
    for (uint32_t i = 0; i < stack->count; i++) {
        stack->frames[i] = (void *)(number * 64 + i + 1);
    }
}

Test(stacks, come_back_by_their_number)
{
    enum { STACKS = 20000 };
    static uint32_t ids[STACKS];
    struct stack stack;
    struct stack again;
    for (uintptr_t i = 0; i < STACKS; i++) {
        make(&stack, i);
        ids[i] = mbi_stacks_put(&stack);
        cr_assert_neq(ids[i], STACK_NONE);
        cr_assert_lt(ids[i], mbi_stacks_end());
    }
    for (uintptr_t i = 0; i < STACKS; i++) {
        make(&stack, i);
        cr_assert_eq(mbi_stacks_put(&stack), ids[i], "stored once");
        mbi_stacks_get(ids[i], &again);
        cr_assert_eq(again.count, stack.count);
        cr_assert_eq(memcmp(again.frames, stack.frames, stack.count * sizeof stack.frames[0]), 0);
    }
}

Test(stacks, none_is_taken_before_the_unwinder_is_loaded)
{
    struct stack stack;
    mbi_stacks_take(NULL, &stack);
    cr_assert_eq(stack.count, 0);
    cr_assert_eq(mbi_stacks_put(&stack), STACK_NONE);
    mbi_stacks_warm_up();
    mbi_stacks_take(NULL, &stack);
    cr_assert_gt(stack.count, 2);
}
