/* budget: what threads take before their caches grow. */
#include "tcache/budget.h"

#include "core/bounded.h"

static struct bounded cached = { .most = BOUNDED_NONE };

void mbi_budget_set_max(size_t bytes_max)
{
    (void)bounded_set_most(&cached, bytes_max);
}

size_t mbi_budget_max(void)
{
    return bounded_most(&cached);
}

size_t mbi_budget_taken(void)
{
    return bounded_taken(&cached);
}

bool mbi_budget_is_crowded(void)
{
    return mbi_budget_taken() > mbi_budget_max() / 2;
}

bool mbi_budget_take(size_t bytes)
{
    return bounded_take(&cached, 1, bytes) == 1;
}

void mbi_budget_return(size_t bytes)
{
    bounded_give_back(&cached, bytes);
}

void mbi_budget_reset_in_child(size_t taken_bytes)
{
    bounded_reset(&cached, taken_bytes);
}
