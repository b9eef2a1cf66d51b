/* trial: a shared piece of memory says what is to be run, and how far it came. */
#include "property/trial.h"

#include "property/execute.h"
#include "testing.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* What a hang is: far more than any program takes, on any machine. */
enum { HANG_SECONDS = 300 };

static char trial_option[] = "--trial"; /* not const: it becomes an argument */
static char outcome[80];

/* Either `calls`, or random programs. Written before the process starts, but for `passed`. */
struct task {
    bool at_once;
    uint64_t first_seed;
    size_t programs; /* 0: the calls */
    size_t length;
    unsigned threads;
    _Atomic size_t passed; /* relaxed [TEST]: read after its writer's process has ended */
    size_t call_count;
    struct call calls[];
};

static struct task *task_map(int file, size_t bytes)
{
    struct task *task = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(task != MAP_FAILED, "mmap: %s", strerror(errno));
    return task;
}

static int task_create(const struct task *head, const struct call *calls, struct task **task)
{
    size_t bytes = sizeof *head + head->call_count * sizeof calls[0];
    int file = memfd_create("task", 0);
    CHECK(file >= 0 && ftruncate(file, (off_t)bytes) == 0, "memfd: %s", strerror(errno));
    *task = task_map(file, bytes);
    memcpy(*task, head, sizeof *head);
    if (head->call_count != 0) {
        memcpy((*task)->calls, calls, head->call_count * sizeof calls[0]);
    }
    return file;
}

static bool process_fails(pid_t process)
{
    int status;
    while (waitpid(process, &status, 0) != process) {
        CHECK(errno == EINTR, "waitpid: %s", strerror(errno));
    }
    if (WIFSIGNALED(status)) {
        snprintf(outcome, sizeof outcome, "%s (signal %d)",
                 WTERMSIG(status) == SIGALRM ? "hangs" : strsignal(WTERMSIG(status)),
                 WTERMSIG(status));
        return true;
    }
    snprintf(outcome, sizeof outcome, "exit status %d", WEXITSTATUS(status));
    return WEXITSTATUS(status) != 0;
}

/* Returns how many programs passed; `outcome` says the rest. */
static size_t task_run(const struct task *head, const struct call *calls, bool loud, bool *failed)
{
    struct task *task;
    int file = task_create(head, calls, &task);
    char number[16];
    snprintf(number, sizeof number, "%d", file);
    char *arguments[] = { trial_option, trial_option, number, NULL };
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (!loud) {
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    }
    pid_t process;
    int error = posix_spawn(&process, "/proc/self/exe", &actions, NULL, arguments, environ);
    CHECK(error == 0, "posix_spawn: %s", strerror(error));
    posix_spawn_file_actions_destroy(&actions);
    *failed = process_fails(process);
    size_t passed = atomic_load_explicit(&task->passed, memory_order_relaxed); /* [TEST] */
    munmap(task, sizeof *head + head->call_count * sizeof calls[0]);
    close(file);
    return passed;
}

bool trial_fails(const struct program *program, bool loud)
{
    bool failed;
    struct task head = { .at_once = program->at_once, .call_count = program->count };
    (void)task_run(&head, program->calls, loud, &failed);
    return failed;
}

const char *trial_outcome(void)
{
    return outcome;
}

size_t trial_count_passes(bool at_once, uint64_t first_seed, size_t count, size_t length,
                          unsigned threads)
{
    bool failed;
    struct task head = { .at_once = at_once, .first_seed = first_seed, .programs = count,
                         .length = length, .threads = threads };
    size_t passed = task_run(&head, NULL, false, &failed);
    CHECK(failed == (passed < count), "%zu of %zu programs passed, then: %s", passed, count,
          outcome);
    return passed;
}

static void run_random_programs(struct task *task)
{
    for (size_t i = 0; i < task->programs; i++) {
        struct program program = { .at_once = task->at_once };
        alarm(HANG_SECONDS);
        program_add_random(&program, task->first_seed + i, task->length, task->threads);
        execute(&program);
        program_clear(&program);
        atomic_store_explicit(&task->passed, i + 1, memory_order_relaxed); /* [TEST] */
    }
}

void trial_run_if_asked(char **arguments)
{
    struct stat status;
    if (arguments[1] == NULL || arguments[2] == NULL || strcmp(arguments[1], trial_option) != 0) {
        return;
    }
    int file = atoi(arguments[2]);
    CHECK(fstat(file, &status) == 0, "file %d: %s", file, strerror(errno));
    struct task *task = task_map(file, (size_t)status.st_size);
    alarm(HANG_SECONDS);
    if (task->programs != 0) {
        run_random_programs(task);
    } else {
        execute(&(struct program){ .calls = task->calls, .count = task->call_count,
                                   .at_once = task->at_once });
    }
    exit(0);
}
