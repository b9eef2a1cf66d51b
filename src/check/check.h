/*
 * check: checked mode as the API calls it. The slow paths call it through core/upcalls.h, which
 * declares its other functions.
 *
 * Ladder: above home. Callers: api/, and check.c itself.
 */
#ifndef MEMORYBUCKET_CHECK_CHECK_H
#define MEMORYBUCKET_CHECK_CHECK_H

#include "core/upcalls.h"
#include "tcache/checked.h"

/* Zeroed memory for a product that no small pool serves, and that does not overflow. */
void *mbi_check_calloc_large(size_t count, size_t size_bytes);

/* Any pointer but NULL, and any size, also 0. */
void *mbi_check_realloc(void *pointer, size_t size_bytes, size_t alignment_bytes);

/* The bytes that were asked for, as what lies behind them is checked. 0 for NULL. */
size_t mbi_check_usable_bytes(const void *pointer);

/* Whether the ledger has the object, live or freed; false while checked mode is off. */
bool mbi_check_holds(const void *pointer);

/* Checks every object, reports the damaged ones, and returns their number. */
size_t mbi_heap_check(void);

/* At exit, in checked mode: does the same and reports leaks, as far as MB_CHECK asks for it. */
void mbi_heap_check_at_exit(void);

#endif
