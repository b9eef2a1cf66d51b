/* The rule by which pools take huge pages. */
#include "core/huge.h"

#include "core/os.h"

#include <criterion/criterion.h>

enum { LARGE = 32 << 20, SMALLER = LARGE - 1, HUGE_BLOCK = 2 << 20 };

static bool is_next(enum huge_pages setting, size_t slot_bytes, size_t pool_bytes, size_t block_bytes)
{
    mbi_config.huge_pages = (uint8_t)setting;
    return huge_is_next(slot_bytes, pool_bytes, block_bytes);
}

/* None where small pages are larger than 4 KiB: the huge ones are, too. */
Test(huge, large_pools_take_them)
{
    bool any = mbi_os_page_bytes() == 4096;
    cr_assert_eq(is_next(HUGE_IN_LARGE_POOLS, 8, LARGE, HUGE_BLOCK), any);
    cr_assert_eq(is_next(HUGE_IN_LARGE_POOLS, 4096, SIZE_MAX, SIZE_MAX), any);
    cr_assert_not(is_next(HUGE_IN_LARGE_POOLS, 8, SMALLER, SIZE_MAX));
    cr_assert_not(is_next(HUGE_IN_LARGE_POOLS, 8, 0, SIZE_MAX));
}

/* Of such a slot its owner may use the first page only. */
Test(huge, slots_larger_than_a_page_take_none)
{
    cr_assert_not(is_next(HUGE_IN_LARGE_POOLS, 4097, SIZE_MAX, SIZE_MAX));
    cr_assert_not(is_next(HUGE_IN_LARGE_POOLS, 32768, SIZE_MAX, SIZE_MAX));
}

Test(huge, blocks_that_a_limit_makes_small_are_none)
{
    cr_assert_not(is_next(HUGE_IN_LARGE_POOLS, 64, SIZE_MAX, HUGE_BLOCK - 1));
}

/* With 1 the kernel makes them by itself where it can. */
Test(huge, other_settings_take_none)
{
    cr_assert_not(is_next(HUGE_NEVER, 64, SIZE_MAX, SIZE_MAX));
    cr_assert_not(is_next(HUGE_IN_ALL_POOLS, 64, SIZE_MAX, SIZE_MAX));
}

/* The worst is a pool that has just become large, and uses the first byte of its huge page. */
Test(huge, they_add_a_16th_at_most)
{
    cr_assert_leq(HUGE_PAGE_BYTES, HUGE_POOL_BYTES / 16);
}

/* With the other settings the free maps know which pages are. */
Test(huge, may_be_anywhere_in_all_pools)
{
    mbi_config.huge_pages = HUGE_NEVER;
    cr_assert_not(huge_may_be_anywhere());
    mbi_config.huge_pages = HUGE_IN_LARGE_POOLS;
    cr_assert_not(huge_may_be_anywhere());
    mbi_config.huge_pages = HUGE_IN_ALL_POOLS;
    cr_assert(huge_may_be_anywhere());
}
