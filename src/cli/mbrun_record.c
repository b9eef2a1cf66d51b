/* mbrun_record: the shared memory, the child, its signals, and the trace. */
#include "cli/mbrun_record.h"

#include "cli/mbrun_preload.h"
#include "trace/merge.h"
#include "trace/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORDER_NAME "libmemorybucket-record.so"

/* The descriptor that the program inherits, out of the way of those that it opens. */
enum { DESCRIPTOR_MIN = 200 };

/* Between rounds, unless the program asks for one. */
enum { PAUSE_MS = 20 };

struct recording {
    const char *path;
    char *temporary; /* the trace beside it, until that is whole */
    int trace_file;
    int raw_file;
    uint64_t raw_inode;
    struct raw_header *header;
    struct mb_merge *merge;
    sigset_t signals; /* blocked before; all are from make_trace to run, where they are caught */
    struct sigaction child_ends; /* before, as the next one: both are the program's again */
    struct sigaction file_too_large;
};

static int say_error(const char *path, int error)
{
    fprintf(stderr, "mbrun: %s: %s\n", path, strerror(error));
    return EXIT_OWN;
}

/* ---- what is needed before the program runs ---- */

#if defined(__aarch64__)
static enum raw_clock choose_clock(void)
{
    return RAW_CLOCK_COUNTER; /* all processors have one, which the kernel reads, too */
}
#else
static bool text_has(const char *path, const char *word)
{
    char text[8192];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = file >= 0 ? read(file, text, sizeof text - 1) : 0;
    if (file >= 0) {
        close(file);
    }
    text[bytes > 0 ? bytes : 0] = '\0';
    return strstr(text, word) != NULL;
}

/* The processor's counter, where it runs evenly and the kernel finds it alike on all processors. */
static enum raw_clock choose_clock(void)
{
    static const char source[] = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    bool is_used = text_has(source, "tsc") || text_has(source, "kvm-clock");
    bool is_even = text_has("/proc/cpuinfo", " constant_tsc")
                   && text_has("/proc/cpuinfo", " nonstop_tsc");
    return is_used && is_even ? RAW_CLOCK_COUNTER : RAW_CLOCK_MONOTONIC;
}
#endif

/* The memory that the program writes to: 0 or errno. */
static int make_memory(struct recording *recording)
{
    struct stat status;
    recording->raw_file = memfd_create("mbrun-record", MFD_CLOEXEC);
    if (recording->raw_file < 0 || ftruncate(recording->raw_file, (off_t)RAW_FILE_BYTES) != 0
        || fstat(recording->raw_file, &status) != 0) {
        return errno;
    }
    void *memory = mmap(NULL, RAW_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                        recording->raw_file, 0);
    if (memory == MAP_FAILED) {
        return errno;
    }
    recording->raw_inode = status.st_ino;
    recording->header = memory;
    recording->header->magic = RAW_MAGIC;
    recording->header->clock = choose_clock();
    recording->header->recorder = (int32_t)getpid();
    return 0;
}

/* The trace, beside `path`: 0 or errno. */
static int make_trace(struct recording *recording, uint64_t max_bytes)
{
    if (asprintf(&recording->temporary, "%s.XXXXXX", recording->path) < 0) {
        return ENOMEM;
    }
    recording->trace_file = mkostemp(recording->temporary, O_CLOEXEC);
    if (recording->trace_file < 0) {
        return errno;
    }
    recording->merge = mb_merge_open(recording->header, recording->trace_file, max_bytes);
    int error = recording->merge != NULL ? 0 : errno;
    if (error != 0) {
        unlink(recording->temporary);
    }
    return error;
}

/* ---- the program ---- */

static volatile sig_atomic_t child;
static volatile sig_atomic_t is_following; /* what came before may have come before the child was */

/* What a terminal sends, the program has got, too. */
static void pass_on(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    int saved = errno;
    if (child > 0 && (info->si_code <= 0 || !is_following)) {
        kill((pid_t)child, signal_number);
    }
    errno = saved;
}

static const int passed_on[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM };

static void note_end(int signal_number)
{
    (void)signal_number; /* ends a wait */
}

/* Before the fork: where SIGCHLD was ignored, the kernel would keep no status of an early end. */
static void catch_end(struct recording *recording)
{
    struct sigaction end = { .sa_handler = note_end };
    sigaction(SIGCHLD, &end, &recording->child_ends);
}

/* As they were, in the child. */
static void restore_signals(const struct recording *recording)
{
    sigaction(SIGCHLD, &recording->child_ends, NULL);
    sigaction(SIGXFSZ, &recording->file_too_large, NULL);
    sigprocmask(SIG_SETMASK, &recording->signals, NULL);
}

static void catch_signals(void)
{
    struct sigaction action = { .sa_sigaction = pass_on, .sa_flags = SA_SIGINFO | SA_RESTART };
    for (size_t i = 0; i < sizeof passed_on / sizeof passed_on[0]; i++) {
        struct sigaction old;
        if (sigaction(passed_on[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
            sigaction(passed_on[i], &action, NULL);
        }
    }
    /* The trace is finished, also where nothing reads what mbrun says. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
}

/* The child's part: becomes the program, or returns an exit status. */
static int run_recorded(const struct recording *recording, char **program)
{
    char value[64];
    int descriptor = fcntl(recording->raw_file, F_DUPFD, DESCRIPTOR_MIN);
    if (descriptor < 0) {
        descriptor = fcntl(recording->raw_file, F_DUPFD, 0);
    }
    snprintf(value, sizeof value, "%d %llu %d", descriptor,
             (unsigned long long)recording->raw_inode, (int)getpid());
    int status = mbrun_preload(RECORDER_NAME, true);
    if (status != 0) {
        return status;
    }
    if (descriptor < 0 || setenv(RAW_VARIABLE, value, 1) != 0) {
        return say_error(RAW_VARIABLE, errno);
    }
    return mbrun_become(program);
}

/* Takes what the program does until it has ended; returns its status as of waitpid(2). */
static int follow(const struct recording *recording, pid_t program)
{
    int status = EXIT_OWN << 8;
    for (;;) {
        /* relaxed [BACKLOG]: raw_wait returns at once when the program has asked since. */
        uint32_t seen = atomic_load_explicit(&recording->header->asked, memory_order_relaxed);
        unsigned filled = mb_merge_round(recording->merge);
        pid_t ended = waitpid(program, &status, WNOHANG);
        if (ended == program || (ended < 0 && errno != EINTR)) {
            break;
        }
        if (filled < RAW_ASK) {
            raw_wait(&recording->header->asked, seen, PAUSE_MS);
        }
    }
    mb_merge_round(recording->merge);
    return status;
}

/* The program's status as of waitpid(2); -1 with errno where it could not be started. */
static int run(struct recording *recording, char **program)
{
    catch_end(recording);
    pid_t forked = fork();
    if (forked == 0) {
        restore_signals(recording);
        _exit(run_recorded(recording, program));
    }
    if (forked < 0) {
        return -1;
    }
    child = forked;
    catch_signals();
    sigprocmask(SIG_SETMASK, &recording->signals, NULL);
    is_following = true;
    int status = follow(recording, forked);
    child = 0;
    return status;
}

/* ---- the trace ---- */

/* One line of what a user should know; the exit status that follows from it, or 0. */
static int judge(const struct recording *recording, const struct mb_merged *merged)
{
    const struct mb_trace_header *header = &merged->header;
    unsigned long long events = header->events;
    if (merged->error == EOVERFLOW) {
        fprintf(stderr, "mbrun: %s: has the first %llu events: more are not within --record-max\n",
                recording->path, events);
    } else if (merged->error != 0) {
        fprintf(stderr, "mbrun: %s: has only the first %llu events: %s\n", recording->path, events,
                strerror(merged->error));
        return EXIT_OWN;
    } else if (events == 0) {
        fprintf(stderr,
                "mbrun: %s: has no events: the program allocates nothing, or has its own malloc\n",
                recording->path);
    } else if (merged->lost > events / 1000) {
        fprintf(stderr, "mbrun: %s: beside %llu events, %llu calls fit no other and are left out\n",
                recording->path, events, (unsigned long long)merged->lost);
    }
    return 0;
}

/*
 * The trace gets its name: 0; or EXIT_OWN, and says why. Also 0, with a line, where a signal ended
 * the program before there was anything to record. `ended` as of waitpid(2).
 */
static int finish(const struct recording *recording, int ended, const char *program)
{
    struct mb_merged merged;
    mode_t mask = umask(0);
    umask(mask);
    mb_merge_close(recording->merge, &merged);
    if (merged.images == 0) {
        unlink(recording->temporary);
        int own = WIFEXITED(ended) ? WEXITSTATUS(ended) : 0;
        if (own >= EXIT_OWN && own <= EXIT_NOT_FOUND) { /* the child has said why */
            return own;
        }
        bool is_killed = WIFSIGNALED(ended);
        fprintf(stderr, "mbrun: %s was not recorded: it %s %s\n", program,
                is_killed ? "was killed before it loaded" : "did not load", RECORDER_NAME);
        return is_killed ? 0 : EXIT_OWN;
    }
    bool is_whole = fchmod(recording->trace_file, 0666 & ~mask) == 0
                    && close(recording->trace_file) == 0
                    && rename(recording->temporary, recording->path) == 0;
    if (!is_whole) {
        int why = errno;
        unlink(recording->temporary);
        return say_error(recording->path, why);
    }
    return judge(recording, &merged);
}

/* Dies as the program did, without a second core. */
static void die_of(int signal_number)
{
    struct rlimit none = { 0, 0 };
    sigset_t set;
    setrlimit(RLIMIT_CORE, &none);
    signal(signal_number, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, signal_number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(signal_number);
}

int mbrun_record(const char *path, uint64_t max_bytes, char **program)
{
    struct stat status;
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) {
        fprintf(stderr, "mbrun: %s: is no regular file, and cannot become a trace\n", path);
        return EXIT_OWN;
    }
    const char *why_not = mbrun_why_not_preloaded(program[0]);
    if (why_not != NULL) {
        fprintf(stderr, "mbrun: %s cannot be recorded, as %s\n", program[0], why_not);
        return EXIT_OWN;
    }
    struct recording recording = { .path = path };
    struct sigaction ignored = { .sa_handler = SIG_IGN };
    sigaction(SIGXFSZ, &ignored, &recording.file_too_large);
    int error = make_memory(&recording);
    if (error != 0) {
        return say_error("no memory to record through", error);
    }
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &recording.signals);
    error = make_trace(&recording, max_bytes);
    if (error != 0) {
        return say_error(path, error);
    }
    int ended = run(&recording, program);
    if (ended == -1) {
        int why = errno;
        unlink(recording.temporary);
        return say_error(program[0], why);
    }
    int own = finish(&recording, ended, program[0]);
    if (own != 0) {
        return own;
    }
    if (WIFSIGNALED(ended)) {
        die_of(WTERMSIG(ended));
    }
    return WIFEXITED(ended) ? WEXITSTATUS(ended) : EXIT_OWN;
}
