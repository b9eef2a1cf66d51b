/*
 * runner: goes over every call of every function that can fail.
 *
 * The program runs once as it is, and its calls are counted; then once for each call that is
 * chosen and each way to fail, or the ways in turn. It has passed when it ends with 0: what must
 * hold is checked in the program. A run that does not come to the call, as threads made another
 * order, is counted as missed.
 */
#include "plan.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MAX = 64, FAILURES_SHOWN = 10, FIRST_CALLS = 50 };

static const char usage[] =
    "usage: fault_runner [--every N] [--first N] [--jobs N] [--seconds N]\n"
    "                    [--ways both|turns] [--only FUNCTION once|from N] PROGRAM [ARGUMENT...]\n"
    "  --every N     of the calls beyond the first ones, only each Nth and the last; default 1\n"
    "  --first N     how many are the first ones; default 50\n"
    "  --ways ...    each of these calls fails once, and from then on (both, the default), or one\n"
    "                call from then on, the next once, and so on (turns)\n"
    "                The environment overrules it: FAULT_ALL, each call in both ways;\n"
    "                FAULT_MORE=N, N times as many first ones and Nth ones, in both ways\n"
    "  --jobs N      so many runs at the same time; default 2\n"
    "  --seconds N   a run that takes longer hangs; default 300\n"
    "  --only ...    this one run, with its output; ANY counts the calls of all functions\n";

#define FAULT_NAME_AS_TEXT(name) #name,
static const char *const names[] = { FAULT_FUNCTIONS(FAULT_NAME_AS_TEXT) "ANY" };
static const char *const modes[] = { "never", "once", "from" };

struct plan {
    enum fault_function function;
    enum fault_mode mode;
    uint64_t nth;
};

/* A run under way; pid 0: none. */
struct job {
    pid_t pid;
    struct plan plan;
    struct fault_page *page;
    int page_file;
    int output;
    time_t deadline;
};

static struct job jobs[JOBS_MAX];
static struct {
    char **command;
    uint64_t every;
    uint64_t first;
    uint64_t jobs;
    uint64_t seconds;
    bool in_turns;
    bool only;
    struct plan plan;
} options = { .every = 1, .first = FIRST_CALLS, .jobs = 2, .seconds = 300 };

static struct {
    uint64_t runs;
    uint64_t missed;
    uint64_t failures;
} totals;

/* Calls that did fail, by function; and runs by function and mode. */
static uint64_t failed_calls[FAULT_COUNT];
static uint64_t runs[FAULT_COUNT][3];

static void die(const char *what)
{
    fprintf(stderr, "fault_runner: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void die_of_usage(void)
{
    fputs(usage, stderr);
    exit(2);
}

static void job_open(struct job *job)
{
    job->page_file = memfd_create("plan", MFD_CLOEXEC);
    if (job->page_file < 0 || ftruncate(job->page_file, sizeof *job->page) != 0) {
        die("memfd_create");
    }
    void *page = mmap(NULL, sizeof *job->page, PROT_READ | PROT_WRITE, MAP_SHARED,
                      job->page_file, 0);
    if (page == MAP_FAILED) {
        die("mmap");
    }
    job->page = page;
}

static void job_exec(const struct job *job)
{
    setpgid(0, 0); /* what it forks ends with it */
    if (dup2(job->page_file, FAULT_FD) < 0
        || (!options.only && (dup2(job->output, 1) < 0 || dup2(job->output, 2) < 0))) {
        die("dup2");
    }
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): parse has set it */
    execvp(options.command[0], options.command);
    die(options.command[0]);
}

static void job_start(struct job *job, struct plan plan)
{
    memset(job->page, 0, sizeof *job->page);
    job->page->magic = FAULT_MAGIC;
    job->page->function = plan.function;
    job->page->mode = plan.mode;
    job->page->nth = plan.nth;
    job->plan = plan;
    job->output = memfd_create("output", MFD_CLOEXEC);
    job->deadline = time(NULL) + (time_t)options.seconds;
    job->pid = fork();
    if (job->pid < 0 || job->output < 0) {
        die("fork");
    }
    if (job->pid == 0) {
        job_exec(job);
    }
    setpgid(job->pid, job->pid); /* whoever is first */
}

static void print_command(void)
{
    for (char **word = options.command; *word != NULL; word++) {
        printf("%s%s", word == options.command ? "" : " ", *word);
    }
}

static void show_failure(const struct job *job, int status, bool hangs)
{
    printf("FAILED: ");
    print_command();
    if (job->plan.mode == FAULT_NEVER) {
        printf("\n  where nothing fails,");
    } else {
        printf("\n  where %s fails %s call %llu,", names[job->plan.function],
               job->plan.mode == FAULT_ONCE ? "at" : "from",
               (unsigned long long)job->plan.nth);
    }
    if (hangs) {
        printf(" does not end");
    } else if (WIFSIGNALED(status)) {
        printf(" ends by signal %d", WTERMSIG(status));
    } else {
        printf(" ends with status %d", WEXITSTATUS(status));
    }
    printf("; its output:\n");
    fflush(stdout);
    off_t offset = 0;
    while (sendfile(STDOUT_FILENO, job->output, &offset, 4000) > 0) {
    }
    printf("  again, in a debugger's reach: --only %s %s %llu\n\n", names[job->plan.function],
           modes[job->plan.mode], (unsigned long long)job->plan.nth);
}

static void job_end(struct job *job, int status, bool hangs)
{
    bool passed = !hangs && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    uint64_t failed = 0;
    for (int function = 0; function < FAULT_ANY; function++) {
        uint64_t calls = atomic_load_explicit(&job->page->failed[function],
                                              memory_order_relaxed); /* [TEST] */
        failed_calls[function] += calls;
        failed += calls;
    }
    totals.runs++;
    totals.missed += job->plan.mode != FAULT_NEVER && failed == 0;
    runs[job->plan.function][job->plan.mode]++;
    if (!passed && totals.failures++ < FAILURES_SHOWN) {
        show_failure(job, status, hangs);
    }
    close(job->output);
    job->pid = 0;
}

static void job_kill_late(struct job *job)
{
    if (job->pid != 0 && time(NULL) > job->deadline) {
        int status;
        kill(-job->pid, SIGKILL);
        waitpid(job->pid, &status, 0);
        job_end(job, status, true);
    }
}

/* Waits until one of the runs has ended, or a second has gone by. */
static void wait_for_any(void)
{
    sigset_t child_ended;
    sigemptyset(&child_ended);
    sigaddset(&child_ended, SIGCHLD);
    struct timespec second = { .tv_sec = 1, .tv_nsec = 0 };
    bool any = false;
    for (size_t i = 0; i < options.jobs; i++) {
        int status;
        if (jobs[i].pid != 0 && waitpid(jobs[i].pid, &status, WNOHANG) == jobs[i].pid) {
            kill(-jobs[i].pid, SIGKILL); /* a forked child that was left behind */
            job_end(&jobs[i], status, false);
            any = true;
        }
        job_kill_late(&jobs[i]);
    }
    if (!any) {
        sigtimedwait(&child_ended, NULL, &second);
    }
}

static struct job *free_job(void)
{
    for (;;) {
        for (size_t i = 0; i < options.jobs; i++) {
            if (jobs[i].pid == 0) {
                return &jobs[i];
            }
        }
        wait_for_any();
    }
}

static void finish_jobs(void)
{
    for (size_t i = 0; i < options.jobs; i++) {
        while (jobs[i].pid != 0) {
            wait_for_any();
        }
    }
}

/* Counts the calls of a run where nothing fails; false when that run fails. */
static bool count_calls(uint64_t calls[FAULT_COUNT])
{
    job_start(&jobs[0], (struct plan){ .function = FAULT_ANY, .mode = FAULT_NEVER, .nth = 0 });
    finish_jobs();
    for (int function = 0; function < FAULT_COUNT; function++) {
        calls[function] = atomic_load_explicit(&jobs[0].page->calls[function],
                                               memory_order_relaxed); /* [TEST] */
    }
    return totals.failures == 0;
}

static void run_all(enum fault_function function, uint64_t calls)
{
    bool once = false;
    for (uint64_t nth = 1; nth <= calls; nth++) {
        if (nth > options.first && nth % options.every != 0 && nth != calls) {
            continue;
        }
        if (function == FAULT_ANY) { /* once, by its own function, is enough */
            job_start(free_job(), (struct plan){ function, FAULT_FROM, nth });
            continue;
        }
        if (!options.in_turns || once) {
            job_start(free_job(), (struct plan){ function, FAULT_ONCE, nth });
        }
        if (!options.in_turns || !once) {
            job_start(free_job(), (struct plan){ function, FAULT_FROM, nth });
        }
        once = !once;
    }
}

static void print_choice(void)
{
    printf("of each function fail the first %llu calls, each %llu%s and the last, %s\n",
           (unsigned long long)options.first, (unsigned long long)options.every,
           options.every == 1 ? "st" : "th",
           options.in_turns ? "once and from then on in turn" : "once, and from then on");
}

static int report(const uint64_t calls[FAULT_COUNT])
{
    printf("%-22s %8s %10s %10s %14s\n", "function", "calls", "runs: once", "from n on",
           "calls failed");
    for (int function = 0; function < FAULT_COUNT; function++) {
        if (calls[function] != 0) {
            printf("%-22s %8llu %10llu %10llu", names[function],
                   (unsigned long long)calls[function],
                   (unsigned long long)runs[function][FAULT_ONCE],
                   (unsigned long long)runs[function][FAULT_FROM]);
            if (function != FAULT_ANY) {
                printf(" %14llu", (unsigned long long)failed_calls[function]);
            }
            putchar('\n');
        }
    }
    printf("%llu runs, of which %llu did not come to their call; %llu failed\n",
           (unsigned long long)totals.runs, (unsigned long long)totals.missed,
           (unsigned long long)totals.failures);
    return totals.failures != 0;
}

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    unsigned long long value = text != NULL ? strtoull(text, &end, 10) : 0;
    if (text == NULL || *end != '\0' || errno != 0 || value == 0) {
        die_of_usage();
    }
    return value;
}

static struct plan parse_plan(char **words)
{
    struct plan plan = { .function = FAULT_ANY, .mode = FAULT_FROM, .nth = 0 };
    if (words[0] == NULL || words[1] == NULL) {
        die_of_usage();
    }
    while (plan.function > 0 && strcmp(names[plan.function], words[0]) != 0) {
        plan.function--;
    }
    if (strcmp(names[plan.function], words[0]) != 0
        || (strcmp(words[1], "once") != 0 && strcmp(words[1], "from") != 0)) {
        die_of_usage();
    }
    plan.mode = strcmp(words[1], "once") == 0 ? FAULT_ONCE : FAULT_FROM;
    plan.nth = number(words[2]);
    return plan;
}

static void parse(char **word)
{
    for (; *word != NULL && strncmp(*word, "--", 2) == 0; word += 2) {
        if (strcmp(*word, "--every") == 0) {
            options.every = number(word[1]);
        } else if (strcmp(*word, "--first") == 0) {
            options.first = number(word[1]);
        } else if (strcmp(*word, "--jobs") == 0) {
            options.jobs = number(word[1]);
        } else if (strcmp(*word, "--seconds") == 0) {
            options.seconds = number(word[1]);
        } else if (strcmp(*word, "--ways") == 0) {
            options.in_turns = word[1] != NULL && strcmp(word[1], "turns") == 0;
            if (!options.in_turns && (word[1] == NULL || strcmp(word[1], "both") != 0)) {
                die_of_usage();
            }
        } else if (strcmp(*word, "--only") == 0) {
            options.only = true;
            options.plan = parse_plan(word + 1);
            word += 2;
        } else {
            die_of_usage();
        }
    }
    options.command = word;
    if (*word == NULL || options.jobs > JOBS_MAX) {
        die_of_usage();
    }
}

/* What the environment wants beyond the arguments. */
static void take_environment(void)
{
    const char *times = getenv("FAULT_MORE");
    if (times != NULL) {
        uint64_t more = number(times);
        options.first *= more;
        options.every = (options.every + more - 1) / more;
        options.in_turns = false;
    }
    if (getenv("FAULT_ALL") != NULL) {
        options.every = 1;
        options.in_turns = false;
    }
}

int main(int argc, char **argv)
{
    (void)argc;
    parse(argv + 1);
    take_environment();
    sigset_t child_ended;
    sigemptyset(&child_ended);
    sigaddset(&child_ended, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child_ended, NULL);
    for (size_t i = 0; i < options.jobs; i++) {
        job_open(&jobs[i]);
    }
    if (options.only) {
        job_start(&jobs[0], options.plan);
        finish_jobs();
        return totals.failures != 0;
    }
    print_choice();
    uint64_t calls[FAULT_COUNT];
    if (!count_calls(calls)) {
        return 1;
    }
    for (enum fault_function function = 0; function < FAULT_COUNT; function++) {
        run_all(function, calls[function]);
    }
    finish_jobs();
    return report(calls);
}
