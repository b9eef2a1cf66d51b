/* limit: two numbers. */
#include "core/limit.h"

/* Written with each block that is committed, and by trim. */
static struct {
    _Alignas(ISOLATION_BYTES) _Atomic size_t committed;
} charged_together;

/* Written by mb_memory_limit_set; read with each block and where memory runs short. */
static struct {
    _Alignas(ISOLATION_BYTES) _Atomic size_t bytes_max;
} limit = { LIMIT_NONE };

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
    size_t old = atomic_load_explicit(&charged_together.committed, memory_order_relaxed); /* [COMMITTED] */
    size_t charged;
    do {
        size_t bytes_max = mbi_limit_get();
        size_t left = bytes_max > old ? bytes_max - old : 0;
        charged = left / unit_bytes < count ? left / unit_bytes : count;
        if (charged < count) {
            reached = true;
        }
        if (charged == 0) {
            return 0;
        }
    } while (!atomic_compare_exchange_weak_explicit(&charged_together.committed, &old, old + charged * unit_bytes,
                                                    memory_order_relaxed,
                                                    memory_order_relaxed)); /* [COMMITTED] */
    return charged;
}

bool mbi_limit_charge(size_t bytes)
{
    return mbi_limit_charge_some(1, bytes) == 1;
}

void mbi_limit_return(size_t bytes)
{
    atomic_fetch_sub_explicit(&charged_together.committed, bytes, memory_order_relaxed); /* [COMMITTED] */
}

size_t mbi_limit_get(void)
{
    return atomic_load_explicit(&limit.bytes_max, memory_order_relaxed); /* [COMMITTED] */
}

size_t mbi_limit_set(size_t bytes_max)
{
    return atomic_exchange_explicit(&limit.bytes_max, bytes_max,
                                    memory_order_relaxed); /* [COMMITTED] */
}

size_t mbi_limit_committed(void)
{
    return atomic_load_explicit(&charged_together.committed, memory_order_relaxed); /* [COMMITTED] */
}
