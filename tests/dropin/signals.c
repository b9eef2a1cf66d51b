/*
 * signals: SIGSEGV is the program's, whatever checked mode does with it.
 *
 * Usage: signals plain      as the kernel has it: on the C library, on the drop-in without checks
 *        signals checked    the same, and a use after free is reported all the while
 *        signals dies       a use after free ends the process in spite of the program's handler
 *        signals inherits   exit status 0 when SIGSEGV was ignored at the start
 *
 * Each case is a process of its own, whose stderr is a file, so that it can count reports.
 */
#include "check.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096, STACK_BYTES = 256 << 10, FAULTS = 5000 };

static bool checked;
static char *page; /* without access */
static char *signal_stack;

static sigjmp_buf out;
static volatile sig_atomic_t calls;
static siginfo_t seen;
static sigset_t seen_mask;
static uintptr_t seen_frame;

/* Not declared in each mode, or with a warning. */
typedef void handler_function(int);
handler_function *call_bsd_signal(int number, handler_function *handler) __asm__("bsd_signal");
handler_function *call_xopen_signal(int number, handler_function *handler) __asm__("__sysv_signal");
handler_function *call_sigset(int number, handler_function *handler) __asm__("sigset");
int call_sigignore(int number) __asm__("sigignore");
int call_siginterrupt(int number, int interrupts) __asm__("siginterrupt");

/* After what calls a handler: the compiler is to look again at what that has written. */
static void look_again(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}

static void fault(void)
{
    *(volatile char *)page = 'x';
    look_again();
}

/* NOLINTBEGIN(bugprone-signal-handler): they come at known points, and not inside calls. */
static void open_page(void)
{
    CHECK(mprotect(page, PAGE_BYTES, PROT_READ | PROT_WRITE) == 0);
}

static void close_page(void)
{
    CHECK(mprotect(page, PAGE_BYTES, PROT_NONE) == 0);
}

static unsigned reports(void)
{
    static char text[1 << 16];
    unsigned count = 0;
    ssize_t bytes = pread(STDERR_FILENO, text, sizeof text - 1, 0);
    CHECK(bytes >= 0);
    text[bytes] = '\0';
    for (char *at = text; (at = strstr(at, "memorybucket: use after free")) != NULL; at++) {
        count++;
    }
    return count;
}

static void read_freed(void)
{
    static char *volatile object;
    object = malloc(40);
    CHECK(object != NULL);
    free(object);
    (void)*(volatile char *)(object + 11); /* NOLINT(clang-analyzer-unix.Malloc): to be found */
}

/* Checked mode still sees what it shall. */
static void use_after_free(void)
{
    if (checked) {
        unsigned before = reports();
        read_freed();
        CHECK(reports() == before + 1);
    }
}

static void note(void)
{
    seen_frame = (uintptr_t)__builtin_frame_address(0);
    CHECK(sigprocmask(SIG_SETMASK, NULL, &seen_mask) == 0);
    CHECK(++calls <= 2 * FAULTS); /* no fault that comes again for ever */
}

static void on_signal(int number)
{
    CHECK(number == SIGSEGV);
    note();
    open_page();
}

static void jump_out(int number)
{
    CHECK(number == SIGSEGV);
    note();
    siglongjmp(out, 1);
}

static void on_information(int number, siginfo_t *information, void *context)
{
    const ucontext_t *before = context;
    CHECK(number == SIGSEGV && information->si_signo == SIGSEGV);
    CHECK(sigismember(&before->uc_sigmask, SIGUSR2) == 1);
    CHECK(sigismember(&before->uc_sigmask, SIGSEGV) == 0);
    seen = *information;
    note();
    open_page();
    errno = EDOM;
}

static void jump_with_information(int number, siginfo_t *information, void *context)
{
    CHECK(number == SIGSEGV && context != NULL);
    seen = *information;
    note();
    siglongjmp(out, 1);
}

static void fault_again(int number)
{
    note();
    if (calls == 1) {
        fault();
    } else {
        on_signal(number);
    }
}
/* NOLINTEND(bugprone-signal-handler) */

static struct sigaction action_of(handler_function *handler, unsigned flags)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = (int)flags };
    sigemptyset(&action.sa_mask);
    return action;
}

static void set(handler_function *handler, unsigned flags)
{
    struct sigaction action = action_of(handler, flags);
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
}

static void set_with_information(void (*handler)(int, siginfo_t *, void *), unsigned flags)
{
    struct sigaction action = action_of(SIG_DFL, flags | SA_SIGINFO);
    action.sa_sigaction = handler;
    CHECK(sigaddset(&action.sa_mask, SIGUSR1) == 0);
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
}

static handler_function *current(void)
{
    struct sigaction action;
    CHECK(sigaction(SIGSEGV, NULL, &action) == 0);
    return action.sa_handler;
}

static unsigned current_flags(void)
{
    enum { RESTORER = 0x04000000 }; /* the C library's own */
    struct sigaction action;
    CHECK(sigaction(SIGSEGV, NULL, &action) == 0);
    return (unsigned)action.sa_flags & ~(unsigned)RESTORER;
}

static void use_signal_stack(void)
{
    stack_t stack = { .ss_sp = signal_stack, .ss_size = STACK_BYTES };
    CHECK(sigaltstack(&stack, NULL) == 0);
}

static bool was_on_signal_stack(void)
{
    return seen_frame - (uintptr_t)signal_stack < STACK_BYTES;
}

static bool was_masked(int number)
{
    return sigismember(&seen_mask, number) == 1;
}

static void sees_what_it_set(void)
{
    static const unsigned flags[] = { 0, SA_RESETHAND, SA_ONSTACK, SA_NODEFER | SA_RESTART,
                                      SA_RESETHAND | SA_ONSTACK | SA_NODEFER };
    CHECK(current() == SIG_DFL && current_flags() == 0);
    use_after_free();
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        struct sigaction before;
        struct sigaction action = action_of(on_signal, flags[i]);
        set(SIG_DFL, flags[i]);
        CHECK(current() == SIG_DFL && current_flags() == flags[i]);
        set(SIG_IGN, flags[i]);
        CHECK(current() == SIG_IGN && current_flags() == flags[i]);
        set_with_information(on_information, flags[i]);
        CHECK(current_flags() == (flags[i] | SA_SIGINFO));
        CHECK(sigaction(SIGSEGV, &action, &before) == 0);
        CHECK(before.sa_sigaction == on_information && sigismember(&before.sa_mask, SIGUSR1) == 1
              && sigismember(&before.sa_mask, SIGUSR2) == 0);
        CHECK(current() == on_signal && current_flags() == flags[i]);
        use_after_free();
    }
    CHECK(calls == 0 && sigaction(SIGSEGV, NULL, NULL) == 0);
}

static void sees_by_every_name(void)
{
    sigset_t mask;
    CHECK(signal(SIGSEGV, on_signal) == SIG_DFL);
    CHECK(current() == on_signal && current_flags() == SA_RESTART);
    fault();
    CHECK(calls == 1 && was_masked(SIGSEGV));
    CHECK(call_bsd_signal(SIGSEGV, SIG_IGN) == on_signal && ssignal(SIGSEGV, SIG_DFL) == SIG_IGN);
    CHECK(signal(SIGSEGV, SIG_ERR) == SIG_ERR && errno == EINVAL);
    use_after_free();
    CHECK(sysv_signal(SIGSEGV, jump_out) == SIG_DFL);
    CHECK(call_xopen_signal(SIGSEGV, on_signal) == jump_out);
    CHECK((current_flags() & ~0x20000000U) == (SA_RESETHAND | (unsigned)SA_NODEFER));
    use_after_free();
    close_page();
    fault();
    CHECK(calls == 2 && !was_masked(SIGSEGV) && current() == SIG_DFL);
    CHECK(call_sigset(SIGSEGV, on_signal) == SIG_DFL);
    CHECK(call_sigset(SIGSEGV, SIG_HOLD) == on_signal);
    CHECK(sigprocmask(SIG_SETMASK, NULL, &mask) == 0 && sigismember(&mask, SIGSEGV) == 1);
    CHECK(call_sigset(SIGSEGV, SIG_HOLD) == SIG_HOLD && call_sigset(SIGSEGV, jump_out) == SIG_HOLD);
    CHECK(call_sigset(SIGSEGV, on_signal) == jump_out && current() == on_signal);
    use_after_free();
    CHECK(call_siginterrupt(SIGSEGV, 0) == 0 && current() == on_signal);
    CHECK(current_flags() == SA_RESTART);
    close_page();
    fault();
    CHECK(calls == 3);
    use_after_free();
    CHECK(call_sigignore(SIGSEGV) == 0 && current() == SIG_IGN);
    CHECK(signal(SIGSEGV, on_signal) == SIG_IGN);
    use_after_free();
}

/* The others' are the C library's alone. */
static void leaves_others_alone(void)
{
    struct sigaction action = action_of(jump_out, SA_RESTART);
    struct sigaction before;
    CHECK(signal(SIGBUS, jump_out) == SIG_DFL && sigaction(SIGBUS, &action, &before) == 0);
    CHECK(before.sa_handler == jump_out && sysv_signal(SIGBUS, SIG_IGN) == jump_out);
    CHECK(call_sigset(SIGBUS, SIG_DFL) == SIG_IGN && signal(SIGBUS, SIG_IGN) == SIG_DFL);
    CHECK(sigaction(0, NULL, &action) == -1 && errno == EINVAL);
    CHECK(signal(0, SIG_IGN) == SIG_ERR && signal(SIGKILL, SIG_IGN) == SIG_ERR);
    CHECK(signal(SIGBUS, SIG_DFL) == SIG_IGN && current() == SIG_DFL);
}

static void gets_all_of_a_fault(void)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    CHECK(sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
    set_with_information(on_information, 0);
    use_after_free();
    fault();
    CHECK(errno == EDOM && calls == 1 && *page == 'x');
    CHECK(seen.si_code == SEGV_ACCERR && seen.si_addr == page);
    CHECK(was_masked(SIGSEGV) && was_masked(SIGUSR1) && was_masked(SIGUSR2));
    CHECK(sigprocmask(SIG_SETMASK, NULL, &mask) == 0);
    CHECK(sigismember(&mask, SIGSEGV) == 0 && sigismember(&mask, SIGUSR1) == 0);
    use_after_free();
    CHECK(calls == 1);
}

static void jumps_out(void)
{
    set(jump_out, 0);
    for (volatile int i = 1; i <= 3; i++) {
        if (sigsetjmp(out, 1) == 0) {
            fault();
            CHECK(false);
        }
        CHECK(calls == i);
        use_after_free();
    }
}

static void faults_in_its_handler(void)
{
    set(fault_again, SA_NODEFER);
    fault();
    CHECK(calls == 3 && !was_masked(SIGSEGV));
    use_after_free();
}

/* Reported also inside the handler, where the signal is let through. */
static void uses_freed_in_its_handler(int number)
{
    use_after_free();
    on_signal(number);
}

static void is_checked_in_its_handler(void)
{
    set(uses_freed_in_its_handler, SA_NODEFER);
    fault();
    CHECK(calls == 1 && (!checked || reports() == 1));
}

static void is_reset(void)
{
    set_with_information(on_information, (unsigned)SA_RESETHAND);
    use_after_free();
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    CHECK(sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
    fault();
    CHECK(calls == 1 && current() == SIG_DFL);
    CHECK(current_flags() == ((unsigned)SA_RESETHAND | SA_SIGINFO));
    use_after_free();
    close_page();
    fault();
}

static void uses_the_right_stack(void)
{
    char here;
    use_signal_stack();
    set(on_signal, SA_ONSTACK);
    fault();
    CHECK(calls == 1 && was_on_signal_stack());
    use_after_free();
    close_page();
    set(on_signal, 0);
    fault();
    CHECK(calls == 2 && !was_on_signal_stack());
    CHECK((uintptr_t)&here - seen_frame < 64 << 10);
    use_after_free();
}

/* Used after the call, so that no compiler makes a loop of it. */
static unsigned descend(unsigned left)
{
    volatile char frame[1024];
    frame[0] = (char)left;
    return left != 0 ? descend(left - 1) + (unsigned)frame[0] : 0;
}

static void *overflow_stack(void *unused)
{
    static char own[STACK_BYTES];
    stack_t stack = { .ss_sp = own, .ss_size = sizeof own };
    CHECK(sigaltstack(&stack, NULL) == 0);
    if (sigsetjmp(out, 1) == 0) {
        (void)descend(1U << 20);
    }
    use_after_free();
    return unused;
}

static void overflow_my_stack(void)
{
    struct rlimit limit = { .rlim_cur = 1 << 20, .rlim_max = RLIM_INFINITY };
    CHECK(setrlimit(RLIMIT_STACK, &limit) == 0 || errno == EPERM);
    (void)overflow_stack(NULL);
}

static void handles_stack_overflow(void)
{
    pthread_t thread;
    set_with_information(jump_with_information, SA_ONSTACK);
    CHECK(pthread_create(&thread, NULL, overflow_stack, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(calls == 1 && seen.si_code > 0);
    overflow_my_stack();
    CHECK(calls == 2 && seen.si_code > 0);
}

static void dies_of_stack_overflow(void)
{
    set_with_information(jump_with_information, 0);
    overflow_my_stack();
}

static void dies_of_stack_overflow_by_default(void)
{
    overflow_my_stack();
}

static void is_told_who_sent(void)
{
    static const union sigval value = { .sival_int = 4711 };
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    CHECK(sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
    set_with_information(on_information, 0);
    CHECK(sigqueue(getpid(), SIGSEGV, value) == 0);
    look_again();
    CHECK(calls == 1 && seen.si_code == SI_QUEUE && seen.si_value.sival_int == 4711);
    CHECK(kill(getpid(), SIGSEGV) == 0);
    look_again();
    CHECK(calls == 2 && seen.si_code == SI_USER && seen.si_pid == getpid());
    CHECK(raise(SIGSEGV) == 0);
    look_again();
    CHECK(calls == 3 && seen.si_code == SI_TKILL);
    use_after_free();
}

static int run_myself(const char *word)
{
    int status = 0;
    if (fork() == 0) {
        execl("/proc/self/exe", "signals", word, (char *)NULL);
        _exit(127);
    }
    CHECK(wait(&status) > 0 && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void is_inherited(void)
{
    CHECK(run_myself("inherits") == 1);
    set(on_signal, 0);
    CHECK(run_myself("inherits") == 1);
    set(SIG_IGN, 0);
    CHECK(run_myself("inherits") == 0);
    set(SIG_DFL, 0);
    CHECK(run_myself("inherits") == 1);
    use_after_free();
}

static void is_ignored(void)
{
    set(SIG_IGN, 0);
    CHECK(kill(getpid(), SIGSEGV) == 0 && raise(SIGSEGV) == 0 && current() == SIG_IGN);
    set(on_signal, 0);
    use_after_free();
    fault();
    CHECK(calls == 1);
}

static void dies_though_ignored(void)
{
    set(SIG_IGN, 0);
    fault();
}

static void dies_of_a_fault(void)
{
    use_after_free();
    fault();
}

static void dies_after_its_handler(void)
{
    set(on_signal, 0);
    fault();
    close_page();
    set(SIG_DFL, 0);
    use_after_free();
    fault();
}

static void dies_of_a_signal(void)
{
    use_after_free();
    (void)kill(getpid(), SIGSEGV);
}

static void dies_of_its_own(void)
{
    CHECK(signal(SIGSEGV, on_signal) == SIG_DFL && signal(SIGSEGV, SIG_DFL) == on_signal);
    (void)raise(SIGSEGV);
}

#if defined(__x86_64__)
/* No page fault: the kernel tells no address. */
static void dies_of_no_address(void)
{
    *(volatile char *)(uintptr_t)0x8000000000000000U = 'x';
}
#endif

/* The child of vfork shares its parent's memory, but not its handlers. */
static void is_kept_from_vfork(void)
{
    int status = 0;
    set(on_signal, 0);
    pid_t child = vfork();
    if (child == 0) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Vfork): it is what this is about */
        bool right = signal(SIGSEGV, jump_out) == on_signal;
        _exit(right && signal(SIGSEGV, SIG_DFL) == jump_out ? 0 : 1);
    }
    CHECK(child > 0 && wait(&status) == child && status == 0);
    CHECK(current() == on_signal);
    fault();
    CHECK(calls == 1);
    use_after_free();
}

static _Atomic bool ended;
static _Atomic unsigned wrong;

static void on_signal_stack(int number)
{
    note();
    wrong += was_on_signal_stack() && was_masked(SIGUSR1) ? 0 : 1;
    (void)number;
    open_page();
}

static void on_own_stack(int number)
{
    note();
    wrong += was_on_signal_stack() || was_masked(SIGUSR1) ? 1 : 0;
    (void)number;
    open_page();
}

static void *change_all_the_time(void *unused)
{
    struct sigaction one = action_of(on_signal_stack, SA_ONSTACK);
    struct sigaction other = action_of(on_own_stack, 0);
    sigaddset(&one.sa_mask, SIGUSR1);
    (void)unused;
    while (!ended) {
        CHECK(sigaction(SIGSEGV, &one, NULL) == 0 && sigaction(SIGSEGV, &other, NULL) == 0);
    }
    return NULL;
}

/* A handler that is set while a fault comes has its own stack and mask. */
static void changes_at_once(void)
{
    pthread_t thread;
    use_signal_stack();
    set(on_own_stack, 0);
    CHECK(pthread_create(&thread, NULL, change_all_the_time, NULL) == 0);
    for (int i = 0; i < FAULTS; i++) {
        close_page();
        fault();
    }
    ended = true;
    CHECK(pthread_join(thread, NULL) == 0 && calls == FAULTS && wrong == 0);
    use_after_free();
}

/* More than checked mode can stand in front of: all of them work. */
static void sets_many(void)
{
    handler_function *const handlers[] = { on_signal, on_own_stack, on_signal_stack, fault_again };
    calls = 1; /* fault_again is to do it no more */
    use_signal_stack();
    for (int i = 0; i < 32; i++) {
        unsigned flags = SA_NODEFER | (i % 2 != 0 ? (unsigned)SA_RESETHAND : 0)
                         | (i / 2 % 2 != 0 ? SA_ONSTACK : 0) | (i / 4 % 2 != 0 ? SA_SIGINFO : 0);
        int before = calls;
        set(handlers[i / 8], flags);
        CHECK(current() == handlers[i / 8] && current_flags() == flags);
        close_page();
        fault();
        CHECK(calls > before && was_on_signal_stack() == ((flags & SA_ONSTACK) != 0));
        CHECK(current() == ((flags & (unsigned)SA_RESETHAND) != 0 ? SIG_DFL : handlers[i / 8]));
    }
}

static const struct test {
    const char *name;
    void (*run)(void);
    int dies; /* of SIGSEGV, with this si_code; NO when it ends by itself */
} tests[] = {
#define NO (-1000)
#define CASE(name, dies) { #name, name, dies }
    CASE(sees_what_it_set, NO),
    CASE(sees_by_every_name, NO),
    CASE(leaves_others_alone, NO),
    CASE(gets_all_of_a_fault, NO),
    CASE(jumps_out, NO),
    CASE(faults_in_its_handler, NO),
    CASE(is_checked_in_its_handler, NO),
    CASE(is_reset, SEGV_ACCERR),
    CASE(uses_the_right_stack, NO),
    CASE(handles_stack_overflow, NO),
    CASE(dies_of_stack_overflow, SI_KERNEL),
    CASE(dies_of_stack_overflow_by_default, SEGV_MAPERR),
    CASE(is_told_who_sent, NO),
    CASE(is_inherited, NO),
    CASE(is_ignored, NO),
    CASE(dies_though_ignored, SEGV_ACCERR),
    CASE(dies_of_a_fault, SEGV_ACCERR),
    CASE(dies_after_its_handler, SEGV_ACCERR),
    CASE(dies_of_a_signal, SI_USER),
    CASE(dies_of_its_own, SI_TKILL),
#if defined(__x86_64__)
    CASE(dies_of_no_address, SI_KERNEL),
#endif
    CASE(sets_many, NO),
    CASE(is_kept_from_vfork, NO),
    CASE(changes_at_once, NO),
};

static void run_case(const struct test *test, int file)
{
    CHECK(dup2(file, STDERR_FILENO) == STDERR_FILENO);
    if (test->dies != NO) {
        CHECK(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    }
    test->run();
    exit(test->dies != NO);
}

/* The si_code of the last signal that a traced child got; its status when it has ended. */
static int follow(pid_t child, int *code)
{
    int status = 0;
    siginfo_t information;
    while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
        CHECK(ptrace(PTRACE_GETSIGINFO, child, NULL, &information) == 0);
        *code = information.si_code;
        CHECK(ptrace(PTRACE_CONT, child, NULL, (uintptr_t)WSTOPSIG(status)) == 0);
    }
    return status;
}

static void show(int file)
{
    static char text[1 << 16];
    ssize_t bytes = pread(file, text, sizeof text - 1, 0);
    fprintf(stderr, "%.*s", (int)bytes, text);
}

static bool holds(const struct test *test)
{
    int code = NO;
    int file = memfd_create("stderr", 0);
    CHECK(file >= 0);
    pid_t child = fork();
    if (child == 0) {
        run_case(test, file);
    }
    int status = follow(child, &code);
    bool right = test->dies == NO ? WIFEXITED(status) && WEXITSTATUS(status) == 0
                                  : WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
    right = right && code == test->dies;
    if (!right) {
        show(file);
        fprintf(stderr, "%s: status 0x%x, si_code %d\n", test->name, (unsigned)status, code);
    }
    CHECK(close(file) == 0);
    return right;
}

int main(int count, char **words)
{
    bool all = true;
    const char *word = count == 2 ? words[1] : "";
    if (strcmp(word, "inherits") == 0) {
        return current() == SIG_IGN ? 0 : 1;
    }
    page = mmap(NULL, PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    signal_stack =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED && signal_stack != MAP_FAILED);
    if (strcmp(word, "dies") == 0) {
        set(on_signal, 0);
        read_freed();
        return 1;
    }
    checked = strcmp(word, "checked") == 0;
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        all = holds(&tests[i]) && all;
    }
    puts(all ? "signals hold" : "signals fail");
    return 0;
}
