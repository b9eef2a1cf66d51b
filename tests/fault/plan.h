/*
 * plan: which call of which function fails, and the counts of all of them.
 *
 * Owned by the runner, which passes a page of shared memory on as descriptor FAULT_FD: the program
 * under test, its threads and the children it forks count in it, and what they counted is there
 * also when they crash. Without that descriptor nothing is counted and nothing fails.
 * Callers: wrapped.c and next_allocator.c (before each call), the programs (the end of the faults),
 * the runner.
 */
#ifndef MEMORYBUCKET_TESTS_FAULT_PLAN_H
#define MEMORYBUCKET_TESTS_FAULT_PLAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The functions that can fail. The system allocator's come last. */
#define FAULT_FUNCTIONS(X)                                                                         \
    X(mmap)                                                                                        \
    X(mprotect)                                                                                    \
    X(madvise)                                                                                     \
    X(mincore)                                                                                     \
    X(getrlimit)                                                                                   \
    X(sched_getaffinity)                                                                           \
    X(membarrier)                                                                                  \
    X(openat)                                                                                      \
    X(read)                                                                                        \
    X(pthread_key_create)                                                                          \
    X(pthread_setspecific)                                                                         \
    X(pthread_mutex_init)                                                                          \
    X(pthread_atfork)                                                                              \
    X(pthread_create)                                                                              \
    X(malloc)                                                                                      \
    X(calloc)                                                                                      \
    X(realloc)                                                                                     \
    X(posix_memalign)

#define FAULT_NAME_IN_ENUM(name) FAULT_##name,
enum fault_function {
    FAULT_FUNCTIONS(FAULT_NAME_IN_ENUM)
    FAULT_ANY, /* all of them, counted together */
    FAULT_COUNT,
    FAULT_SYSTEM_ALLOCATOR = FAULT_malloc,
};

enum fault_mode {
    FAULT_NEVER, /* only counted */
    FAULT_ONCE,  /* exactly the nth call fails */
    FAULT_FROM,  /* the nth call and all that follow */
};

/* Large, so that no program takes it for one of its own. */
enum { FAULT_FD = 199 };

#define FAULT_MAGIC UINT64_C(0x6661756c74706c61)

struct fault_page {
    uint64_t magic;
    /* The plan: written by the runner before the program starts. */
    enum fault_function function;
    enum fault_mode mode;
    uint64_t nth; /* 1 is the first call */
    /* relaxed [TEST]: counts, which order nothing. */
    _Atomic uint64_t calls[FAULT_COUNT];
    _Atomic uint64_t failed[FAULT_COUNT];
    _Atomic bool over; /* the program has ended the faults; nothing is counted any more */
};

/* Counts a call; true when it shall fail. */
bool fault_happens(enum fault_function function);

/* The same for functions that tell by errno, which is set. */
bool fault_fails_with(enum fault_function function, int error);

/* From now on nothing fails. */
void fault_end(void);

/* The shared page, or NULL without a runner. */
struct fault_page *fault_page(void);

/* How often the function, or any function of the system allocator, has failed in this thread. */
uint64_t fault_failed_here(enum fault_function function);
uint64_t fault_system_failed_here(void);

#endif
