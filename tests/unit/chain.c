/* chain: the word that stands for a chain, and what a free slot holds. */
#include "core/chain.h"

#include <criterion/criterion.h>

Test(chain, empty_is_zero)
{
    cr_assert_null(chain_first(0));
    cr_assert_eq(chain_rounds(0), 0);
}

Test(chain, push_counts_and_links)
{
    static struct slot slots[300];
    uint64_t chain = 0;
    for (size_t i = 0; i < 300; i++) {
        uint64_t before = chain;
        chain = chain_push(chain, &slots[i]);
        cr_assert_eq(chain_first(chain), &slots[i]);
        cr_assert_eq(chain_rounds(chain), i + 1);
        cr_assert_eq(slots[i].rest, before);
    }
}

Test(chain, holds_the_highest_address_and_length)
{
    struct slot *highest = (struct slot *)(((uintptr_t)1 << CHAIN_ADDRESS_BITS) - 8);
    uint64_t chain = chain_make(highest, CHAIN_ROUNDS_MAX);
    cr_assert_eq(chain_first(chain), highest);
    cr_assert_eq(chain_rounds(chain), CHAIN_ROUNDS_MAX);
}
