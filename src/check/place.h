/*
 * place: where the objects of checked mode lie, and how long their memory waits once they are
 * freed.
 *
 * Ladder: above faults and guarded. Callers: check.c, without any lock.
 *
 *   alloc: a guarded page, or the slot that was freed longest ago, or a fresh one, or the system's
 *   free:  filled, and kept in quarantine; never back to the pools
 */
#ifndef MEMORYBUCKET_CHECK_PLACE_H
#define MEMORYBUCKET_CHECK_PLACE_H

#include "check/ledger.h"
#include "check/stacks.h"

/* Under the init lock. */
void mbi_place_init(void);

/* Whether memcheck or a sanitizer sees what the system allocator does. Constant after init. */
bool mbi_place_is_watched(void);

/*
 * Finds memory for object->size_bytes and fills in where it is; false when there is none. What is
 * found wrong with memory that is used again is reported, as seen from the stack `now`.
 */
bool mbi_place_object(struct object *object, size_t alignment_bytes, const struct stack *now);

/* Gives back what was placed and not entered in the ledger; a guarded page stays unused. */
void mbi_place_undo(const struct object *object);

/* Of a copy of a freed object's entry, after everything was checked: its memory waits. */
void mbi_place_keep(const struct object *object, const struct stack *now);

/* Slots of a class that wait. */
size_t mbi_place_quarantined(size_t class);

#endif
