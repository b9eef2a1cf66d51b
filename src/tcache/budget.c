/* budget: one number. */
#include "tcache/budget.h"

#include "core/config.h"

static _Atomic size_t taken;

size_t mbi_budget_taken(void)
{
    return atomic_load_explicit(&taken, memory_order_relaxed); /* [BUDGET] */
}

bool mbi_budget_is_crowded(void)
{
    return mbi_budget_taken() > mbi_config.cache_bytes_max / 2;
}

bool mbi_budget_take(size_t bytes)
{
    size_t old = mbi_budget_taken();
    do {
        if (bytes > mbi_config.cache_bytes_max - old) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&taken, &old, old + bytes,
                                                    memory_order_relaxed,
                                                    memory_order_relaxed)); /* [BUDGET] */
    return true;
}

void mbi_budget_return(size_t bytes)
{
    atomic_fetch_sub_explicit(&taken, bytes, memory_order_relaxed); /* [BUDGET] */
}

void mbi_budget_reset_in_child(size_t taken_bytes)
{
    atomic_store_explicit(&taken, taken_bytes, memory_order_relaxed); /* [BUDGET] */
}
