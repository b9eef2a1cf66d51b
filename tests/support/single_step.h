/*
 * single_step: a signal after each instruction of a piece of code. x86-64 only, and not where a
 * sanitizer defers signals.
 */
#ifndef MEMORYBUCKET_TESTS_SINGLE_STEP_H
#define MEMORYBUCKET_TESTS_SINGLE_STEP_H

#include "testing.h"

#include <signal.h>

#if defined(__x86_64__) && !TEST_IS_SANITIZED
enum { CAN_SINGLE_STEP = true };
#else
enum { CAN_SINGLE_STEP = false };
#endif

enum { TRAP_FLAG = 0x100 }; /* of the processor: SIGTRAP after the next instruction */

static bool (*single_step_goes_on)(void);

/* The kernel clears the flag for the handler; it comes back with the rest of the context. */
static inline void single_step_after_each(int signal, siginfo_t *information, void *context)
{
    (void)signal;
    (void)information;
#ifdef __x86_64__
    if (!single_step_goes_on()) {
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
    }
#else
    (void)context;
#endif
}

/* Calls `work`, and `goes_on` after each of its instructions, until that says no. */
static inline void single_step(void (*work)(void), bool (*goes_on)(void))
{
    struct sigaction action = { .sa_sigaction = single_step_after_each, .sa_flags = SA_SIGINFO };
    CHECK(sigaction(SIGTRAP, &action, NULL) == 0, "sigaction");
    single_step_goes_on = goes_on;
#ifdef __x86_64__
    __asm__ volatile("pushfq; orq %0, (%%rsp); popfq" ::"i"(TRAP_FLAG) : "memory", "cc");
    work();
    __asm__ volatile("pushfq; andq %0, (%%rsp); popfq" ::"i"(~TRAP_FLAG) : "memory", "cc");
#else
    work();
#endif
}

#endif
