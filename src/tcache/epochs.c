/* epochs: the library's, which is linked to liburcu; so they are always there. */
#include "core/upcalls.h"

#include <urcu/urcu-bp.h>

bool mbi_epochs_load(void)
{
    return true;
}

bool mbi_epochs_in_use(void)
{
    return true;
}

void mbi_epochs_read_lock(void)
{
    urcu_bp_read_lock();
}

void mbi_epochs_read_unlock(void)
{
    urcu_bp_read_unlock();
}

void mbi_epochs_synchronize(void)
{
    urcu_bp_synchronize_rcu();
}
