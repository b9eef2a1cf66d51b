/*
 * aba: what the tag in the central free list's head is for.
 *
 * Compiled twice: with the real tag of 32 bits, and with one of TINY bits. In both, a popper is
 * made to pause between its look at the stack and its exchange, while others pop and push so
 * often that the tiny tag comes round and the same batch is on top again, with another one
 * beneath. With the tiny tag the exchange then succeeds and a batch that somebody owns is on the
 * stack: the failure is shown, step by step, without any race. With the real tag it fails.
 *
 * A storm of threads on the real stack then shows that no batch has two owners.
 */
#include "core/batch_stack.h"

#include "testing.h"

enum { ROUNDS = 2, SLOT_BYTES = 8, BATCHES = 64, THREADS = 8 };
enum { TURNS = TEST_IS_SANITIZED ? 50000 : 400000 };

static _Alignas(8) char memory[(BATCHES + 1) * ROUNDS * SLOT_BYTES];
static const struct slot_space space = {
    .start = { memory },
    .units = { sizeof memory / 8 },
    .slot_reciprocal = 0, /* of slots of one unit */
    .carved_end = sizeof memory / 8
};
static struct batch_stack stack;

/* Batch 0 would have slot number 0, which is none. */
static uint64_t batch_make(size_t index)
{
    char *first = memory + (index + 1) * ROUNDS * SLOT_BYTES;
    uint64_t chain = chain_push(0, (struct slot *)(void *)(first + SLOT_BYTES));
    return chain_push(chain, (struct slot *)(void *)first);
}

static uint64_t pop(void)
{
    uint64_t retries = 0;
    return batch_stack_pop(&stack, &space, ROUNDS, &retries);
}

static void push(uint64_t batch)
{
    uint64_t retries = 0;
    batch_stack_push(&stack, &space, batch, &retries);
}

static void show_stale_exchange(void)
{
    uint64_t a = batch_make(0);
    uint64_t b = batch_make(1);
    uint64_t c = batch_make(2);
    push(c);
    push(b);
    push(a);

    /* The slow popper sees a on top and b beneath. */
    struct batch_stack_snapshot seen;
    CHECK(batch_stack_peek(&stack, &space, &seen), "the stack is empty");

    /* Others: a and b are popped, b is kept, a is pushed back. 2 pops; the rest of the tiny tag's
     * round is made of pops and pushes of a. */
    CHECK(pop() == a && pop() == b, "last in, first out");
    push(a);
    for (unsigned pops = 2; pops % 16 != 0; pops++) {
        CHECK(pop() == a, "a is on top");
        push(a);
    }

    bool succeeded = batch_stack_try_pop(&stack, &seen);
    if (BATCH_STACK_TAG_BITS <= 4) {
        CHECK(succeeded, "the tiny tag came round, and yet the stale exchange failed");
        CHECK(batch_stack_peek(&stack, &space, &seen) && seen.first == chain_first(b),
              "b, which its owner still has, should be on the stack");
    } else {
        CHECK(!succeeded, "a stale exchange succeeded");
        CHECK(pop() == a && pop() == c && pop() == 0, "the stack lost its order");
    }
}

/* The same with a trimmer, who takes the whole stack at once, between the look and the exchange. */
static void show_stale_exchange_after_detach(void)
{
    uint64_t a = batch_make(0);
    uint64_t b = batch_make(1);
    push(b);
    push(a);
    struct batch_stack_snapshot seen;
    CHECK(batch_stack_peek(&stack, &space, &seen), "the stack is empty");

    uint32_t list = (uint32_t)batch_stack_detach(&stack);
    CHECK(pop() == 0, "something is left on a detached stack");
    CHECK(batch_list_pop(&list, &space, ROUNDS) == a, "a was on top");
    CHECK(batch_list_pop(&list, &space, ROUNDS) == b && list == 0, "b was beneath");
    push(a); /* b is kept */

    CHECK(!batch_stack_try_pop(&stack, &seen), "a stale exchange succeeded after a detach");
    CHECK(pop() == a && pop() == 0, "the stack lost its order");
}

static _Atomic int owner_of[BATCHES];

static void *storm(void *argument)
{
    int self = (int)(uintptr_t)argument;
    for (int turn = 0; turn < TURNS; turn++) {
        uint64_t batch = pop();
        if (batch == 0) {
            continue;
        }
        size_t index = (size_t)((char *)chain_first(batch) - memory) / (ROUNDS * SLOT_BYTES) - 1;
        /* relaxed [TEST]: only the atomicity of the exchange is asked for. */
        int before = atomic_exchange_explicit(&owner_of[index], self, memory_order_relaxed);
        CHECK(before == 0, "batch %zu is owned by threads %d and %d", index, before, self);
        CHECK(chain_rounds(batch) == ROUNDS && chain_first(batch)->rest != 0, "a batch lost slots");
        atomic_store_explicit(&owner_of[index], 0, memory_order_relaxed); /* [TEST] */
        push(batch);
    }
    return NULL;
}

int main(void)
{
    show_stale_exchange_after_detach();
    show_stale_exchange();
    if (BATCH_STACK_TAG_BITS <= 4) {
        return 0;
    }
    for (size_t i = 0; i < BATCHES; i++) {
        push(batch_make(i));
    }
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        threads[i] = start_thread(storm, (void *)(i + 1));
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    size_t left = 0;
    while (pop() != 0) {
        left++;
    }
    CHECK(left == BATCHES, "%zu of %d batches are left", left, BATCHES);
    return 0;
}
