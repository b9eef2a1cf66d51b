/*
 * quarantine: freed objects, oldest first, that are kept from being used again.
 *
 * Ladder: above ledger. Callers: place.c and guarded.c, under the check lock.
 *
 *   oldest ─> ... ─> newest      linked through the objects' ledger entries
 */
#ifndef MEMORYBUCKET_CHECK_QUARANTINE_H
#define MEMORYBUCKET_CHECK_QUARANTINE_H

#include "check/ledger.h"

struct quarantine {
    uintptr_t oldest; /* addresses; 0: empty */
    uintptr_t newest;
    size_t bytes; /* of the objects' rooms */
    size_t count;
};

static inline void quarantine_put(struct quarantine *quarantine, struct object *object)
{
    object->next_freed = 0;
    if (quarantine->oldest == 0) {
        quarantine->oldest = object_address(object);
    } else {
        mbi_ledger_find(quarantine->newest)->next_freed = object_address(object);
    }
    quarantine->newest = object_address(object);
    quarantine->bytes += object->room_bytes;
    quarantine->count++;
}

/* The oldest, which stays in the ledger; NULL when there is none. */
static inline struct object *quarantine_take(struct quarantine *quarantine)
{
    if (quarantine->oldest == 0) {
        return NULL;
    }
    struct object *object = mbi_ledger_find(quarantine->oldest);
    quarantine->oldest = object->next_freed;
    quarantine->bytes -= object->room_bytes;
    quarantine->count--;
    return object;
}

#endif
