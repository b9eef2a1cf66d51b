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

/* Sets the processor's trap flag, or clears it; errno is for `after_each` to keep. */
static inline void single_step_set(bool on)
{
#if defined(__x86_64__)
    if (on) {
        __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
    } else {
        __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
    }
#else
    (void)on;
#endif
}

/* Calls `work`, and `after_each` after each of its instructions, on the same thread. */
static inline void single_step(void (*work)(void), void (*after_each)(int signal))
{
    struct sigaction action = { .sa_handler = after_each };
    CHECK(sigaction(SIGTRAP, &action, NULL) == 0, "sigaction");
    single_step_set(true);
    work();
    single_step_set(false);
}

#endif
