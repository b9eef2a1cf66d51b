/*
 * start: what the drop-in costs a process that does little, in page faults and system calls.
 *
 * usage: start DROP-IN
 *
 * This program runs itself, with and without the drop-in: a child that does nothing, one that needs
 * a few sizes, and one that needs them all; and one that looks where its objects lie. Faults are
 * counted by the kernel (wait4), as the lowest of several runs: what else a process touches hardly
 * varies. System calls are counted by ptrace.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUNS = 20, STEP_BYTES = 16, SIZES = 32 };

struct cost {
    long faults;
    long calls; /* -1: may not be counted here */
};

static void *volatile kept[SIZES];

static void be_child(const char *sizes)
{
    for (int i = 0; i < atoi(sizes); i++) {
        kept[i] = malloc((size_t)(i + 1) * STEP_BYTES);
        memset(kept[i], 1, STEP_BYTES);
    }
}

/* The first objects of a size are guests of a pool of larger slots; whoever needs many gets his. */
static int be_guests(void)
{
    enum { BYTES = 144, HOST_BYTES = 256, MANY = 200 };
    void *objects[MANY];
    int guests = 0;
    for (int i = 0; i < MANY; i++) {
        objects[i] = malloc(BYTES);
        guests += malloc_usable_size(objects[i]) == HOST_BYTES;
        int is_own = malloc_usable_size(objects[i]) == BYTES;
        if (is_own ? guests == 0 : guests != i + 1) {
            fprintf(stderr, "object %d has %zu bytes\n", i, malloc_usable_size(objects[i]));
            return 1;
        }
    }
    void *guest = objects[0];
    int good = guests > 0 && guests < MANY / 2 && realloc(guest, BYTES + 50) == guest
               && realloc(guest, BYTES) == guest && malloc_usable_size(malloc(512)) == 512;
    for (int i = 0; i < MANY; i++) {
        free(objects[i]);
    }
    good = good && malloc_usable_size(malloc(BYTES)) == BYTES;
    if (!good) {
        fprintf(stderr, "%d of %d objects are guests, or they moved\n", guests, MANY);
    }
    return good ? 0 : 1;
}

/* A host has so many guests at most, of all sizes together. */
static int be_hosts(void)
{
    enum { SMALLEST = 272, HOST_BYTES = 512, EACH = 8, HOSTED_MAX = 32 };
    int hosted = 0;
    for (size_t bytes = SMALLEST; bytes < HOST_BYTES; bytes += STEP_BYTES) {
        for (int i = 0; i < EACH; i++) {
            hosted += malloc_usable_size(malloc(bytes)) == HOST_BYTES;
        }
    }
    if (hosted == 0 || hosted > HOSTED_MAX) {
        fprintf(stderr, "%d objects are guests of one pool\n", hosted);
    }
    return hosted > 0 && hosted <= HOSTED_MAX ? 0 : 1;
}

static pid_t start(const char *self, const char *drop_in, const char *sizes, int traced)
{
    setenv("LD_PRELOAD", drop_in != NULL ? drop_in : "", 1); /* here: the child touches little */
    pid_t pid = fork();
    if (pid == 0) {
        if (traced && (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0 || raise(SIGSTOP) != 0)) {
            _exit(2);
        }
        execl(self, self, "--child", sizes, (char *)NULL);
        _exit(1);
    }
    return pid;
}

static void expect_exit(int status)
{
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "a child ended with status %x\n", (unsigned)status);
        exit(1);
    }
}

static long count_faults(const char *self, const char *drop_in, const char *sizes)
{
    long least = -1;
    for (int run = 0; run < RUNS; run++) {
        int status;
        struct rusage usage;
        pid_t pid = start(self, drop_in, sizes, 0);
        if (wait4(pid, &status, 0, &usage) != pid) {
            perror("wait4");
            exit(1);
        }
        expect_exit(status);
        if (least < 0 || usage.ru_minflt < least) {
            least = usage.ru_minflt;
        }
    }
    return least;
}

static long count_calls(const char *self, const char *drop_in, const char *sizes)
{
    int status;
    long stops = 0;
    pid_t pid = start(self, drop_in, sizes, 1);
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) {
        return -1;
    }
    do {
        if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) != 0 || waitpid(pid, &status, 0) != pid) {
            perror("ptrace");
            exit(1);
        }
        stops++;
    } while (WIFSTOPPED(status));
    expect_exit(status);
    return stops / 2; /* one before and one after each */
}

static struct cost cost_of(const char *self, const char *drop_in, const char *sizes)
{
    return (struct cost){
        .faults = count_faults(self, drop_in, sizes),
        .calls = count_calls(self, drop_in, sizes),
    };
}

/* How much more of each the drop-in may take. */
static int check(const char *self, const char *drop_in, const char *sizes, struct cost most)
{
    struct cost without = cost_of(self, NULL, sizes);
    struct cost with = cost_of(self, drop_in, sizes);
    long faults = with.faults - without.faults;
    long calls = without.calls < 0 ? 0 : with.calls - without.calls;
    printf("%2s sizes: %ld faults and %ld system calls more than without (at most %ld and %ld)\n",
           sizes, faults, calls, most.faults, most.calls);
    return faults <= most.faults && calls <= most.calls;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--child") == 0) {
        if (strcmp(argv[2], "guests") == 0) {
            return be_guests() != 0 || be_hosts() != 0;
        }
        be_child(argv[2]);
        return 0;
    }
    if (argc != 2) {
        fputs("usage: start DROP-IN\n", stderr);
        return 2;
    }
    (void)count_faults(argv[0], argv[1], "guests");
    int good = check(argv[0], argv[1], "0", (struct cost){ .faults = 20, .calls = 14 });
    good &= check(argv[0], argv[1], "4", (struct cost){ .faults = 42, .calls = 18 });
    good &= check(argv[0], argv[1], "32", (struct cost){ .faults = 52, .calls = 22 });
    return good ? 0 : 1;
}
