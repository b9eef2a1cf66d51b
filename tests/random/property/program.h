/*
 * program: a sequence of calls of the public API, as plain data that can be cut and printed.
 *
 * A byte string is a program of calls: CALL_BYTES bytes make a call, whatever they are. So the
 * random programs of property.c and the inputs of the fuzzer are the same thing.
 *
 * Callers: execute, shrink, print, property.c, the fuzzer.
 */
#ifndef MEMORYBUCKET_TESTS_PROPERTY_PROGRAM_H
#define MEMORYBUCKET_TESTS_PROPERTY_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { CALL_BYTES = 6, THREADS_ONE_BY_ONE = 4, PROGRAM_THREADS_MAX = 8 };
/* As in model.h, which stands alone. */
enum { PROGRAM_BATCH_MAX = 600, PROGRAM_SHARED_PLACES = 16 };

enum call_kind {
    CALL_ALLOC,         /* place, size */
    CALL_CALLOC,        /* place, size, extra: count */
    CALL_ALIGNED_ALLOC, /* place, size, extra: alignment */
    CALL_REALLOC,       /* place, size */
    CALL_FREE,          /* place */
    CALL_FREE_SIZED,    /* place, size: the hint */
    CALL_ALLOC_BATCH,   /* place: the first, size, extra: count */
    CALL_FREE_BATCH,    /* place: the first, extra: count */
    CALL_SHARE,         /* place, extra: the shared one */
    CALL_FLUSH,
    CALL_IDLE,
    CALL_BUSY,
    CALL_TRIM,    /* size: bytes to keep */
    CALL_LIMIT,   /* size: bytes */
    CALL_HANDLER, /* extra: 0 none, 1 refuses, 2 frees */
    CALL_STATS,
    CALL_BACKGROUND_START,
    CALL_BACKGROUND_STOP,
    CALL_INIT,
    CALL_THREAD_EXIT, /* the thread ends; its next call is a new thread's */
    CALL_CHECK,       /* the model's look at everything at rest */
    CALL_FINISH,      /* everything is freed, as at the end of a program */
};

struct call {
    enum call_kind kind;
    unsigned thread;
    size_t place;
    size_t size;
    size_t extra;
};

struct program {
    struct call *calls;
    size_t count;
    bool at_once; /* false: the calls of all threads one by one, in the order of the program */
};

/* Ends the process where there is no memory. */
void program_add_call(struct program *program, struct call call);
void program_clear(struct program *program);

/* Adds the calls of a byte string to a program whose threads take turns. */
void program_add_bytes(struct program *program, const uint8_t *bytes, size_t count);

/*
 * Adds `length` calls of the random numbers of `seed`: for threads that take turns, or, where the
 * program's run at once, for each of `threads`.
 */
void program_add_random(struct program *program, uint64_t seed, size_t length, unsigned threads);

/* Prints the program as C that compiles alone; `remark` says where it comes from. */
void program_print(const struct program *program, const char *remark, FILE *stream);

#endif
