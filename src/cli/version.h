/*
 * version: what the programs say with --version, by the numbers of memorybucket.h.
 *
 * Ladder: needs nothing of src/. Callers: the programs' command lines.
 */
#ifndef MEMORYBUCKET_CLI_VERSION_H
#define MEMORYBUCKET_CLI_VERSION_H

#include "memorybucket/memorybucket.h"

#include <stdio.h>

static inline void version_print(const char *program)
{
    printf("%s (MemoryBucket) %d.%d.%d\n", program, MB_VERSION_MAJOR, MB_VERSION_MINOR,
           MB_VERSION_PATCH);
}

#endif
