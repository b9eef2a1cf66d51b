/*
 * Steps through its calls of malloc, free and realloc one instruction at a time, by the processor's trap flag. At each
 * instruction of libmemorybucket-record.so the signal handler makes calls of its own. For mbrun --record, which is to
 * miss none and to count none twice.
 *
 * Of the program itself are the objects of 17001 bytes, resized to 17021, and those of 17041; the handler's have
 * 18001, resized to 18021. A timer's handler, which may interrupt that one, makes and frees objects of 18041 bytes.
 * Prints how many of each there were: the resized ones, the others, the handler's, the timer's.
 *
 * With a second argument it leaves a call by siglongjmp at one instruction after the other, each in a thread of its
 * own, and prints how many objects of 19041 bytes the threads have made, and freed, after that. With "first" the call
 * is the thread's first one, and the handler makes its calls at that instruction alone.
 * Usage: stepped ROUNDS [left | first]
 * Status 77: not on this processor, or nothing of the recorder was stepped through.
 */
#include <link.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>

#ifdef __x86_64__

static uintptr_t code_begin, code_end; /* of the recorder */
static unsigned long made;             /* by the handler */
static unsigned long made_by_timer;

static void *used(void *pointer)
{
    __asm__ volatile("" : : "r"(pointer) : "memory");
    return pointer;
}

static int find_recorder(struct dl_phdr_info *library, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    if (strstr(library->dlpi_name, "libmemorybucket-record") == NULL) {
        return 0;
    }
    for (int i = 0; i < library->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &library->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) != 0) {
            code_begin = library->dlpi_addr + segment->p_vaddr;
            code_end = code_begin + segment->p_memsz;
        }
    }
    return 1;
}

static int is_in_recorder(const void *context)
{
    uintptr_t at = (uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    return at >= code_begin && at < code_end;
}

/* So many calls that the timer mostly comes in the middle of one. */
enum { IN_A_STEP = 5, TIMER_US = 15 };

/* The malloc behind the recorder is not entered twice: where it stands, the handler does nothing. */
static void step(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    for (int i = 0; i < IN_A_STEP && is_in_recorder(context); i++) {
        void *object = used(malloc(18001));
        free(used(realloc(object, 18021)));
        made++;
    }
}

static void interrupt(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    if (is_in_recorder(context)) {
        free(used(malloc(18041)));
        made_by_timer++;
    }
}

static void set_timer(long every_us)
{
    struct sigaction action = { .sa_sigaction = interrupt, .sa_flags = SA_SIGINFO };
    struct itimerval timer = { .it_interval.tv_usec = every_us, .it_value.tv_usec = every_us };
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static long leave_at; /* the instruction of the recorder's */
static sigjmp_buf left;

static void leave(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    if (is_in_recorder(context) && leave_at-- == 0) {
        siglongjmp(left, 1);
    }
}

/* The compiler may use the 128 bytes below the stack pointer. */
#define FLAGS(CHANGE) \
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; " CHANGE ", (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::: "memory", "cc")

enum { AFTER_LEFT = 1500 };

static void *run_left(void *unused)
{
    free(used(malloc(19001))); /* the thread has a chunk */
    if (sigsetjmp(left, 1) == 0) {
        FLAGS("orq $0x100");
        void *object = used(malloc(19001));
        FLAGS("andq $~0x100");
        free(object);
    }
    for (int i = 0; i < AFTER_LEFT; i++) {
        free(used(malloc(19041)));
    }
    return unused;
}

static void step_once(int number, siginfo_t *info, void *context)
{
    if (is_in_recorder(context) && leave_at-- == 0) {
        step(number, info, context);
    }
}

static void *run_first(void *unused)
{
    FLAGS("orq $0x100");
    void *object = used(malloc(19001));
    FLAGS("andq $~0x100");
    free(object);
    return unused;
}

static int run_threads(long rounds, void *(*run)(void *))
{
    for (long i = 0; i < rounds; i++) {
        pthread_t thread;
        leave_at = i;
        if (pthread_create(&thread, NULL, run, NULL) != 0 || pthread_join(thread, NULL) != 0) {
            return 1;
        }
    }
    printf("%ld\n", rounds * AFTER_LEFT);
    return 0;
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? atol(argv[1]) : 100;
    dl_iterate_phdr(find_recorder, NULL);
    int is_first = argc > 2 && strcmp(argv[2], "first") == 0;
    struct sigaction action = { .sa_sigaction = is_first ? step_once : argc > 2 ? leave : step,
                                .sa_flags = SA_SIGINFO };
    sigaction(SIGTRAP, &action, NULL);
    if (argc > 2) {
        return run_threads(rounds, is_first ? run_first : run_left);
    }
    set_timer(TIMER_US);
    for (long i = 0; i < rounds; i++) {
        FLAGS("orq $0x100");
        void *other = used(malloc(17041));
        void *object = used(malloc(17001));
        object = used(realloc(object, 17021));
        free(other);
        free(object);
        FLAGS("andq $~0x100");
    }
    set_timer(0);
    printf("%ld %ld %lu %lu\n", rounds, rounds, made, made_by_timer);
    return made > 0 ? 0 : 77;
}

#else

int main(void)
{
    return 77;
}

#endif
