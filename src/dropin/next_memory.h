/*
 * dropin/next_memory: what next.c asks about the next allocator.
 *
 * Ladder: above base. Callers: next.c.
 */
#ifndef MEMORYBUCKET_DROPIN_NEXT_MEMORY_H
#define MEMORYBUCKET_DROPIN_NEXT_MEMORY_H

#include "core/base.h"

/* Whether the next allocator is the C library's; false before the constructor that looks. */
bool mbi_next_is_c_library(void);

#endif
