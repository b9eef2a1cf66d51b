/*
 * heap: checks of all objects at once, for mb_check_heap and for the end of the process.
 *
 * Ladder: above faults. Callers: src/api/.
 */
#ifndef MEMORYBUCKET_CHECK_HEAP_H
#define MEMORYBUCKET_CHECK_HEAP_H

#include "core/base.h"

/* Checks every object, reports the damaged ones, and returns their number. */
size_t mbi_heap_check(void);

/* The same, and a report of the small objects that are still live, as far as they are asked for. */
void mbi_heap_check_at_exit(void);

#endif
