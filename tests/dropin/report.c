/*
 * report quick_exit|fork: ends of processes at which MB_STATS reports, too.
 *
 *   quick_exit  no destructor runs
 *   fork        the parent's large requests, and the slots that it took and returned, are not the
 *               child's
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
        sink = malloc(40000);
        CHECK(sink != NULL);
        free(sink);
    }
}

/* Their pool is hardly anybody else's. */
static void allocate_small(int times)
{
    enum { SMALL_BYTES = 440 };
    static void *objects[5000];
    CHECK(times <= 5000);
    for (int i = 0; i < times; i++) {
        objects[i] = malloc(SMALL_BYTES);
        CHECK(objects[i] != NULL);
    }
    for (int i = 0; i < times; i++) {
        free(objects[i]);
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
    allocate_small(5000);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        allocate_large(300);
        allocate_small(1000);
        exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    return 0;
}
