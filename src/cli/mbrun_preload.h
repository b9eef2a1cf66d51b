/*
 * mbrun_preload: what mbrun preloads, and into what.
 *
 * Ladder: a program's own; only mbrun is built from it.
 */
#ifndef MEMORYBUCKET_CLI_MBRUN_PRELOAD_H
#define MEMORYBUCKET_CLI_MBRUN_PRELOAD_H

#include <limits.h>
#include <stdbool.h>

/* As of env(1). */
enum { EXIT_OWN = 125, EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 };

/*
 * Preloads a library of this installation: behind what LD_PRELOAD has already, or in front of that.
 * 0; or EXIT_OWN, and says why.
 */
int mbrun_preload(const char *library, bool is_first);

/*
 * Why nothing can be preloaded into what execvp(name) will run, in words that end a sentence. NULL
 * when it can be, and when that is unknown: the file cannot be found or read, say.
 */
const char *mbrun_why_not_preloaded(const char *name);

/* Becomes the program, or says why not and returns the exit status for that. */
int mbrun_become(char **program);

#endif
