/*
 * ledger: what checked mode knows of each object, found by its address.
 *
 * Ladder: above core/os. Callers: the rest of check/, under the check lock.
 *
 *   entries  open addressing, linear probing, at most half full; what is nowhere is a free place
 *
 * An entry moves when another one is added or removed: pointers to entries last until then.
 */
#ifndef MEMORYBUCKET_CHECK_LEDGER_H
#define MEMORYBUCKET_CHECK_LEDGER_H

#include "core/base.h"

/* Where an object lies. */
enum object_home {
    HOME_SLOT,    /* in a slot of a pool */
    HOME_GUARDED, /* on a page of its own (check/guarded.h) */
    HOME_LARGE,   /* in the system allocator */
};

enum object_state { OBJECT_LIVE, OBJECT_FREED };

struct object {
    uintptr_t hidden; /* its address, complemented: memcheck shall not take this for a reference */
    size_t size_bytes; /* as it was asked for */
    size_t room_bytes; /* from the address to the end of what is checked behind it */
    uintptr_t next_freed; /* in the quarantine's order; 0: none */
    uint32_t alloc_stack;
    uint32_t free_stack;
    int32_t alloc_thread;
    int32_t free_thread;
    uint32_t generation; /* of the process that allocated it: forks before it */
    uint8_t home;
    uint8_t state;
    uint8_t class; /* the slot's pool; elsewhere the pool that would serve it */
    bool filled;   /* freed, and every byte of it is FREED_BYTE */
    bool reported; /* something is wrong with it, and was said */
};

static inline uintptr_t object_hide(uintptr_t address)
{
    return address != 0 ? ~address : 0;
}

/* 0 for an object that is nowhere. */
static inline uintptr_t object_address(const struct object *object)
{
    return object_hide(object->hidden);
}

/* NULL when there is none. */
struct object *mbi_ledger_find(uintptr_t address);

/* The same as a copy, for after the lock; false when there is none. */
bool mbi_ledger_copy(uintptr_t address, struct object *out);

/* The entry for this address, new (all 0 but where it is) or not; NULL without memory. */
struct object *mbi_ledger_enter(uintptr_t address);

void mbi_ledger_remove(uintptr_t address);

/* The next entry at or behind *place, which moves behind it; NULL at the end. */
struct object *mbi_ledger_next(size_t *place);

/* The lock of all of checked mode, which waits for forks to end: nothing can do without it. */
void mbi_check_lock(void);
void mbi_check_unlock(void);

#endif
