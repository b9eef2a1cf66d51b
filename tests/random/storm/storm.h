/*
 * storm: what the storm calls by two names: the library's calls, or malloc and what the drop-in
 * exports.
 */
#ifndef MEMORYBUCKET_TESTS_STORM_H
#define MEMORYBUCKET_TESTS_STORM_H

#include "memorybucket/memorybucket.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STORM_CHECK(condition, ...)                                                                \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            storm_say("storm: failed: " #condition ": " __VA_ARGS__);                              \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* To stderr without a stream, whose lock somebody may have. */
__attribute__((format(printf, 1, 2))) static inline void storm_say(const char *format, ...)
{
    char line[300];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    size_t used = length < 0 ? 0 : (size_t)length;
    used = used < sizeof line - 2 ? used : sizeof line - 2;
    line[used] = '\n';
    if (write(STDERR_FILENO, line, used + 1) < 0) {
        _exit(1);
    }
}

/* xorshift64*: Vigna, ACM TOMS 42 (2016). The state is not 0. */
static inline uint64_t storm_below(uint64_t *state, uint64_t limit)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (*state * UINT64_C(2685821657736338717) >> 32) % limit;
}

static inline pthread_t storm_start(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, function, argument);
    STORM_CHECK(error == 0, "pthread_create: %d", error);
    return thread;
}

#ifdef STORM_ON_MALLOC

#include <dlfcn.h>

#define STORM_NAME "the drop-in"
#define storm_alloc malloc
#define storm_free free

static int (*storm_stats_get)(struct mb_stats *stats, size_t size_bytes);
static void (*storm_stats_print)(FILE *stream);
static size_t (*storm_trim)(size_t keep_bytes);
static int (*storm_background_start)(void);
static void (*storm_background_stop)(void);

static inline void *storm_find(const char *name)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);
    STORM_CHECK(symbol != NULL, "%s: the drop-in is not here", name);
    return symbol;
}

static inline void storm_begin(void)
{
    *(void **)(void *)&storm_stats_get = storm_find("mb_stats_get");
    *(void **)(void *)&storm_stats_print = storm_find("mb_stats_print");
    *(void **)(void *)&storm_trim = storm_find("mb_trim");
    *(void **)(void *)&storm_background_start = storm_find("mb_background_start");
    *(void **)(void *)&storm_background_stop = storm_find("mb_background_stop");
}

#else

#define STORM_NAME "the library"
#define storm_alloc mb_alloc
#define storm_free mb_free
#define storm_stats_get mb_stats_get
#define storm_stats_print mb_stats_print
#define storm_trim mb_trim
#define storm_background_start mb_background_start
#define storm_background_stop mb_background_stop

static inline void storm_begin(void)
{
    STORM_CHECK(mb_init() == 0, "no region");
}

#endif

static inline void storm_look(FILE *nowhere)
{
    static _Thread_local struct mb_stats stats;
    STORM_CHECK(storm_stats_get(&stats, sizeof stats) == 0, "no statistics");
    storm_stats_print(nowhere);
}

static inline void storm_trim_and_background(void)
{
    (void)storm_trim(0);
    STORM_CHECK(storm_background_start() == 0, "no background thread");
    storm_background_stop();
}

#endif
