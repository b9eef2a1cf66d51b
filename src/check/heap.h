/*
 * heap: all objects at once: mb_check_heap, and what is looked at when the process ends.
 *
 * Ladder: above faults. Callers: api.c and memory.c.
 */
#ifndef MEMORYBUCKET_CHECK_HEAP_H
#define MEMORYBUCKET_CHECK_HEAP_H

#include "check/ledger.h"

/* Checks every object; how many were found that something is wrong with, and reported. */
size_t mbi_heap_check(void);

/* That, and a report of the small objects that are still live, if they are asked for. */
void mbi_heap_check_at_exit(void);

/* Defined in check.c: not one that a fork brought along. Under the check lock. */
bool mbi_check_is_of_this_process(const struct object *object);

#endif
