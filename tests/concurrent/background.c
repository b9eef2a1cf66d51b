/*
 * background: a process that sleeps gets its free memory back to the operating system when, and
 * only when, it asked for the thread that does it; also after a fork, in a child that asks, and in
 * one that does not: its first request that takes a slow path starts the thread, unless it wants
 * none.
 *
 * Nothing here waits for a time: it waits until memory has gone, and the runner's limit tells when
 * it never does.
 *
 * Arguments: environment (MB_BACKGROUND=1) or call (mb_background_start).
 */
#include "border.h"
#include "testing.h"

#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OBJECTS_MAX = 200000, BYTES = 200 * OBJECTS_MAX };

static void *objects[OBJECTS_MAX];
static size_t size; /* 200, or with upper pools a page and a half */
static size_t count;

static uint64_t released_bytes(void)
{
    static struct mb_stats stats;
    mb_stats_get(&stats, sizeof stats);
    return stats.released_bytes;
}

static void use(void)
{
    for (size_t i = 0; i < count; i++) {
        objects[i] = mb_alloc(size);
        CHECK(objects[i] != NULL, "no memory");
        memset(objects[i], 1, size);
    }
}

static void free_all(void)
{
    mb_free_batch(count, objects);
    mb_thread_idle();
}

static void use_and_free(void)
{
    use();
    free_all();
}

/* Statistics and sleep only: no slow path of ours would do the work. */
static void wait_until_released(void)
{
    while (released_bytes() < (uint64_t)BYTES * 9 / 10) {
        usleep(10000);
    }
}

static size_t threads_of_this_process(void)
{
    size_t tasks_count = 0;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL, "/proc/self/task");
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        tasks_count += task->d_name[0] != '.';
    }
    closedir(tasks);
    return tasks_count - TEST_IS_EMULATED; /* qemu has one of its own */
}

static void child(void)
{
    CHECK(threads_of_this_process() == 1, "a child began with %zu threads",
          threads_of_this_process());
    mb_background_stop(); /* there is none, and shall be none */
    use_and_free();
    CHECK(threads_of_this_process() == 1, "the thread came back, although it was stopped");
    if (!TEST_IS_SANITIZED) { /* those of gcc 12 have no threads in a child */
        CHECK(mb_background_start() == 0, "no background thread in a child");
        use_and_free();
        wait_until_released();
        mb_background_stop();
    }
    _exit(0);
}

/* The thread is there after a request's slow path, and not before: nor in a grandchild, nor by frees. */
static void child_that_does_not_ask(void)
{
    CHECK(threads_of_this_process() == 1, "the fork handler started a thread");
    pid_t grandchild = fork();
    CHECK(grandchild >= 0, "fork");
    if (grandchild == 0) {
        CHECK(threads_of_this_process() == 1, "the second fork started a thread");
        use_and_free();
        CHECK(threads_of_this_process() == 2, "no thread in a child of the child");
        wait_until_released();
        _exit(0);
    }
    int status;
    CHECK(waitpid(grandchild, &status, 0) == grandchild && status == 0, "status %x",
          (unsigned)status);
    mb_free_batch(count, objects);
    CHECK(threads_of_this_process() == 1, "a free brought the thread");
    use_and_free();
    CHECK(threads_of_this_process() == 2, "a slow path brought %zu threads",
          threads_of_this_process());
    wait_until_released();
    mb_background_stop();
    mb_background_stop();
    _exit(0);
}

static void check_child_that_does_not_ask(void)
{
    for (size_t i = 0; i < count; i++) {
        objects[i] = mb_alloc(size);
    }
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        child_that_does_not_ask();
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "child: status %x", (unsigned)status);
    mb_free_batch(count, objects);
}

int main(int argc, char **argv)
{
    bool by_environment = argc > 1 && strcmp(argv[1], "environment") == 0;
    setenv("MB_DECAY_MS", "20", 1);
    if (by_environment) {
        setenv("MB_BACKGROUND", "1", 1);
    }
    size = small_or_upper(200, 6144);
    count = BYTES / size;
    CHECK(TEST_IS_SANITIZED || threads_of_this_process() == (by_environment ? 2 : 1),
          "there are %zu threads", threads_of_this_process());
    if (!by_environment) {
        CHECK(mb_background_start() == 0, "no background thread");
        CHECK(mb_background_start() == 0, "a second start does nothing");
    }
    use_and_free();
    wait_until_released();

    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        child();
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0,
          "child: status %x", (unsigned)status);

    if (!TEST_IS_SANITIZED) {
        check_child_that_does_not_ask();
    }
    mb_thread_idle();
    wait_until_released();
    uint64_t before = released_bytes();
    use(); /* takes back what was released, and the thread finds nothing free to give back meanwhile */
    CHECK(released_bytes() < before, "nothing was taken back");
    free_all();
    wait_until_released();
    mb_background_stop();
    mb_background_stop();
    check_accounting(0);

    /* Without the thread, nothing goes back in a process that sleeps. */
    use_and_free();
    before = released_bytes();
    usleep(200000);
    CHECK(released_bytes() == before, "who gave memory back?");
    return 0;
}
