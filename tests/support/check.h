/* check: the one check of test programs that are built without the library's own headers. */
#ifndef MEMORYBUCKET_TESTS_CHECK_H
#define MEMORYBUCKET_TESTS_CHECK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: failed: %s (errno %d)\n", __FILE__, __LINE__, #condition,      \
                    errno);                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The same with words. */
#define CHECK_SAY(condition, message)                                                              \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: failed: %s: %s\n", __FILE__, __LINE__, #condition, message);   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
