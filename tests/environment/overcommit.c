/*
 * overcommit MODE: the library serves under each vm.overcommit_memory, 0 (heuristic), 1 (always)
 * and 2 (never): nothing counts that is not used, as nothing else is mapped.
 *
 * Needs root, and changes the whole machine for a moment, so that no other test may run meanwhile.
 * A guard, which no signal to this program or its group reaches, puts the old mode back as soon as
 * this program has gone, however that came about.
 */
#include "testing.h"

#include "core/region.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, OBJECTS = 100000 };

static const char mode_file[] = "/proc/sys/vm/overcommit_memory";

static bool is_mode(char mode)
{
    return mode >= '0' && mode <= '2';
}

static char mode_read(void)
{
    char mode = '?';
    int file = open(mode_file, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        (void)!read(file, &mode, 1);
        close(file);
    }
    return mode;
}

static bool mode_write(char mode)
{
    int file = open(mode_file, O_WRONLY | O_CLOEXEC);
    bool written = file >= 0 && write(file, &mode, 1) == 1;
    if (file >= 0) {
        close(file);
    }
    return written;
}

/* How much the machine would let its processes ask for in mode 2; what they have counts in any mode. */
static bool has_room(void)
{
    enum { ROOM_KIB = 2 << 20 }; /* several times what this program asks for */
    unsigned long limit = 0;
    unsigned long taken = 0;
    char line[256];
    FILE *file = fopen("/proc/meminfo", "r");
    CHECK(file != NULL, "/proc/meminfo");
    while (fgets(line, sizeof line, file) != NULL) {
        (void)sscanf(line, "CommitLimit: %lu", &limit);
        (void)sscanf(line, "Committed_AS: %lu", &taken);
    }
    fclose(file);
    return limit > taken && limit - taken >= ROOM_KIB;
}

static void *run(void *argument)
{
    static _Thread_local void *objects[OBJECTS];
    use_objects(objects, OBJECTS, 512);
    return argument;
}

/* The mode that stands when a library comes up counts: this is a program of its own. */
static void serve(void)
{
    pthread_t threads[THREADS];
    struct rlimit limit;
    CHECK(mb_init() == 0, "no region");
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0, "getrlimit");
    CHECK(limit.rlim_cur != RLIM_INFINITY
              || mbi_region.span_bytes[SPAN_WIDE] == (size_t)1 << WIDE_SHIFT_MAX,
          "spans of %zu bytes", mbi_region.span_bytes[SPAN_WIDE]);
    CHECK(mbi_region_claimed_bytes() <= 1 << 20, "%zu bytes are claimed",
          mbi_region_claimed_bytes());
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] = start_thread(run, NULL);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    /* A child's copy counts too. */
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        run(NULL);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "child: status %x", (unsigned)status);
    check_accounting(0);
}

/* Waits until nobody can write to `alive`, and puts the old mode back. */
static void guard(int alive, char mode)
{
    sigset_t all;
    char nothing;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    setsid();
    while (read(alive, &nothing, 1) > 0) {
    }
    _exit(mode_write(mode) ? 0 : 1);
}

/*
 * A grandchild of its own session, so that who ends this program and its children does not find it.
 * Returns the end of a pipe that keeps it waiting; `ended` is at its end once the guard is.
 */
static int start_guard(char mode, int *ended)
{
    int alive[2];
    int over[2];
    CHECK(pipe2(alive, O_CLOEXEC) == 0 && pipe2(over, O_CLOEXEC) == 0, "pipe2");
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        close(alive[1]);
        close(over[0]);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            guard(alive[0], mode);
        }
        _exit(grandchild > 0 ? 0 : 1);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "no guard");
    close(alive[0]);
    close(over[1]);
    *ended = over[0];
    return alive[1];
}

static void serve_in_own_program(char **argv)
{
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        setenv("TEST_SERVE", "1", 1);
        execv("/proc/self/exe", argv);
        _exit(1);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "in mode %s: status %x", argv[1],
          (unsigned)status);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2 && is_mode(argv[1][0]), "usage: overcommit 0|1|2");
    if (getenv("TEST_SERVE") != NULL) {
        serve();
        return 0;
    }
    char mode_before = mode_read();
    if (!is_mode(mode_before) || !mode_write(mode_before)) {
        printf("%s cannot be written: mode %s was not tested\n", mode_file, argv[1]);
        return SKIPPED;
    }
    if (argv[1][0] == '2' && !has_room()) {
        puts("other processes have what mode 2 would allow: it was not tested");
        return SKIPPED;
    }
    int guard_ended;
    int alive = start_guard(mode_before, &guard_ended);
    char nothing;
    CHECK(mode_write(argv[1][0]) && mode_read() == argv[1][0], "the mode cannot be set");
    serve_in_own_program(argv);
    close(alive);
    CHECK(read(guard_ended, &nothing, 1) == 0 && mode_read() == mode_before,
          "the mode was %c and is %c", mode_before, mode_read());
    return 0;
}
