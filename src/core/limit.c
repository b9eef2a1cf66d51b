/* limit: what pools commit and trim gives back. */
#include "core/limit.h"

#include "core/bounded.h"

static struct bounded committed = { .most = LIMIT_NONE };

static _Thread_local bool reached __attribute__((tls_model("initial-exec")));

bool mbi_limit_was_reached(void)
{
    return reached;
}

void mbi_limit_forget(void)
{
    reached = false;
}

size_t mbi_limit_charge_some(size_t count, size_t unit_bytes)
{
    size_t charged = bounded_take(&committed, count, unit_bytes);
    if (charged < count) {
        reached = true;
    }
    return charged;
}

bool mbi_limit_charge(size_t bytes)
{
    return mbi_limit_charge_some(1, bytes) == 1;
}

void mbi_limit_return(size_t bytes)
{
    bounded_give_back(&committed, bytes);
}

size_t mbi_limit_get(void)
{
    return bounded_most(&committed);
}

size_t mbi_limit_set(size_t bytes_max)
{
    return bounded_set_most(&committed, bytes_max);
}

size_t mbi_limit_committed(void)
{
    return bounded_taken(&committed);
}
