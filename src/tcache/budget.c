/* budget: one number. */
#include "tcache/budget.h"

/* Written by threads whose caches grow or shrink. */
static struct {
    _Alignas(ISOLATION_BYTES) _Atomic size_t bytes;
} taken;

/* Written once, with the second thread; read where caches grow. */
static struct {
    _Alignas(ISOLATION_BYTES) _Atomic size_t bytes;
} most = { SIZE_MAX };

void mbi_budget_set_max(size_t bytes)
{
    atomic_store_explicit(&most.bytes, bytes, memory_order_relaxed); /* [BUDGET] */
}

size_t mbi_budget_max(void)
{
    return atomic_load_explicit(&most.bytes, memory_order_relaxed); /* [BUDGET] */
}

size_t mbi_budget_taken(void)
{
    return atomic_load_explicit(&taken.bytes, memory_order_relaxed); /* [BUDGET] */
}

bool mbi_budget_is_crowded(void)
{
    return mbi_budget_taken() > mbi_budget_max() / 2;
}

bool mbi_budget_take(size_t bytes)
{
    size_t old = mbi_budget_taken();
    do {
        size_t bytes_max = mbi_budget_max();
        if (old > bytes_max || bytes > bytes_max - old) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&taken.bytes, &old, old + bytes,
                                                    memory_order_relaxed,
                                                    memory_order_relaxed)); /* [BUDGET] */
    return true;
}

void mbi_budget_return(size_t bytes)
{
    atomic_fetch_sub_explicit(&taken.bytes, bytes, memory_order_relaxed); /* [BUDGET] */
}

void mbi_budget_reset_in_child(size_t taken_bytes)
{
    atomic_store_explicit(&taken.bytes, taken_bytes, memory_order_relaxed); /* [BUDGET] */
}
