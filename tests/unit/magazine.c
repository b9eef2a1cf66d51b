/* magazine: last in, first out, up to its maximum. */
#include "tcache/magazine.h"

#include <criterion/criterion.h>

static struct slot slots[8];

Test(magazine, pops_in_reverse_order)
{
    struct magazine magazine = { .rounds_max = 8 };
    for (size_t i = 0; i < 8; i++) {
        cr_assert(magazine_push(&magazine, &slots[i]));
    }
    cr_assert_not(magazine_push(&magazine, &slots[0]), "a full magazine took a ninth round");
    for (size_t i = 8; i-- > 0;) {
        cr_assert_eq(magazine_pop(&magazine), &slots[i]);
    }
    cr_assert_null(magazine_pop(&magazine));
}

Test(magazine, a_lowered_maximum_makes_it_look_full)
{
    struct magazine magazine = { .rounds_max = 8 };
    cr_assert(magazine_push(&magazine, &slots[0]));
    magazine_set_rounds_max(&magazine, 0);
    cr_assert_not(magazine_push(&magazine, &slots[1]));
    cr_assert_eq(magazine_pop(&magazine), &slots[0]);
}

Test(magazine, unload_hands_over_everything)
{
    struct magazine magazine = { .rounds_max = 8 };
    magazine_push(&magazine, &slots[0]);
    magazine_push(&magazine, &slots[1]);
    uint64_t chain = magazine_unload(&magazine);
    cr_assert_eq(chain_first(chain), &slots[1]);
    cr_assert_eq(chain_rounds(chain), 2);
    cr_assert_null(magazine_pop(&magazine));
}
