/* limit: what pools commit and trim gives back. */
#include "core/limit.h"

struct bounded mbi_committed = { .most = BOUNDED_NONE };

_Thread_local bool mbi_limit_reached __attribute__((tls_model("initial-exec")));

size_t mbi_limit_charge(size_t count, size_t unit_bytes)
{
    size_t charged = bounded_take(&mbi_committed, count, unit_bytes);
    if (charged < count) {
        mbi_limit_reached = true;
    }
    return charged;
}
