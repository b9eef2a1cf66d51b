/* segv: the entries, and the faults that they pass on. */
#include "check/guarded.h"
#include "core/os.h"

#include <errno.h>

/* Set once, by mbi_segv_take. */
static _Atomic bool is_taken;

/*
 * What the program asked for and the kernel does not get, a word for each entry: the flags below in
 * the lowest bits, and the handler above them; 0 for a free entry.
 *
 * relaxed [SEGV-ENTRY]: a word is written once, before the kernel gets the entry. A thread reads it
 * when the kernel calls the entry or returns it.
 */
enum {
    SAID_SOMETHING = 1,
    SAID_SIGINFO = 2,
    SAID_ONSTACK = 4,
    SAID_RESETHAND = 8,
    SAID_HANDLER_SHIFT = 4
};
static _Atomic uintptr_t said[SEGV_ENTRIES];

static uintptr_t said_by(size_t entry)
{
    return atomic_load_explicit(&said[entry], memory_order_relaxed); /* [SEGV-ENTRY] */
}

/* 0 when the handler's address does not fit. */
static uintptr_t word_of(const struct sigaction *wanted)
{
    unsigned flags = (unsigned)wanted->sa_flags;
    uintptr_t handler = (uintptr_t)wanted->sa_handler;
    uintptr_t word = handler << SAID_HANDLER_SHIFT | SAID_SOMETHING;
    word |= (flags & SA_SIGINFO) != 0 ? SAID_SIGINFO : 0U;
    word |= (flags & SA_ONSTACK) != 0 ? SAID_ONSTACK : 0U;
    word |= (flags & SA_RESETHAND) != 0 ? SAID_RESETHAND : 0U;
    return word >> SAID_HANDLER_SHIFT == handler ? word : 0;
}

static void (*handler_of(uintptr_t word))(int)
{
    return (void (*)(int))(word >> SAID_HANDLER_SHIFT);
}

static int flags_of(uintptr_t word)
{
    unsigned flags = (word & SAID_SIGINFO) != 0 ? SA_SIGINFO : 0U;
    flags |= (word & SAID_ONSTACK) != 0 ? SA_ONSTACK : 0U;
    flags |= (word & SAID_RESETHAND) != 0 ? SA_RESETHAND : 0U;
    return (int)flags;
}

/*
 * Ends the process as the kernel would: an access faults again when the entry returns, and a signal
 * that was sent is sent again, with its sender.
 */
static MBI_COLD void die(int signal_number, const siginfo_t *info)
{
    struct sigaction action = { .sa_handler = SIG_DFL };
    int saved_errno = errno;
    (void)mbi_next_sigaction(signal_number, &action, NULL);
    if (info->si_code <= 0 || info->si_code == SI_KERNEL) {
        mbi_os_queue_signal(signal_number, info);
    }
    errno = saved_errno;
}

/* SA_RESETHAND: all but the handler stays, as in the kernel. */
static MBI_COLD void reset(uintptr_t word)
{
    struct sigaction action;
    if (mbi_segv_action(NULL, &action) == 0 && action.sa_handler == handler_of(word)) {
        action.sa_handler = SIG_DFL;
        (void)mbi_segv_action(&action, NULL);
    }
}

/* Where the compiler makes tail calls, the program's handler finds no frame of ours below it. */
static __attribute__((noinline)) void enter(int signal_number, siginfo_t *info, void *context,
                                            size_t entry)
{
    uintptr_t word = said_by(entry);
    if (info->si_code > 0 && mbi_guarded_take_fault(info, context)) {
        return;
    }
    if (handler_of(word) == SIG_DFL) {
        die(signal_number, info);
        return;
    }
    if ((word & SAID_RESETHAND) != 0) {
        reset(word);
    }
    if ((word & SAID_SIGINFO) != 0) {
        ((void (*)(int, siginfo_t *, void *))(word >> SAID_HANDLER_SHIFT))(signal_number, info,
                                                                          context);
    } else {
        handler_of(word)(signal_number);
    }
}

#define FOR_EACH_ENTRY(DO)                                                                         \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)                                                \
    DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15)
#define DEFINE(n)                                                                                  \
    static void entry_##n(int signal_number, siginfo_t *info, void *context)                       \
    {                                                                                              \
        enter(signal_number, info, context, n);                                                    \
    }
#define NAME(n) entry_##n,
FOR_EACH_ENTRY(DEFINE)
static void (*const entries[])(int, siginfo_t *, void *) = { FOR_EACH_ENTRY(NAME) };
_Static_assert(sizeof entries / sizeof entries[0] == SEGV_ENTRIES, "each has a word");

/* The entry that stands for a word, or from now on does; SEGV_ENTRIES when none is free. */
static size_t find_entry(uintptr_t word)
{
    size_t entry = 0;
    while (entry < SEGV_ENTRIES) {
        uintptr_t found = 0;
        /* [SEGV-ENTRY]; a failed exchange reads the word that the entry has. */
        if (atomic_compare_exchange_strong_explicit(&said[entry], &found, word,
                                                    memory_order_relaxed, memory_order_relaxed)
            || found == word) {
            break;
        }
        entry++;
    }
    return entry;
}

/* Turns what the program asks for into what the kernel gets. */
static void tell_kernel(struct sigaction *action)
{
    uintptr_t word = action->sa_handler != SIG_IGN ? word_of(action) : 0;
    size_t entry = word != 0 ? find_entry(word) : SEGV_ENTRIES;
    if (entry < SEGV_ENTRIES) {
        unsigned flags = (unsigned)action->sa_flags & ~(unsigned)SA_RESETHAND;
        flags |= SA_SIGINFO;
        flags |= action->sa_handler == SIG_DFL ? SA_ONSTACK : 0U;
        action->sa_flags = (int)flags;
        action->sa_sigaction = entries[entry];
    }
}

/* Turns what the kernel has into what the program asked for. */
static void tell_program(struct sigaction *action)
{
    for (size_t entry = 0; entry < SEGV_ENTRIES; entry++) {
        if (action->sa_sigaction == entries[entry]) {
            uintptr_t word = said_by(entry);
            action->sa_flags &= ~(int)(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND);
            action->sa_flags |= flags_of(word);
            action->sa_handler = handler_of(word);
            return;
        }
    }
}

int mbi_segv_action(const struct sigaction *wanted, struct sigaction *before)
{
    struct sigaction action;
    struct sigaction was;
    if (wanted != NULL) {
        action = *wanted;
        tell_kernel(&action);
    }
    int status = mbi_next_sigaction(SIGSEGV, wanted != NULL ? &action : NULL, &was);
    if (status == 0 && before != NULL) {
        tell_program(&was);
        *before = was;
    }
    return status;
}

bool mbi_segv_is_taken(void)
{
    return flag_is_set(&is_taken);
}

void mbi_segv_take(void)
{
    struct sigaction action;
    flag_set(&is_taken, true);
    if (mbi_segv_action(NULL, &action) == 0) {
        (void)mbi_segv_action(&action, NULL);
    }
}
