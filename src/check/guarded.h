/*
 * guarded: objects on pages of their own, so that the processor reports a read or a write behind
 * them, and any after they were freed.
 *
 * Ladder: above ledger and report. Callers: home.c, check.c, faults.c and segv.c, under the check
 * lock where it says so; in the drop-in signals.c, for the program's calls.
 *
 *   | guard | page 0 | guard | page 1 | guard | ...     an object ends where its page ends, but for
 *                ^object                                its alignment; a guard has no access until
 *                                                       a fault on it was reported
 *
 * Electric Fence does this for all objects, and GWP-ASan for a sample. While at least half of the
 * GUARDED_PAGES are free each object gets one, later every GUARDED_SHARE-th object, until none is
 * left. The page that was freed longest ago is used again first.
 *
 * SIGSEGV stays the program's (segv.c). The kernel calls one of our entries in place of the
 * program's handler, with the mask and flags that the program chose. The entry reports a fault on a
 * guarded page, and jumps to the program's handler for any other fault. So that handler finds the
 * stack, the mask and the frame that the kernel would have given it, and may leave by longjmp.
 *
 *   the program: SIG_DFL         the kernel: an entry, on the alternate stack if there is one
 *                a handler                   an entry, otherwise as the program said
 *                SIG_IGN                     SIG_IGN: executed programs inherit it, calls are not
 *                                            interrupted, and every fault kills
 *
 * An entry stands for one handler for ever. So a new handler changes only the kernel's entry: there
 * is no lock, fork and vfork leave nothing half done, and a signal handler may set one. After
 * SEGV_ENTRIES handlers the kernel gets the program's own, and faults are no longer reported.
 */
#ifndef MEMORYBUCKET_CHECK_GUARDED_H
#define MEMORYBUCKET_CHECK_GUARDED_H

#include "check/ledger.h"
#include "core/upcalls.h"

#include <signal.h>

enum { GUARDED_PAGES = 8192, GUARDED_SHARE = 16 };

/* Reserves the pages; false, with no pages, when the kernel gives no address space. */
bool mbi_guarded_init(void);

/* Whether an address lies among the pages. */
bool mbi_guarded_holds(const void *pointer);

/* Finds memory for an object of so many bytes; NULL when it gets no page. Under the lock. */
void *mbi_guarded_take(size_t size_bytes, size_t alignment_bytes, size_t *room_bytes);

/* Closes the page of a freed object. Under the lock. */
void mbi_guarded_free(struct object *object);

/* Copies the object on the page that an address lies on, or in front of the guard that it lies on;
 * false when that page never had one. Takes the check lock. */
bool mbi_guarded_find(const void *pointer, struct object *out);

/*
 * Called in a signal handler with a fault and its context. Reports a fault on a guarded page, and
 * opens the page, so that the process can go on. False when the fault is not ours. Takes the check
 * lock; preserves errno.
 */
bool mbi_guarded_take_fault(const siginfo_t *info, const void *context);

enum { SEGV_ENTRIES = 16 };

/* Takes the signal: from now on faults on guarded pages are reported. */
void mbi_segv_take(void);

/* Whether that was called. */
bool mbi_segv_is_taken(void);

/* sigaction(2) of SIGSEGV as the program means it, after mbi_segv_take. Async-signal-safe. */
int mbi_segv_action(const struct sigaction *wanted, struct sigaction *before);

/* sigaction(2) of any signal as the kernel means it; in the drop-in an upcall. */
#ifndef MEMORYBUCKET_DROPIN
static inline int mbi_next_sigaction(int signal_number, const struct sigaction *wanted,
                                     struct sigaction *before)
{
    return sigaction(signal_number, wanted, before);
}
#endif

#endif
