/*
 * handler_first: a handler of SIGSEGV that was there before the library came up gets the faults
 * that are its own, on the stack and with the mask that it asked for; guarded pages are reported.
 *
 * Run under MB_CHECK=1 and MB_CHECK_CONTINUE=1. Reports go to a file, which it reads.
 */
#include "check.h"
#include "memorybucket/memorybucket.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096, STACK_BYTES = 256 << 10 };

static char *page;
static char signal_stack[STACK_BYTES];
static volatile int calls;

static void on_fault(int number, siginfo_t *information, void *context)
{
    sigset_t mask;
    char here;
    CHECK(number == SIGSEGV && information->si_code == SEGV_ACCERR && context != NULL);
    CHECK(information->si_addr == page);
    CHECK((uintptr_t)&here - (uintptr_t)signal_stack < STACK_BYTES);
    CHECK(sigprocmask(SIG_SETMASK, NULL, &mask) == 0);
    CHECK(sigismember(&mask, SIGUSR1) == 1 && sigismember(&mask, SIGSEGV) == 0);
    CHECK(mprotect(page, PAGE_BYTES, PROT_READ | PROT_WRITE) == 0);
    calls++;
}

/* Before the constructors of any library; nothing but system calls is ready then. */
static void set_handler(void)
{
    struct sigaction action = { .sa_sigaction = on_fault,
                                .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    (void)sigemptyset(&action.sa_mask);
    (void)sigaddset(&action.sa_mask, SIGUSR1);
    (void)sigaction(SIGSEGV, &action, NULL);
}
__attribute__((section(".preinit_array"), used)) static void (*const first)(void) = set_handler;

static void use_after_free(void)
{
    static char text[4096];
    char *volatile object = mb_alloc(40);
    CHECK(object != NULL);
    mb_free(object);
    (void)*(volatile char *)(object + 11);
    CHECK(pread(STDERR_FILENO, text, sizeof text - 1, 0) > 0);
    CHECK(strstr(text, "memorybucket: use after free: read of byte 11") != NULL);
    CHECK(ftruncate(STDERR_FILENO, 0) == 0 && lseek(STDERR_FILENO, 0, SEEK_SET) == 0);
}

int main(void)
{
    int file = memfd_create("stderr", 0);
    int stderr_before = dup(STDERR_FILENO);
    stack_t stack = { .ss_sp = signal_stack, .ss_size = STACK_BYTES };
    CHECK(file >= 0 && stderr_before >= 0 && sigaltstack(&stack, NULL) == 0);
    page = mmap(NULL, PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED && dup2(file, STDERR_FILENO) == STDERR_FILENO);
    use_after_free();
    *(volatile char *)page = 'x';
    atomic_signal_fence(memory_order_seq_cst); /* the handler was here */
    CHECK(calls == 1);
    use_after_free();
    CHECK(calls == 1 && dup2(stderr_before, STDERR_FILENO) == STDERR_FILENO);
    return 0;
}
