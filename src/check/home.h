/*
 * home: where the objects of checked mode lie, and how long their memory waits after a free.
 *
 * Ladder: above faults and guarded. Callers: check.c, and stats.c for a count; without any lock.
 *
 *   alloc: a guarded page, the slot that was freed longest ago, a fresh slot, or the system's
 *   free:  filled, and kept in quarantine; a slot never goes back to its pool
 */
#ifndef MEMORYBUCKET_CHECK_HOME_H
#define MEMORYBUCKET_CHECK_HOME_H

#include "check/ledger.h"
#include "check/stacks.h"

/*
 * Finds memory for object->size_bytes and fills in where it is; false when there is none. Reports
 * damage to memory that it uses again; `now` is the calling thread's stack.
 */
bool mbi_home_find(struct object *object, size_t alignment_bytes, const struct stack *now);

/* Gives back memory that was found and not entered in the ledger; a guarded page stays unused. */
void mbi_home_undo(const struct object *object);

/* Keeps the memory of a freed object; takes a copy of its entry, after all checks. */
void mbi_home_keep(const struct object *object, const struct stack *now);

/* How many slots of a class are quarantined; 0 while checked mode is off. */
size_t mbi_home_quarantined(size_t class);

#endif
