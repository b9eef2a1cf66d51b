/*
 * dropin/next_memory: what next.c tells of large requests.
 *
 * Ladder: above base. Callers: next.c, for all that is not plain malloc.
 */
#ifndef MEMORYBUCKET_DROPIN_NEXT_MEMORY_H
#define MEMORYBUCKET_DROPIN_NEXT_MEMORY_H

#include "core/base.h"

/* From here on a large object is a buffer: there are few of them, and each is many pages. */
#define BUFFER_BYTES_MIN ((size_t)1 << 20)

/* There is a buffer. No lock may be held. */
void mbi_next_note_buffer(void);

/* Whether the next allocator is the C library's; false before the constructor that looks. */
bool mbi_next_is_c_library(void);

#endif
