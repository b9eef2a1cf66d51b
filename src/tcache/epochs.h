/*
 * epochs: liburcu, as the registry uses it: read-side sections for walkers, grace periods for threads
 * that end under one.
 *
 * Ladder: below registry. The library is linked to liburcu (epochs.c). The drop-in loads it when
 * somebody walks for the first time (dropin/epochs.c): every process that starts maps the drop-in, and
 * hardly any walks; liburcu's constructor also calls membarrier(2), which a sandbox may not allow.
 */
#ifndef MEMORYBUCKET_TCACHE_EPOCHS_H
#define MEMORYBUCKET_TCACHE_EPOCHS_H

#include "core/base.h"

/*
 * Before each walk: whether there are epochs, for all walks or for none. The first call may allocate, and
 * waits for the dynamic linker. Without them what is retired waits until nobody walks.
 */
bool mbi_epochs_load(void);

/* Whether walkers use them: false before the first walk. */
bool mbi_epochs_in_use(void);

/* Only where they are in use. */
void mbi_epochs_read_lock(void);
void mbi_epochs_read_unlock(void);
void mbi_epochs_synchronize(void);

#endif
