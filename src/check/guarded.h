/*
 * guarded: objects on pages of their own, so that the processor reports a read or a write behind
 * them, and any after they were freed.
 *
 * Ladder: above ledger and report. Callers: home.c, check.c, faults.c and segv.c, under the check
 * lock where it says so.
 *
 *   | guard | page 0 | guard | page 1 | guard | ...     a guard has no access, until a fault on it
 *                ^object, at the end of its page        was reported
 *                 but for its alignment
 *
 * Electric Fence does this, and GWP-ASan for a sample of the objects in production. There are
 * GUARDED_PAGES pages. While at least half are free each object gets one, and then every
 * GUARDED_SHARE-th, until none is left. The page that was freed longest ago is used again first.
 */
#ifndef MEMORYBUCKET_CHECK_GUARDED_H
#define MEMORYBUCKET_CHECK_GUARDED_H

#include "check/ledger.h"

#include <signal.h>

enum { GUARDED_PAGES = 8192, GUARDED_SHARE = 16 };

/* Reserves the pages. False, and there are none, when the kernel gives no address space. */
bool mbi_guarded_init(void);

/* Whether an address lies among the pages. */
bool mbi_guarded_holds(const void *pointer);

/* Finds memory for an object of so many bytes; NULL when it gets no page. Locked. */
void *mbi_guarded_take(size_t size_bytes, size_t alignment_bytes, size_t *room_bytes);

/* Closes the page of a freed object. Locked. */
void mbi_guarded_free(struct object *object);

/* Copies the object on whose page, or in whose guard behind it, an address among the pages lies;
 * false when the page never had one. Takes the check lock. */
bool mbi_guarded_find(const void *pointer, struct object *out);

/*
 * Called in a signal handler with a fault and its context. Reports a fault on a guarded page, and
 * opens the page, so that the process can go on. False when the fault is not ours. Takes the check
 * lock; preserves errno.
 */
bool mbi_guarded_take_fault(const siginfo_t *info, const void *context);

#endif
