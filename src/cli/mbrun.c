/*
 * mbrun: starts a program on the drop-in malloc.
 *
 *   mbrun PROGRAM [ARGS...]
 *
 * Puts libmemorybucket-malloc.so last in LD_PRELOAD and becomes the program, whose exit status is
 * therefore mbrun's. Last, so that tools which watch a program's malloc (heaptrack) stand in front of
 * it, as they do of the C library's. Statuses of its own: 127 the program is not found, 126 it cannot
 * be run, 125 mbrun itself failed, as env(1) has them.
 */
#include "cli/reach.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_OWN = 125, EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 };

#define DROPIN_NAME "libmemorybucket-malloc.so"

static const char usage[] =
    "Usage: mbrun PROGRAM [ARGS...]\n"
    "Runs PROGRAM with MemoryBucket as its malloc (through LD_PRELOAD), and with its exit status.\n"
    "\n"
    "MB_STATS=1 prints what the pools served when it exits; docs/tuning.md has the other variables.\n"
    "Set-user-ID and statically linked programs run without it, and mbrun says so.\n";

/* The folder of the running executable, without a trailing slash; false when unknown. */
static int own_folder(char folder[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    if (length <= 0) {
        return 0;
    }
    folder[length] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash == NULL) {
        return 0;
    }
    *slash = '\0';
    return 1;
}

/* In the folder that CMake installs it to, relative to bin/, or in a build tree's lib/. */
static int find_dropin(char path[PATH_MAX])
{
    static const char *const places[] = { MBRUN_LIBRARY_FROM_BIN "/" DROPIN_NAME,
                                          "../lib/" DROPIN_NAME };
    char folder[PATH_MAX];
    if (!own_folder(folder)) {
        return 0;
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        int length = snprintf(path, PATH_MAX, "%s/%s", folder, places[i]);
        if (length > 0 && length < PATH_MAX && access(path, R_OK) == 0) {
            return 1;
        }
    }
    return 0;
}

static int preload(const char *path)
{
    const char *others = getenv("LD_PRELOAD");
    if (others == NULL || *others == '\0') {
        return setenv("LD_PRELOAD", path, 1) == 0;
    }
    char *both;
    if (asprintf(&both, "%s:%s", others, path) < 0) {
        return 0;
    }
    int done = setenv("LD_PRELOAD", both, 1) == 0;
    free(both);
    return done;
}

int main(int argc, char **argv)
{
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    int first = argc >= 2 && strcmp(argv[1], "--") == 0 ? 2 : 1;
    if (first >= argc || (first == 1 && argv[1][0] == '-')) {
        if (first < argc) {
            fprintf(stderr, "mbrun: %s: no such option\n", argv[1]);
        }
        fputs(usage, stderr);
        return EXIT_OWN;
    }
    char path[PATH_MAX];
    if (!find_dropin(path)) {
        fprintf(stderr, "mbrun: %s is not in %s, seen from mbrun's folder\n", DROPIN_NAME,
                MBRUN_LIBRARY_FROM_BIN);
        return EXIT_OWN;
    }
    if (strpbrk(path, ": ") != NULL) {
        fprintf(stderr, "mbrun: %s: LD_PRELOAD cannot hold a path with a colon or a space\n", path);
        return EXIT_OWN;
    }
    if (!preload(path)) {
        fprintf(stderr, "mbrun: LD_PRELOAD: %s\n", strerror(errno));
        return EXIT_OWN;
    }
    const char *why_not = reach_why_not(argv[first]);
    if (why_not != NULL) {
        fprintf(stderr, "mbrun: %s runs without MemoryBucket, as %s\n", argv[first], why_not);
    }
    execvp(argv[first], argv + first);
    fprintf(stderr, "mbrun: %s: %s\n", argv[first], strerror(errno));
    return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}
