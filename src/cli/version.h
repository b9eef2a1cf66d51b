/*
 * version: what the programs say with --version, by the numbers of memorybucket.h, and --help.
 *
 * Ladder: needs nothing of src/. Callers: the programs' command lines.
 */
#ifndef MEMORYBUCKET_CLI_VERSION_H
#define MEMORYBUCKET_CLI_VERSION_H

#include "memorybucket/memorybucket.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* To the standard output, with which the program ends. False after a line. */
static inline bool help_print(const char *program, const char *text)
{
    bool good = fputs(text, stdout) != EOF && fflush(stdout) == 0;
    if (!good) {
        fprintf(stderr, "%s: standard output: %s\n", program, strerror(errno));
    }
    return good;
}

/* The same. */
static inline bool version_print(const char *program)
{
    char text[80];
    snprintf(text, sizeof text, "%s (MemoryBucket) %d.%d.%d\n", program, MB_VERSION_MAJOR,
             MB_VERSION_MINOR, MB_VERSION_PATCH);
    return help_print(program, text);
}

#endif
