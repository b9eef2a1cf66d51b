/*
 * dropin/signals: a program sees and sets its own disposition of SIGSEGV while checked mode has the
 * signal (check/segv.h). Rust's runtime, for one, sets its handler only where it finds SIG_DFL.
 *
 * Ladder: above check/segv.
 *
 * All else, and everything without checked mode, goes to the next functions in link order: the C
 * library's, or those of a library that chains signals (Java's libjsig). They are found when the drop-in
 * is loaded, so that no signal handler and no child of a fork, which may call all of this, comes to
 * need the loader's lock.
 *
 * Not here: sigignore, siginterrupt, sighold, sigrelse. What they do to the kernel's disposition is
 * right with ours in it.
 */
#include "check/segv.h"
#include "dropin/export.h"
#include "dropin/next_symbol.h"

#include <errno.h>

typedef int sigaction_function(int, const struct sigaction *, struct sigaction *);
typedef void handler_function(int);
typedef handler_function *signal_function(int, handler_function *);

/* The C library's own, which needs no search. */
int c_library_sigaction(int signal_number, const struct sigaction *wanted,
                        struct sigaction *before) __asm__("__sigaction");

/* relaxed [NEXT-SIGNALS]: several threads may find the same. */
static struct {
    _Atomic(sigaction_function *) sigaction;
    _Atomic(signal_function *) signal;
    _Atomic(signal_function *) sysv_signal;
    _Atomic(signal_function *) sigset;
} next;

#define NEXT(name) atomic_load_explicit(&next.name, memory_order_relaxed) /* [NEXT-SIGNALS] */

/* In place of what a C library may have dropped. */
static handler_function *absent(int signal_number, handler_function *handler)
{
    (void)signal_number;
    (void)handler;
    errno = ENOSYS;
    return SIG_ERR;
}

static uintptr_t find(const char *name, uintptr_t otherwise)
{
    void *symbol = mbi_next_symbol(name);
    return symbol != NULL ? (uintptr_t)symbol : otherwise;
}

#define FIND(name, type, otherwise)                                                                \
    atomic_store_explicit(&next.name, (type *)find(#name, (uintptr_t)(otherwise)),                 \
                          memory_order_relaxed) /* [NEXT-SIGNALS] */

__attribute__((constructor)) static MBI_COLD void find_next(void)
{
    FIND(signal, signal_function, absent);
    FIND(sysv_signal, signal_function, absent);
    FIND(sigset, signal_function, absent);
    FIND(sigaction, sigaction_function, c_library_sigaction);
}

static inline bool is_ours(int signal_number)
{
    return MBI_UNLIKELY(signal_number == SIGSEGV) && mbi_segv_is_taken();
}

/* For what comes before our constructor. Each for itself: another thread may have found some of them. */
#define NEED(name)                                                                                 \
    do {                                                                                           \
        if (MBI_UNLIKELY(NEXT(name) == NULL)) {                                                    \
            find_next();                                                                           \
        }                                                                                          \
    } while (0)

/* Checked mode takes the signal inside the first malloc, where dlsym must not be called. */
int mbi_next_sigaction(int signal_number, const struct sigaction *wanted, struct sigaction *before)
{
    sigaction_function *function = NEXT(sigaction);
    return (function != NULL ? function : c_library_sigaction)(signal_number, wanted, before);
}

EXPORT int sigaction(int signal_number, const struct sigaction *wanted, struct sigaction *before)
{
    NEED(sigaction);
    return is_ours(signal_number) ? mbi_segv_action(wanted, before)
                                  : NEXT(sigaction)(signal_number, wanted, before);
}

static handler_function *set(handler_function *handler, unsigned flags, bool masks_itself)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = (int)flags };
    struct sigaction before;
    (void)sigemptyset(&action.sa_mask);
    if (masks_itself) {
        (void)sigaddset(&action.sa_mask, SIGSEGV);
    }
    return mbi_segv_action(&action, &before) == 0 ? before.sa_handler : SIG_ERR;
}

/* The next one also says that SIG_ERR is no handler. */
static inline bool sets_ours(int signal_number, handler_function *handler)
{
    return is_ours(signal_number) && handler != SIG_ERR;
}

/* As BSD's; after siginterrupt(SIGSEGV, 1) it should restart no calls, and does. */
EXPORT handler_function *signal(int signal_number, handler_function *handler)
{
    NEED(signal);
    return sets_ours(signal_number, handler) ? set(handler, SA_RESTART, true)
                                             : NEXT(signal)(signal_number, handler);
}

/* As System V's: what signal means to a program that is compiled for X/Open alone. */
EXPORT handler_function *sysv_signal(int signal_number, handler_function *handler)
{
    NEED(sysv_signal);
    return sets_ours(signal_number, handler)
               ? set(handler, (unsigned)SA_RESETHAND | SA_NODEFER | SA_INTERRUPT, false)
               : NEXT(sysv_signal)(signal_number, handler);
}

static handler_function *set_and_mask(handler_function *handler)
{
    sigset_t only;
    sigset_t before;
    struct sigaction action = { .sa_handler = SIG_ERR };
    bool holds = handler == SIG_HOLD;
    (void)sigemptyset(&only);
    (void)sigaddset(&only, SIGSEGV);
    if (holds) {
        (void)mbi_segv_action(NULL, &action);
    } else {
        action.sa_handler = set(handler, 0, false);
    }
    if (action.sa_handler == SIG_ERR
        || pthread_sigmask(holds ? SIG_BLOCK : SIG_UNBLOCK, &only, &before) != 0) {
        return SIG_ERR;
    }
    return sigismember(&before, SIGSEGV) != 0 ? SIG_HOLD : action.sa_handler;
}

EXPORT handler_function *sigset(int signal_number, handler_function *handler)
{
    NEED(sigset);
    return sets_ours(signal_number, handler) ? set_and_mask(handler)
                                             : NEXT(sigset)(signal_number, handler);
}

/* Their second names. */
EXPORT_ALIAS(bsd_signal, signal);
EXPORT_ALIAS(ssignal, signal);
EXPORT_ALIAS(__sysv_signal, sysv_signal);
