/*
 * report quick_exit|fork: ends of processes at which MB_STATS reports, too.
 *
 *   quick_exit  no destructor runs
 *   fork        the parent's large requests are not the child's
 */
#include "check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *volatile sink;

static void allocate_large(int times)
{
    for (int i = 0; i < times; i++) {
        sink = malloc(1000);
        CHECK(sink != NULL);
        free(sink);
    }
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    if (strcmp(argv[1], "quick_exit") == 0) {
        for (int i = 0; i < 200; i++) {
            sink = malloc(100);
        }
        quick_exit(0);
    }
    CHECK(strcmp(argv[1], "fork") == 0);
    allocate_large(5000);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        allocate_large(300);
        exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    return 0;
}
