/* mbrun_record: the raw file, the child, its signals, and the trace. */
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

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define RECORDER_NAME "libmemorybucket-record.so"

/* The descriptor that the program inherits, out of the way of those that it opens. */
enum { DESCRIPTOR_MIN = 200 };

struct recording {
    const char *path;
    int raw_file;
    uint64_t raw_inode;
    struct raw_header *header;
};

static int say_error(const char *path, int error)
{
    fprintf(stderr, "mbrun: %s: %s\n", path, strerror(error));
    return EXIT_OWN;
}

/* ---- the raw file ---- */

/* In the trace's folder, without a name. -1 with errno. */
static int open_unnamed(const char *path)
{
    char *name;
    const char *slash = strrchr(path, '/');
    int folder_bytes = slash != NULL ? (int)(slash - path) + 1 : 0;
    if (asprintf(&name, "%.*s.", folder_bytes, path) < 0) {
        return -1;
    }
    int file = open(name, O_RDWR | O_TMPFILE | O_EXCL | O_CLOEXEC, 0600);
    free(name);
    if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) {
        return file;
    }
    if (asprintf(&name, "%s.XXXXXX", path) < 0) {
        return -1;
    }
    file = mkostemp(name, O_CLOEXEC);
    if (file >= 0) {
        unlink(name);
    }
    free(name);
    return file;
}

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

/* The processor's counter where the kernel finds that it runs evenly, and alike on all of them. */
static enum raw_clock choose_clock(void)
{
#if defined(__aarch64__)
    return RAW_CLOCK_COUNTER;
#else
    bool is_even = text_has("/proc/cpuinfo", " constant_tsc")
                   && text_has("/proc/cpuinfo", " nonstop_tsc")
                   && text_has("/sys/devices/system/clocksource/clocksource0/available_clocksource",
                               "tsc");
    return is_even ? RAW_CLOCK_COUNTER : RAW_CLOCK_MONOTONIC;
#endif
}

/* 0 or errno. What the first chunk has beside the header is kept for the beginning of the trace. */
static int prepare_raw(struct recording *recording, uint64_t max_bytes)
{
    struct stat status;
    recording->raw_file = open_unnamed(recording->path);
    if (recording->raw_file < 0 || ftruncate(recording->raw_file, (off_t)max_bytes) != 0
        || fstat(recording->raw_file, &status) != 0) {
        return errno;
    }
    recording->raw_inode = status.st_ino;
    int error = posix_fallocate(recording->raw_file, 0, RAW_CHUNK_BYTES);
    if (error != 0) {
        return error;
    }
    void *page = mmap(NULL, sizeof *recording->header, PROT_READ | PROT_WRITE, MAP_SHARED,
                      recording->raw_file, 0);
    if (page == MAP_FAILED) {
        return errno;
    }
    recording->header = page;
    if (madvise(page, (size_t)getpagesize(), MADV_POPULATE_WRITE) != 0 && errno == EINVAL) {
        /* Before Linux 5.14 a mapping cannot ask for blocks: all are needed at once. */
        error = posix_fallocate(recording->raw_file, 0, (off_t)max_bytes);
    }
    recording->header->magic = RAW_MAGIC;
    recording->header->file_bytes = max_bytes;
    recording->header->clock = choose_clock();
    /* relaxed [RECORD]: the program does not run yet. */
    atomic_store_explicit(&recording->header->used_bytes, RAW_CHUNK_BYTES, memory_order_relaxed);
    return error;
}

/* ---- the program ---- */

static volatile sig_atomic_t child;

/* What a terminal sends, the program has got, too. */
static void pass_on(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    int saved = errno;
    if (child > 0 && info->si_code <= 0) {
        kill((pid_t)child, signal_number);
    }
    errno = saved;
}

static const int passed_on[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM };

static void catch_signals(void)
{
    struct sigaction action = { .sa_sigaction = pass_on, .sa_flags = SA_SIGINFO | SA_RESTART };
    for (size_t i = 0; i < sizeof passed_on / sizeof passed_on[0]; i++) {
        struct sigaction old;
        if (sigaction(passed_on[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
            sigaction(passed_on[i], &action, NULL);
        }
    }
    /* The trace is finished, whoever reads what is said. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
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

/* Its status as of waitpid(2); -1 with errno where it could not be started. */
static int run(const struct recording *recording, char **program)
{
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid_t forked = fork();
    if (forked == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        _exit(run_recorded(recording, program));
    }
    child = forked;
    catch_signals();
    sigprocmask(SIG_SETMASK, &before, NULL);
    int status = -1;
    while (forked > 0 && waitpid(forked, &status, 0) < 0 && errno == EINTR) {
    }
    child = 0;
    return status;
}

/* ---- the trace ---- */

/* One line of what a user should know; the exit status that follows from it, or 0. */
static int judge(const struct recording *recording, const struct mb_merged *merged)
{
    const struct raw_header *raw = recording->header;
    const struct mb_trace_header *header = &merged->header;
    if (merged->error != 0 || (header->truncated && raw->stop_error != 0)) {
        int why = merged->error != 0 ? merged->error : raw->stop_error;
        fprintf(stderr, "mbrun: %s: has only the first %llu events: %s\n", recording->path,
                (unsigned long long)header->events, strerror(why));
        return EXIT_OWN;
    }
    if (header->truncated) {
        fprintf(stderr, "mbrun: %s: has the first %.3g seconds: --record-max %lluK was reached\n",
                recording->path, (double)header->duration_ns / 1e9,
                (unsigned long long)raw->file_bytes >> 10);
    } else if (header->events == 0) {
        fprintf(stderr, "mbrun: %s: has no event: has the program a malloc of its own?\n",
                recording->path);
    } else if (merged->lost > header->events / 1000) {
        fprintf(stderr, "mbrun: %s: %llu calls fit no other, beside %llu events\n", recording->path,
                (unsigned long long)merged->lost, (unsigned long long)header->events);
    }
    return 0;
}

/* Writes the trace beside `path` and renames it then. 0, or EXIT_OWN and says why. */
static int finish(const struct recording *recording, uint64_t end_ticks, uint64_t end_ns)
{
    char *name;
    if (asprintf(&name, "%s.XXXXXX", recording->path) < 0) {
        return say_error(recording->path, ENOMEM);
    }
    (void)fallocate(recording->raw_file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    getpagesize(), RAW_CHUNK_BYTES - getpagesize());
    mode_t mask = umask(0);
    umask(mask);
    int file = mkostemp(name, O_CLOEXEC);
    if (file < 0) {
        free(name);
        return say_error(recording->path, errno);
    }
    struct mb_merged merged;
    mb_merge(recording->raw_file, recording->header, end_ticks, end_ns, file, &merged);
    bool is_there = merged.header.page_bytes != 0 && fchmod(file, 0666 & ~mask) == 0;
    bool is_named = close(file) == 0 && is_there && rename(name, recording->path) == 0;
    int why = merged.error != 0 ? merged.error : errno;
    if (!is_named) {
        unlink(name);
    }
    free(name);
    return is_named ? judge(recording, &merged) : say_error(recording->path, why);
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
    raise(signal_number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
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
    signal(SIGXFSZ, SIG_IGN);
    int error = prepare_raw(&recording, max_bytes & ~(uint64_t)(RAW_CHUNK_BYTES - 1));
    if (error != 0) {
        return say_error(path, error);
    }
    int ended = run(&recording, program);
    uint64_t end_ns = raw_monotonic_ns();
    uint64_t end_ticks = raw_ticks(recording.header->clock);
    if (ended == -1) {
        return say_error(program[0], errno);
    }
    /* relaxed [RECORD]: the program runs no more. */
    if (atomic_load_explicit(&recording.header->images, memory_order_relaxed) == 0) {
        int own = WIFEXITED(ended) ? WEXITSTATUS(ended) : 0;
        if (own < EXIT_OWN || own > EXIT_NOT_FOUND) { /* of those the child has said why */
            fprintf(stderr, "mbrun: %s was not recorded: it did not load %s\n", program[0],
                    RECORDER_NAME);
            own = EXIT_OWN;
        }
        return own;
    }
    int own = finish(&recording, end_ticks, end_ns);
    if (own != 0) {
        return own;
    }
    if (WIFSIGNALED(ended)) {
        die_of(WTERMSIG(ended));
    }
    return WIFEXITED(ended) ? WEXITSTATUS(ended) : EXIT_OWN;
}
