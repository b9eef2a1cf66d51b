/*
 * orders: what one thread has written is handed to another by the library's own acquires and
 * releases, and by nothing else.
 *
 * Threads tell each other that it is time by relaxed flags only, which order nothing. So in a build
 * with ThreadSanitizer any release or acquire that is missing on the way shows as a race on what
 * was handed over, in whatever order the threads happened to run. Other builds check the values.
 */
#include "core/batch_stack.h"

#include "testing.h"

#include "core/config.h"
#include "core/region.h"
#include "tcache/startup.h"

enum { ROUNDS = 3, SLOT_BYTES = 24, PUSHERS = 2 };

/* Slot 0 is none. After its link each slot has room for a plain payload. */
static _Alignas(8) char memory[(PUSHERS * ROUNDS + 1) * SLOT_BYTES];
static const struct slot_space space = {
    .start = { memory },
    .units = { sizeof memory / 8 },
    .slot_reciprocal = 0, /* of slots of one unit */
    .carved_end = sizeof memory / 8
};
static struct batch_stack stack;

static _Atomic int turn;

/* relaxed [TEST]: the order of time, and none of memory. */
static void turn_wait_for(int wanted)
{
    while (atomic_load_explicit(&turn, memory_order_relaxed) != wanted) { /* [TEST] */
        usleep(100);
    }
}

static void turn_end(void)
{
    atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed); /* [TEST] */
}

static uint64_t *slot_payload(struct slot *slot)
{
    return (uint64_t *)(void *)slot + 1;
}

/* Each pusher in its turn: the second one's batch lies on the first one's. */
static void *push(void *argument)
{
    int self = (int)(uintptr_t)argument;
    turn_wait_for(self);
    uint64_t chain = 0;
    uint64_t retries = 0;
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t index = (size_t)self * ROUNDS + round + 1;
        struct slot *slot = (struct slot *)(void *)(memory + index * SLOT_BYTES);
        *slot_payload(slot) = index;
        chain = chain_push(chain, slot);
    }
    batch_stack_push(&stack, &space, chain, &retries);
    turn_end();
    return NULL;
}

static void check_batch(uint64_t chain, size_t pusher)
{
    for (size_t round = ROUNDS; round-- > 0;) {
        struct slot *slot = chain_first(chain);
        CHECK(slot != NULL && chain_rounds(chain) == round + 1, "a batch of %u rounds ends early",
              (unsigned)chain_rounds(chain));
        CHECK(*slot_payload(slot) == pusher * ROUNDS + round + 1, "slot %zu of pusher %zu has %llu",
              round, pusher, (unsigned long long)*slot_payload(slot));
        chain = slot->rest;
    }
    CHECK(chain == 0, "a batch goes on behind its end");
}

static void *pop_each(void *argument)
{
    uint64_t retries = 0;
    turn_wait_for(PUSHERS);
    for (size_t pusher = PUSHERS; pusher-- > 0;) {
        check_batch(batch_stack_pop(&stack, &space, ROUNDS, &retries), pusher);
    }
    return argument;
}

static void *detach_all(void *argument)
{
    turn_wait_for(PUSHERS);
    uint32_t list = (uint32_t)batch_stack_detach(&stack);
    for (size_t pusher = PUSHERS; pusher-- > 0;) {
        check_batch(batch_list_pop(&list, &space, ROUNDS), pusher);
    }
    CHECK(list == 0, "the list goes on behind its end");
    return argument;
}

static void hand_batches_to(void *(*taker)(void *))
{
    pthread_t threads[PUSHERS + 1];
    atomic_store_explicit(&turn, 0, memory_order_relaxed); /* [TEST] */
    for (uintptr_t i = 0; i < PUSHERS; i++) {
        threads[i] = start_thread(push, (void *)i);
    }
    threads[PUSHERS] = start_thread(taker, NULL);
    for (size_t i = 0; i <= PUSHERS; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* The first one writes the constants, the second one, which takes no lock any more, reads them. */
static void *come_up(void *argument)
{
    turn_wait_for((int)(uintptr_t)argument);
    CHECK(mbi_startup() == 0, "no reservation");
    CHECK(mbi_config.magazine_rounds[7] >= 2, "magazines of %u", mbi_config.magazine_rounds[7]);
    turn_end();
    return NULL;
}

/* The first one lays the pool out, the second one, which takes no lock for that, reads it. */
static void *use_pool(void *argument)
{
    turn_wait_for((int)(uintptr_t)argument);
    struct pool *pool = pool_for_use(7);
    CHECK(pool != NULL && pool->slot_bytes == 64 && pool->rounds >= 2, "it is not laid out");
    turn_end();
    return NULL;
}

/* Of a class that is used for the first time. relaxed [TEST]: the address alone. */
static _Atomic uintptr_t carved;

/* The first one carves, the second one is asked what lies at the address. */
static void *carve_or_ask(void *argument)
{
    enum { CLASS = 8 };
    turn_wait_for((int)(uintptr_t)argument);
    if (argument == NULL) {
        uint64_t loose;
        struct fresh_run run = mbi_pool_obtain(pool_for_use(CLASS), 8, &loose);
        CHECK(run.rounds == 8, "no memory");
        atomic_store_explicit(&carved, (uintptr_t)run.first, memory_order_relaxed); /* [TEST] */
    } else {
        const char *address =
            (const char *)atomic_load_explicit(&carved, memory_order_relaxed); /* [TEST] */
        CHECK(slot_space_has_start(&pool_at(CLASS)->space, address), "it is nobody's slot");
    }
    turn_end();
    return NULL;
}

/* Plain: what stands behind locks and the gate. */
static uint64_t handed_on;

static void hand_on(uint64_t self)
{
    CHECK(handed_on == self, "%llu instead of %llu", (unsigned long long)handed_on,
          (unsigned long long)self);
    handed_on++;
}

static void *take_in_turn(void *argument)
{
    turn_wait_for((int)(uintptr_t)argument);
    CHECK(mbi_lock_acquire(LOCK_HANDLER), "nobody forks");
    hand_on((uintptr_t)argument);
    mbi_lock_release(LOCK_HANDLER);
    turn_end();
    return NULL;
}

/* The second one asks while the first one has it. */
static void *take_and_wait(void *argument)
{
    turn_wait_for((int)(uintptr_t)argument);
    CHECK(mbi_lock_acquire(LOCK_HANDLER), "nobody forks");
    hand_on((uintptr_t)argument);
    turn_end();
    while (argument == NULL
           && atomic_load_explicit(&mbi_locks[LOCK_HANDLER].word,
                                   memory_order_relaxed) != 2) { /* [TEST] */
        usleep(100);
    }
    mbi_lock_release(LOCK_HANDLER);
    return NULL;
}

static void *fork_in_turn(void *argument)
{
    turn_wait_for((int)(uintptr_t)argument);
    mbi_lock_close_gate(mbi_lock_defer_cancel());
    hand_on((uintptr_t)argument);
    mbi_lock_restore_cancel(mbi_lock_open_gate());
    turn_end();
    return NULL;
}

static void *deferred_object;

/* One closes the gate and opens it; meanwhile the other one frees, which is deferred. */
static void *fork_or_free(void *argument)
{
    if (argument == NULL) {
        mbi_lock_close_gate(mbi_lock_defer_cancel());
        turn_end();
        turn_wait_for(2);
        mbi_lock_restore_cancel(mbi_lock_open_gate());
        mbi_pools_free_deferred();
        CHECK(!pools_have_deferred(), "a freed object waits");
    } else {
        turn_wait_for(1);
        mbi_pool_free_direct(pool_at(region_class_of(deferred_object)), deferred_object);
        CHECK(pools_have_deferred(), "it was not deferred");
        turn_end();
    }
    return NULL;
}

static void hand_between_two(void *(*function)(void *))
{
    pthread_t threads[2];
    atomic_store_explicit(&turn, 0, memory_order_relaxed); /* [TEST] */
    handed_on = 0;
    for (uintptr_t i = 0; i < 2; i++) {
        threads[i] = start_thread(function, (void *)i);
    }
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
}

int main(void)
{
    pthread_t first = start_thread(come_up, (void *)0);
    pthread_t second = start_thread(come_up, (void *)1);
    pthread_join(first, NULL);
    pthread_join(second, NULL);

    hand_between_two(use_pool);
    hand_between_two(carve_or_ask);

    hand_batches_to(pop_each);
    hand_batches_to(detach_all);

    hand_between_two(take_in_turn);
    hand_between_two(take_and_wait);
    hand_between_two(fork_in_turn);
    deferred_object = mb_alloc(100);
    CHECK(deferred_object != NULL, "no memory");
    hand_between_two(fork_or_free);
    return 0;
}
