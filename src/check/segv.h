/*
 * segv: SIGSEGV, which guarded pages need and the program keeps.
 *
 * Ladder: above guarded. Callers: home.c; in the drop-in signals.c, for the program's calls.
 *
 * In place of the program's handler the kernel calls one of our entries, with the mask and flags
 * that the program chose. The entry reports a fault on a guarded page, and jumps to the program's
 * handler for any other. So that handler finds the stack, the mask and the frame that the kernel
 * would have given it, and may leave by longjmp.
 *
 *   the program: SIG_DFL         the kernel: an entry, on the alternate stack if there is one
 *                a handler                   an entry, otherwise as the program said
 *                SIG_IGN                     SIG_IGN: executed programs inherit it, calls are not
 *                                            interrupted, and every fault kills
 *
 * An entry stands for one handler for ever. So when the program sets another handler, the kernel
 * exchanges entries and nothing else changes: there is no lock, fork and vfork leave nothing half
 * done, and a signal handler may set one. After SEGV_ENTRIES handlers the kernel gets the program's
 * own, and faults are no longer reported.
 */
#ifndef MEMORYBUCKET_CHECK_SEGV_H
#define MEMORYBUCKET_CHECK_SEGV_H

#include "core/upcalls.h"

#include <signal.h>

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
