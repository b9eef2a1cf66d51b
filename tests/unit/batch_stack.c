/* batch_stack: order, both spans, numbers and words. Threads are in concurrent/aba.c. */
#include "core/batch_stack.h"

#include <criterion/criterion.h>

enum { ROUNDS = 3, SLOT_BYTES = 24, BATCHES = 20 };

static _Alignas(8) char dense[4096];
static _Alignas(8) char wide[4096];
static const struct slot_space space = {
    .start = { dense, wide }, .units = { 512 }, .carved_end = 1024
};
static struct batch_stack stack;
static uint64_t retries;

/* The first few lie in the dense span, the others in the wide one. */
static uint64_t batch_make(size_t index)
{
    char *span = index < BATCHES / 2 ? dense : wide;
    uint64_t chain = 0;
    for (size_t round = ROUNDS; round-- > 0;) {
        size_t slot = (index % (BATCHES / 2)) * ROUNDS + round + 1;
        chain = chain_push(chain, (struct slot *)(void *)(span + slot * SLOT_BYTES));
    }
    return chain;
}

Test(batch_stack, numbers_and_slots_are_inverse_in_both_spans)
{
    for (size_t unit = 1; unit < 512; unit++) {
        struct slot *in_dense = (struct slot *)(void *)(dense + unit * 8);
        struct slot *in_wide = (struct slot *)(void *)(wide + unit * 8);
        cr_assert_eq(slot_space_number(&space, in_dense), unit);
        cr_assert_eq(slot_space_number(&space, in_wide), 512 + unit);
        cr_assert_eq(slot_space_slot(&space, unit), in_dense);
        cr_assert_eq(slot_space_slot(&space, 512 + unit), in_wide);
    }
}

Test(batch_stack, empty_pops_nothing)
{
    struct batch_stack_snapshot seen;
    cr_assert_eq(batch_stack_pop(&stack, &space, ROUNDS, &retries), 0);
    cr_assert_not(batch_stack_peek(&stack, &space, &seen));
}

Test(batch_stack, last_in_first_out_with_whole_chains)
{
    uint64_t batches[BATCHES];
    for (size_t i = 0; i < BATCHES; i++) {
        batches[i] = batch_make(i);
        batch_stack_push(&stack, &space, batches[i], &retries);
    }
    for (size_t i = BATCHES; i-- > 0;) {
        uint64_t chain = batch_stack_pop(&stack, &space, ROUNDS, &retries);
        cr_assert_eq(chain, batches[i]);
        for (size_t rounds = ROUNDS; rounds > 0; rounds--) {
            cr_assert_eq(chain_rounds(chain), rounds);
            chain = chain_first(chain)->rest;
        }
        cr_assert_eq(chain, 0);
    }
    cr_assert_eq(retries, 0);
}

Test(batch_stack, each_pop_advances_the_tag_and_a_push_keeps_it)
{
    uint64_t batch = batch_make(0);
    for (uint64_t turn = 1; turn <= 100; turn++) {
        batch_stack_push(&stack, &space, batch, &retries);
        cr_assert_eq(stack.head >> SLOT_NUMBER_BITS, turn - 1);
        batch_stack_pop(&stack, &space, ROUNDS, &retries);
        cr_assert_eq(stack.head >> SLOT_NUMBER_BITS, turn);
    }
}

Test(batch_stack, the_tag_wraps_without_touching_the_number)
{
    stack.head = UINT64_C(0xFFFFFFFF) << SLOT_NUMBER_BITS;
    uint64_t batch = batch_make(0);
    batch_stack_push(&stack, &space, batch, &retries);
    cr_assert_eq(batch_stack_pop(&stack, &space, ROUNDS, &retries), batch);
    cr_assert_eq(stack.head, 0);
}
