/* kept: the stack of full magazines, and how its depth adapts. */
#include "tcache/kept.h"

#include <criterion/criterion.h>
#include <string.h>

enum { ROUNDS = 2, BATCHES = 64 };

static _Alignas(8) char memory[(BATCHES + 1) * ROUNDS * 8];
static const struct slot_space space = {
    .start = { memory },
    .units = { sizeof memory / 8 },
    .slot_reciprocal = 0, /* of slots of one unit */
    .carved_end = sizeof memory / 8
};
static struct kept kept;

static uint64_t batch_make(size_t index)
{
    char *first = memory + (index + 1) * ROUNDS * 8;
    return chain_push(chain_push(0, (struct slot *)(void *)(first + 8)),
                      (struct slot *)(void *)first);
}

/* So a thread cache that is fresh of the kernel keeps nothing of any class, and may keep one. */
Test(kept, all_zeros_are_the_state_at_the_start)
{
    static const struct kept zeros;
    for (int turn = 0; turn < 3; turn++) {
        kept_push(&kept, &space, batch_make(0));
        kept_note_flush(&kept);
        (void)kept_count_swap(&kept);
    }
    kept_init(&kept);
    cr_assert_eq(memcmp(&kept, &zeros, sizeof kept), 0);
    cr_assert_eq(kept_depth_max(&kept), 1);
}

/* A period has 8 swaps for each batch that may be kept; what was not needed in it is given up. */
Test(kept, a_period_ends_after_so_many_swaps)
{
    kept_init(&kept);
    kept.depth_more = 1;
    kept_push(&kept, &space, batch_make(0));
    kept_push(&kept, &space, batch_make(1));
    kept_open_period(&kept);
    for (int swap = 1; swap < 2 * KEPT_PERIOD_DEPTHS; swap++) {
        cr_assert_not(kept_count_swap(&kept), "after %d swaps", swap);
    }
    cr_assert(kept_count_swap(&kept));
    cr_assert_eq(kept_depth_max(&kept), 1, "one of two is given up");
}

Test(kept, last_in_first_out)
{
    kept_init(&kept);
    for (size_t i = 0; i < BATCHES; i++) {
        kept_push(&kept, &space, batch_make(i));
        cr_assert_eq(kept_depth(&kept), i + 1);
    }
    for (size_t i = BATCHES; i-- > 0;) {
        cr_assert_eq(kept_pop(&kept, &space, ROUNDS), batch_make(i));
    }
    cr_assert_eq(kept_depth(&kept), 0);
}

Test(kept, grows_by_one_for_each_round_trip_to_the_centre)
{
    kept_init(&kept);
    cr_assert_eq(kept_depth_max(&kept), 1);
    for (int i = 0; i < 10; i++) {
        kept_note_flush(&kept);
    }
    for (int i = 0; i < 30; i++) {
        kept_note_refill(&kept);
    }
    cr_assert_eq(kept_depth_max(&kept), 11);
}

Test(kept, does_not_grow_for_one_way_traffic)
{
    kept_init(&kept);
    for (int i = 0; i < 1000; i++) {
        kept_note_refill(&kept);
    }
    cr_assert_eq(kept_depth_max(&kept), 1, "a thread that only allocates");
    kept_init(&kept);
    for (int i = 0; i < 10000; i++) {
        kept_note_flush(&kept);
    }
    cr_assert_eq(kept_depth_max(&kept), 1, "a thread that only frees");
}

/* What is in nobody's hands: stands for the centre. */
static uint64_t centre[BATCHES];
static size_t centre_count;

static void end_swap(void)
{
    if (kept_count_swap(&kept)) {
        centre[centre_count++] = kept_pop(&kept, &space, ROUNDS);
    }
}

/* One turn of a program that allocates so many magazines and frees them again. */
static void swing(size_t magazines)
{
    uint64_t in_use[BATCHES];
    for (size_t i = 0; i < magazines; i++) {
        if (kept_depth(&kept) != 0) {
            in_use[i] = kept_pop(&kept, &space, ROUNDS);
            end_swap();
        } else {
            in_use[i] = centre[--centre_count];
            kept_note_refill(&kept);
        }
    }
    for (size_t i = 0; i < magazines; i++) {
        if (kept_depth(&kept) < kept_depth_max(&kept)) {
            kept_push(&kept, &space, in_use[i]);
            end_swap();
        } else {
            centre[centre_count++] = in_use[i];
            kept_note_flush(&kept);
        }
    }
}

static void keep_all(void)
{
    kept_init(&kept);
    kept.depth_more = BATCHES - 1;
    for (size_t i = 0; i < BATCHES; i++) {
        kept_push(&kept, &space, batch_make(i));
    }
    kept_open_period(&kept);
}

Test(kept, gives_up_what_is_not_used)
{
    keep_all();
    for (int turn = 0; turn < 10000; turn++) {
        swing(4);
    }
    cr_assert_leq(kept_depth(&kept), 8, "%d are kept", kept_depth(&kept));
    cr_assert_leq(kept_depth_max(&kept), BATCHES / 2, "%d may be kept", kept_depth_max(&kept));
    cr_assert_geq(kept_depth_max(&kept), 4);
    cr_assert_eq(kept_depth(&kept) + centre_count, BATCHES);
}

Test(kept, keeps_what_is_used_in_every_swing)
{
    keep_all();
    for (int turn = 0; turn < 1000; turn++) {
        swing(BATCHES);
    }
    cr_assert_eq(kept_depth(&kept), BATCHES);
}
