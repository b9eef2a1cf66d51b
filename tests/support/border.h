/* border: tests that run with the border at 512 bytes and with upper pools, and ask for other sizes then. */
#ifndef MEMORYBUCKET_TESTS_BORDER_H
#define MEMORYBUCKET_TESTS_BORDER_H

#include "memorybucket/memorybucket.h"

#include "core/config.h"

/* The border, MB_POOL_MAX: larger requests are the system allocator's. May bring the library up. */
static inline size_t border_bytes(void)
{
    if (mbi_config.pool_bytes_max == 0) { /* no configuration was read yet */
        (void)mb_init();
    }
    return mbi_config.pool_bytes_max;
}

/* What a test does with small objects it does with others where the border was moved. */
static inline size_t small_or_upper(size_t small, size_t upper)
{
    return border_bytes() > MB_SMALL_MAX ? upper : small;
}

#endif
