/* previous: the stack of full magazines, and how its depth adapts. */
#include "tcache/previous.h"

#include <criterion/criterion.h>

enum { ROUNDS = 2, BATCHES = 64 };

static _Alignas(8) char memory[(BATCHES + 1) * ROUNDS * 8];
static const struct slot_space space = {
    .start = { memory },
    .units = { sizeof memory / 8 },
    .slot_reciprocal = 0, /* of slots of one unit */
    .carved_end = sizeof memory / 8
};
static struct previous previous;

static uint64_t batch_make(size_t index)
{
    char *first = memory + (index + 1) * ROUNDS * 8;
    return chain_push(chain_push(0, (struct slot *)(void *)(first + 8)),
                      (struct slot *)(void *)first);
}

Test(previous, last_in_first_out)
{
    previous_init(&previous);
    for (size_t i = 0; i < BATCHES; i++) {
        previous_push(&previous, &space, batch_make(i));
        cr_assert_eq(previous_depth(&previous), i + 1);
    }
    for (size_t i = BATCHES; i-- > 0;) {
        cr_assert_eq(previous_pop(&previous, &space, ROUNDS), batch_make(i));
    }
    cr_assert_eq(previous_depth(&previous), 0);
}

Test(previous, grows_by_one_for_each_round_trip_to_the_centre)
{
    previous_init(&previous);
    cr_assert_eq(previous.depth_max, 1);
    for (int i = 0; i < 10; i++) {
        previous_note_flush(&previous);
    }
    for (int i = 0; i < 30; i++) {
        previous_note_refill(&previous);
    }
    cr_assert_eq(previous.depth_max, 11);
}

Test(previous, does_not_grow_for_one_way_traffic)
{
    previous_init(&previous);
    for (int i = 0; i < 1000; i++) {
        previous_note_refill(&previous);
    }
    cr_assert_eq(previous.depth_max, 1, "a thread that only allocates");
    previous_init(&previous);
    for (int i = 0; i < 10000; i++) {
        previous_note_flush(&previous);
    }
    cr_assert_eq(previous.depth_max, 1, "a thread that only frees");
}

/* What is in nobody's hands: stands for the centre. */
static uint64_t centre[BATCHES];
static size_t centre_count;

static void end_exchange(void)
{
    if (previous_count_exchange(&previous)) {
        centre[centre_count++] = previous_pop(&previous, &space, ROUNDS);
    }
}

/* One turn of a program that allocates so many magazines and frees them again. */
static void swing(size_t magazines)
{
    uint64_t in_use[BATCHES];
    for (size_t i = 0; i < magazines; i++) {
        if (previous_depth(&previous) != 0) {
            in_use[i] = previous_pop(&previous, &space, ROUNDS);
            end_exchange();
        } else {
            in_use[i] = centre[--centre_count];
            previous_note_refill(&previous);
        }
    }
    for (size_t i = 0; i < magazines; i++) {
        if (previous_depth(&previous) < previous.depth_max) {
            previous_push(&previous, &space, in_use[i]);
            end_exchange();
        } else {
            centre[centre_count++] = in_use[i];
            previous_note_flush(&previous);
        }
    }
}

static void keep_all(void)
{
    previous_init(&previous);
    previous.depth_max = BATCHES;
    for (size_t i = 0; i < BATCHES; i++) {
        previous_push(&previous, &space, batch_make(i));
    }
    previous_open_window(&previous);
}

Test(previous, gives_up_what_is_not_used)
{
    keep_all();
    for (int turn = 0; turn < 10000; turn++) {
        swing(4);
    }
    cr_assert_leq(previous_depth(&previous), 8, "%d are kept", previous_depth(&previous));
    cr_assert_leq(previous.depth_max, BATCHES / 2, "%d may be kept", previous.depth_max);
    cr_assert_geq(previous.depth_max, 4);
    cr_assert_eq(previous_depth(&previous) + centre_count, BATCHES);
}

Test(previous, keeps_what_is_used_in_every_swing)
{
    keep_all();
    for (int turn = 0; turn < 1000; turn++) {
        swing(BATCHES);
    }
    cr_assert_eq(previous_depth(&previous), BATCHES);
}
