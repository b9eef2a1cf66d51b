/*
 * usage FILE PRELOAD PROGRAM [ARGS...]: runs a program with this LD_PRELOAD (none, if empty) and
 * appends to FILE what it and the children it waited for have used: CPU time in microseconds, page
 * faults, and the largest process's peak of resident KiB.
 *
 * Ends as the program did. Signals that end a server are passed on to it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile pid_t child;

static void pass_on(int signal)
{
    if (child > 0) {
        kill(child, signal);
    }
}

static long microseconds(struct timeval time)
{
    return (long)time.tv_sec * 1000000 + (long)time.tv_usec;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: usage FILE PRELOAD PROGRAM [ARGS...]\n");
        return 125;
    }
    static const int passed[] = { SIGTERM, SIGINT, SIGQUIT };
    const struct sigaction action = { .sa_handler = pass_on, .sa_flags = SA_RESTART };
    for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++) {
        sigaction(passed[i], &action, NULL);
    }
    child = fork();
    if (child == 0) {
        if (argv[2][0] != '\0') {
            setenv("LD_PRELOAD", argv[2], 1);
        }
        execvp(argv[3], argv + 3);
        fprintf(stderr, "usage: %s: %s\n", argv[3], strerror(errno));
        _exit(127);
    }
    int status = 0;
    struct rusage used;
    if (child < 0 || wait4(child, &status, 0, &used) != child) {
        fprintf(stderr, "usage: %s: %s\n", argv[3], strerror(errno));
        return 125;
    }
    FILE *file = fopen(argv[1], "a");
    if (file == NULL) {
        fprintf(stderr, "usage: %s: %s\n", argv[1], strerror(errno));
        return 125;
    }
    fprintf(file, "%ld %ld %ld\n", microseconds(used.ru_utime) + microseconds(used.ru_stime),
            used.ru_minflt + used.ru_majflt, used.ru_maxrss);
    if (fclose(file) != 0) {
        fprintf(stderr, "usage: %s: %s\n", argv[1], strerror(errno));
        return 125;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
