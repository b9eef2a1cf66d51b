/*
 * guarded: objects on pages of their own, so that the processor itself reports a read or a write
 * behind them, or after they were freed.
 *
 * Ladder: above quarantine and report. Callers: place.c, check.c, faults.c and segv.c, under the
 * check lock where it says so.
 *
 *   | never | page 0 | never | page 1 | never | ...       never: no access, until one was reported
 *                ^object, at the end of its page but for its alignment
 *
 * As with Electric Fence and GWP-ASan, which does it for a sample of all objects in production. The
 * pages are few (GUARDED_PAGES): while at least half are free each object gets one, and then every
 * GUARDED_SHARE-th, until none is left. A page is used again when it is the longest unused.
 */
#ifndef MEMORYBUCKET_CHECK_GUARDED_H
#define MEMORYBUCKET_CHECK_GUARDED_H

#include "check/ledger.h"

#include <signal.h>

enum { GUARDED_PAGES = 8192, GUARDED_SHARE = 16 };

/* Reserves the pages. False, and everything off, when the kernel gives no address space. */
bool mbi_guarded_init(void);

/* Whether an address lies among the pages. */
bool mbi_guarded_holds(const void *pointer);

/* A place for an object of so many bytes at a free page's end; NULL when it gets none. Locked. */
void *mbi_guarded_take(size_t size_bytes, size_t alignment_bytes, size_t *room_bytes);

/* The object is freed: from now on nobody reads or writes there. Locked. */
void mbi_guarded_free(struct object *object);

/* A copy of the object whose page, or guard behind it, an address among the pages lies in; false
 * when none has been there. Takes the check lock. */
bool mbi_guarded_find(const void *pointer, struct object *out);

/*
 * Of a signal handler, for a fault and its context: reports it if it is on such a page, and makes
 * the page accessible, so that it goes on where it shall. False when it is somebody else's. Takes
 * the check lock; preserves errno.
 */
bool mbi_guarded_take_fault(const siginfo_t *info, const void *context);

#endif
