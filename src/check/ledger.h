/*
 * ledger: what checked mode knows of each object, found by its address; and quarantines, queues of
 * freed objects whose memory must not be used again yet.
 *
 * Ladder: above core/os. Callers: the rest of check/, under the check lock.
 *
 *   entries     open addressing, linear probing, at most half full; a free entry is all zeros
 *   quarantine  oldest ─> ... ─> newest, linked through the objects' entries by address
 *
 * Adding or removing an entry moves others: a pointer to an entry lasts until then.
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
    uintptr_t hidden; /* its address, complemented: memcheck must not take this for a reference */
    size_t size_bytes; /* as the program asked for it */
    size_t room_bytes; /* from the address to the end of what is checked behind it */
    uintptr_t next_freed; /* in its quarantine; 0: the newest */
    uint32_t alloc_stack;
    uint32_t free_stack;
    int32_t alloc_thread;
    int32_t free_thread;
    uint32_t generation; /* mbi_ledger_generation at its allocation */
    uint8_t home;
    uint8_t state;
    uint8_t class; /* the slot's pool; elsewhere the pool that would serve it */
    bool filled;   /* freed, and every byte of it is FREED_BYTE */
    bool reported; /* a report about it was written */
};

/* The number of forks between the first process and this one. An object of another generation is
 * the parent's, and no leak of this process. */
extern MBI_HIDDEN uint32_t mbi_ledger_generation;

static inline uintptr_t object_hide(uintptr_t address)
{
    return address != 0 ? ~address : 0;
}

/* 0 for an object that has no home yet. */
static inline uintptr_t object_address(const struct object *object)
{
    return object_hide(object->hidden);
}

/* NULL when there is none. */
struct object *mbi_ledger_find(uintptr_t address);

/* Copies an entry, which the caller may use after the lock; false when there is none. */
bool mbi_ledger_copy(uintptr_t address, struct object *out);

/* The entry for this address: the one that is there, or a new one, all 0 but for its address. NULL
 * without memory. */
struct object *mbi_ledger_enter(uintptr_t address);

void mbi_ledger_remove(uintptr_t address);

/* For walks that begin with *index = 0: the next entry; NULL at the end. */
struct object *mbi_ledger_next(size_t *index);

/* Take and give back LOCK_CHECK, the lock of all of checked mode. Taking it waits for forks. */
void mbi_check_lock(void);
void mbi_check_unlock(void);

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

/* Takes out the oldest object, which stays in the ledger; NULL when the quarantine is empty. */
static inline struct object *quarantine_take(struct quarantine *quarantine)
{
    struct object *object = quarantine->oldest != 0 ? mbi_ledger_find(quarantine->oldest) : NULL;
    if (object != NULL) {
        quarantine->oldest = object->next_freed;
        quarantine->bytes -= object->room_bytes;
        quarantine->count--;
    }
    return object;
}

#endif
