/* centre: one number. */
#include "core/centre.h"

/* Written by threads that tell; read by every slow path. */
static struct {
    _Alignas(ISOLATION_BYTES) _Atomic int64_t bytes;
} told;

void mbi_centre_tell(int64_t bytes)
{
    /* relaxed [CENTRE]: the sum is right whatever the order, and orders nothing. */
    atomic_fetch_add_explicit(&told.bytes, bytes, memory_order_relaxed);
}

int64_t mbi_centre_told(void)
{
    return atomic_load_explicit(&told.bytes, memory_order_relaxed); /* [CENTRE] */
}
