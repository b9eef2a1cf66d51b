/* check: the one check of test programs, also of those that are built without the library's own headers. */
#ifndef MEMORYBUCKET_TESTS_CHECK_H
#define MEMORYBUCKET_TESTS_CHECK_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Whether qemu's user mode runs the program. It sets no limit of address space, its mincore knows no
 * pages without access, and the process's figures in /proc are qemu's own.
 */
#ifndef TEST_IS_EMULATED
#define TEST_IS_EMULATED 0
#endif

/* CHECK(condition [, "format", ...]): unless the condition holds, says where and what, and ends the program. */
#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            check_failed(__FILE__, __LINE__, #condition, " " __VA_ARGS__);                         \
        }                                                                                          \
    } while (0)

__attribute__((noreturn, cold, noinline, unused, format(printf, 4, 5))) static void
check_failed(const char *file, int line, const char *condition, const char *format, ...)
{
    int error = errno;
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s:%d: failed: %s (errno %d):", file, line, condition, error);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

#endif
