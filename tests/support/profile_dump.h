/*
 * profile_dump: takes a dump of the heap profile, and adds up what it says of functions.
 */
#ifndef MEMORYBUCKET_TESTS_PROFILE_DUMP_H
#define MEMORYBUCKET_TESTS_PROFILE_DUMP_H

#include "memorybucket/memorybucket.h"

#include "check.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct figures {
    double live_objects;
    double live_bytes;
    double objects;
    double bytes;
};

/* A function's code is at most so long here; its stacks have a return address in it. */
enum { FUNCTION_BYTES = 160, DUMP_LINE_BYTES = 4096 };

static inline bool line_is_of(const char *line, uintptr_t function)
{
    for (const char *at = strchr(line, '@'); at != NULL; at = strchr(at + 1, ' ')) {
        uintptr_t address = strtoul(at + 1, NULL, 16);
        if (address - function < FUNCTION_BYTES) {
            return true;
        }
    }
    return false;
}

/* What a dump says of stacks through a function; 0: the sum in its first line. */
static inline struct figures figures_in(FILE *dump, uintptr_t function)
{
    char line[DUMP_LINE_BYTES];
    struct figures sum = { .bytes = 0 };
    rewind(dump);
    while (fgets(line, sizeof line, dump) != NULL && strncmp(line, "MAPPED", 6) != 0) {
        struct figures one;
        bool is_header = strncmp(line, "heap profile: ", 14) == 0;
        if (sscanf(is_header ? line + 14 : line, "%lf: %lf [%lf: %lf]", &one.live_objects,
                   &one.live_bytes, &one.objects, &one.bytes) == 4
            && (function == 0 ? is_header : !is_header && line_is_of(line, function))) {
            sum.live_objects += one.live_objects;
            sum.live_bytes += one.live_bytes;
            sum.objects += one.objects;
            sum.bytes += one.bytes;
        }
    }
    return sum;
}

static inline FILE *dump_profile(void)
{
    FILE *file = tmpfile();
    CHECK(file != NULL, "tmpfile");
    int error = mb_profile_dump(fileno(file));
    CHECK(error == 0, "mb_profile_dump: %s", strerror(-error));
    return file;
}

/* A number of the line behind the first, such as "samples". */
static inline unsigned long dump_count(FILE *dump, const char *name)
{
    char line[DUMP_LINE_BYTES];
    rewind(dump);
    while (fgets(line, sizeof line, dump) != NULL) {
        const char *at = line[0] == '#' ? strstr(line, name) : NULL;
        if (at != NULL) {
            return strtoul(at + strlen(name), NULL, 10);
        }
    }
    return 0;
}

#endif
