/*
 * check: what the API and checked mode's own parts ask of it. The slow paths hand over to it by
 * core/upcalls.h, which has its other functions.
 *
 * Ladder: above heap and home. Callers: api/, check/.
 */
#ifndef MEMORYBUCKET_CHECK_CHECK_H
#define MEMORYBUCKET_CHECK_CHECK_H

#include "core/upcalls.h"
#include "tcache/checked.h"

/* Zeroed memory for a product above 512 that does not overflow. */
void *mbi_check_calloc_large(size_t count, size_t size_bytes);

/* Any pointer, also NULL, and any size, also 0. */
void *mbi_check_realloc(void *pointer, size_t size_bytes, size_t alignment_bytes);

/* Exactly what was asked for: what lies behind it is checked. 0 for NULL. */
size_t mbi_check_usable_bytes(const void *pointer);

/* Whether it knows the object, live or freed; false while it is off. */
bool mbi_check_holds(const void *pointer);

/* Slots of a class that were freed and are kept from being used again. */
size_t mbi_check_quarantined(size_t class);

#endif
