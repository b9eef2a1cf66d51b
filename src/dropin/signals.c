/*
 * dropin/signals: a program sees and sets its own disposition of SIGSEGV while checked mode has the
 * signal (check/guarded.h). Rust's runtime, for one, sets its handler only where it finds SIG_DFL.
 *
 * Ladder: above check/guarded.
 *
 * Other signals, and all signals without checked mode, go to the next functions in link order: the
 * C library's, or those of a library that chains signals (Java's libjsig). A constructor finds the
 * functions, as signal handlers and children of a fork may call them, and must not need the
 * loader's lock.
 *
 * sigignore, siginterrupt, sighold and sigrelse are left alone: what they do to the kernel's
 * disposition is right with our entry in it.
 */
#include "check/guarded.h"
#include "dropin/names.h"

#include <errno.h>

typedef int sigaction_function(int, const struct sigaction *, struct sigaction *);
typedef void handler_function(int);
typedef handler_function *signal_function(int, handler_function *);

/* The C library's sigaction, known without a search. */
int c_library_sigaction(int signal_number, const struct sigaction *wanted,
                        struct sigaction *before) __asm__("__sigaction");

static struct {
    _Atomic uintptr_t sigaction;
    _Atomic uintptr_t signal;
    _Atomic uintptr_t sysv_signal;
    _Atomic uintptr_t sigset;
} next;

/* Takes the place of a function that the C library lacks. */
static handler_function *absent(int signal_number, handler_function *handler)
{
    (void)signal_number;
    (void)handler;
    errno = ENOSYS;
    return SIG_ERR;
}

static void find(_Atomic uintptr_t *function, const char *name, uintptr_t otherwise)
{
    uintptr_t symbol = mbi_next_symbol(name);
    found_set(function, symbol != 0 ? symbol : otherwise);
}

__attribute__((constructor)) static MBI_COLD void find_next(void)
{
    find(&next.signal, "signal", (uintptr_t)absent);
    find(&next.sysv_signal, "sysv_signal", (uintptr_t)absent);
    find(&next.sigset, "sigset", (uintptr_t)absent);
    find(&next.sigaction, "sigaction", (uintptr_t)c_library_sigaction);
}

/* Calls may come before the constructor, and then find the functions. */
#define NEXT(type, name)                                                                           \
    (found_address(&next.name) == 0 ? find_next() : (void)0, FOUND(type, next.name))

static inline bool is_ours(int signal_number)
{
    return MBI_UNLIKELY(signal_number == SIGSEGV) && mbi_segv_is_taken();
}

/* Does not search: checked mode calls it inside the first malloc, where dlsym is forbidden. */
int mbi_next_sigaction(int signal_number, const struct sigaction *wanted, struct sigaction *before)
{
    sigaction_function *function = FOUND(sigaction_function, next.sigaction);
    return (function != NULL ? function : c_library_sigaction)(signal_number, wanted, before);
}

EXPORT int sigaction(int signal_number, const struct sigaction *wanted, struct sigaction *before)
{
    return is_ours(signal_number)
               ? mbi_segv_action(wanted, before)
               : NEXT(sigaction_function, sigaction)(signal_number, wanted, before);
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

/* SIG_ERR is no handler, and the next function says so. */
static inline bool sets_ours(int signal_number, handler_function *handler)
{
    return is_ours(signal_number) && handler != SIG_ERR;
}

/* BSD's semantics; but after siginterrupt(SIGSEGV, 1) calls are still restarted. */
EXPORT handler_function *signal(int signal_number, handler_function *handler)
{
    return sets_ours(signal_number, handler)
               ? set(handler, SA_RESTART, true)
               : NEXT(signal_function, signal)(signal_number, handler);
}

/* System V's semantics, which signal has in a program that is compiled for X/Open alone. */
EXPORT handler_function *sysv_signal(int signal_number, handler_function *handler)
{
    return sets_ours(signal_number, handler)
               ? set(handler, (unsigned)SA_RESETHAND | SA_NODEFER | SA_INTERRUPT, false)
               : NEXT(signal_function, sysv_signal)(signal_number, handler);
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
    return sets_ours(signal_number, handler)
               ? set_and_mask(handler)
               : NEXT(signal_function, sigset)(signal_number, handler);
}

/* Second names that the C library has. */
EXPORT_ALIAS(bsd_signal, signal);
EXPORT_ALIAS(ssignal, signal);
EXPORT_ALIAS(__sysv_signal, sysv_signal);
