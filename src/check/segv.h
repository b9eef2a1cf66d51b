/*
 * segv: SIGSEGV, which guarded pages need and the program keeps.
 *
 * Ladder: above guarded. Callers: place.c; in the drop-in signals.c, for what the program asks.
 *
 * The kernel calls one of our entries in place of the program's handler, with that one's mask and
 * flags. So a fault that is not ours is handed on by a jump: its handler finds the stack, the mask
 * and the frame that the kernel would have given it, and may leave by longjmp.
 *
 *   the program: SIG_DFL         the kernel: an entry, on the alternate stack if there is one
 *                a handler                   an entry, otherwise as the program said
 *                SIG_IGN                     SIG_IGN: what is executed inherits it, calls are not
 *                                            interrupted, and faults kill, ours too
 *
 * Which handler an entry stands for never changes, so the kernel's own exchange of entries is all
 * that happens when the program sets another: no lock, nothing for fork or vfork to leave half done,
 * and any signal handler may do it. A handler that gets no entry any more (SEGV_ENTRIES) is the
 * kernel's alone.
 */
#ifndef MEMORYBUCKET_CHECK_SEGV_H
#define MEMORYBUCKET_CHECK_SEGV_H

#include "core/upcalls.h"

#include <signal.h>

enum { SEGV_ENTRIES = 16 };

/* From now on faults on guarded pages are reported, and what has SIGSEGV gets the others. */
void mbi_segv_take(void);

/* Whether that was called. */
bool mbi_segv_is_taken(void);

/* sigaction(2) of SIGSEGV as the program means it; once it is taken. Async-signal-safe. */
int mbi_segv_action(const struct sigaction *wanted, struct sigaction *before);

/* sigaction(2) of all signals as the kernel means it; in the drop-in an upcall. Async-signal-safe. */
#ifndef MEMORYBUCKET_DROPIN
static inline int mbi_next_sigaction(int signal_number, const struct sigaction *wanted,
                                     struct sigaction *before)
{
    return sigaction(signal_number, wanted, before);
}
#endif

#endif
