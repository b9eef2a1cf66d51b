/* mbreplay_base: how mbreplay's files complain and get memory. */
#include "cli/mbreplay_base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* A line as a whole: threads of a replay may have something to say at the same time. */
static void say(const char *format, va_list arguments)
{
    fflush(stdout);
    flockfile(stderr);
    fputs("mbreplay: ", stderr);
    vfprintf(stderr, format, arguments);
    putc('\n', stderr);
    funlockfile(stderr);
}

void mbreplay_say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

void mbreplay_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    exit(EXIT_FAILURE);
}

void mbreplay_end(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    flockfile(stderr); /* for good: what else goes wrong meanwhile is not said */
    say(format, arguments);
    va_end(arguments);
    _exit(EXIT_FAILURE);
}

void *mbreplay_grow(void *old, size_t count, size_t bytes)
{
    void *grown = reallocarray(old, count != 0 ? count : 1, bytes);
    if (grown == NULL) {
        mbreplay_die("there is no memory for %zu times %zu bytes", count, bytes);
    }
    return grown;
}

void *mbreplay_zeroed(size_t count, size_t bytes)
{
    void *memory = calloc(count != 0 ? count : 1, bytes);
    if (memory == NULL) {
        mbreplay_die("there is no memory for %zu times %zu bytes", count, bytes);
    }
    return memory;
}

uint64_t mbreplay_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}
