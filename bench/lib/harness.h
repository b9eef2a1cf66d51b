/*
 * harness: what the workloads of bench/compare.sh and bench/memory.sh share: options, threads,
 * clocks, rows.
 *
 * A workload's program is run once per allocator and turn, as
 *   PROGRAM --name WORKLOAD --threads N --expect LIBRARY [--work PERCENT] [--pin] ARGUMENTS
 * and prints, tab separated, one line a figure:
 *   workload, threads, metric, unit, value
 * Before it measures, it checks that LIBRARY is the one that serves (harness_start).
 */
#ifndef MEMORYBUCKET_BENCH_HARNESS_H
#define MEMORYBUCKET_BENCH_HARNESS_H

#include "allocator.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BENCH_THREADS_MAX = 1024, BENCH_PAGE_BYTES = 4096 };

struct harness {
    const char *name;   /* the workload's, for the rows */
    unsigned threads;   /* that work at once */
    unsigned work;      /* percent of the usual number of operations */
    bool pin;           /* thread i to core i, modulo the cores */
    char **arguments;   /* what follows the options */
    int argument_count;
};

extern struct harness harness;

/*
 * Reads the options, and checks which allocator serves: --expect names a part of the path of the
 * library that malloc, in native programs mb_alloc, lies in. `native` and `object`, a small object
 * from the allocator under test, come from the caller, which was compiled for it. Exits with a
 * message when anything is wrong. Call it through BENCH_START.
 */
void harness_start(int argc, char **argv, int argument_count, bool native, void *object);

#define BENCH_START(argc, argv, argument_count)                                                    \
    do {                                                                                           \
        void *bench_object = bench_alloc(HARNESS_OBJECT_BYTES);                                    \
        harness_start(argc, argv, argument_count, BENCH_NATIVE, bench_object);                     \
        bench_free(bench_object);                                                                  \
    } while (0)
enum { HARNESS_OBJECT_BYTES = 512 };

/* `usual` operations scaled by --work; at least `step`, and a multiple of it. */
uint64_t harness_operations(uint64_t usual, uint64_t step);

/* Number `index` of the arguments, from low to high. */
unsigned harness_number(int index, unsigned low, unsigned high);

/* The path of the library that the function lies in. */
const char *harness_library_of(void *function);

/* Runs `work(argument i)` in harness.threads threads at once, pinned if asked; waits for all. */
void harness_run_threads(void *(*work)(void *), void *arguments, size_t argument_bytes);

/* Its two halves, for a main thread that does something in between. */
void harness_start_threads(void *(*work)(void *), void *arguments, size_t argument_bytes);
void harness_join_threads(void);

/* For threads that a workload starts itself. */
void harness_pin(unsigned index);

/* CLOCK_MONOTONIC; CLOCK_PROCESS_CPUTIME_ID */
double harness_now_ns(void);
double harness_cpu_ns(void);

/* The time of `operations` is what passes between the two. */
void harness_clock_start(void);
void harness_clock_stop(uint64_t operations);

void harness_row(const char *metric, const char *unit, double value);

/* The last call: checks the sums, then peak and final resident memory. */
void harness_finish(uint64_t sum, uint64_t expected_sum);

/* The last call of programs that have other rows of memory: only checks the sums. */
void harness_finish_sums(uint64_t sum, uint64_t expected_sum);

/* Marsaglia's xorshift64 (Journal of Statistical Software 8, 2003). The state is never 0. */
static inline uint64_t bench_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

/* 0 .. range-1, from the upper bits. */
static inline uint64_t bench_random_below(uint64_t *state, uint64_t range)
{
    return (bench_random(state) >> 32) * range >> 32;
}

static inline uint64_t bench_seed(unsigned thread)
{
    return 0x9E3779B97F4A7C15U * (thread + 1);
}

/* Every object is written when it is allocated and read before it is freed. */
static inline __attribute__((always_inline)) void *bench_make(size_t size, uint64_t value)
{
    volatile uint64_t *object = bench_alloc(size);
    *object = value;
    return (void *)(uintptr_t)object;
}

/*
 * The same for objects that may be larger than a page: touched in each of their pages. What is never
 * touched is not in memory, and an allocator that seldom uses a page again would seem to need less.
 */
static inline __attribute__((always_inline)) void *bench_make_pages(size_t size, uint64_t value)
{
    volatile unsigned char *object = bench_alloc(size);
    for (size_t at = BENCH_PAGE_BYTES; at < size; at += BENCH_PAGE_BYTES) {
        object[at] = 1;
    }
    object[size - 1] = 1;
    *(volatile uint64_t *)object = value;
    return (void *)(uintptr_t)object;
}

static inline __attribute__((always_inline)) uint64_t bench_unmake(void *object)
{
    uint64_t value = *(volatile uint64_t *)object;
    bench_free(object);
    return value;
}

/* For workloads whose objects all have one size, known when they are compiled. */
static inline __attribute__((always_inline)) uint64_t bench_unmake_sized(void *object, size_t size)
{
    uint64_t value = *(volatile uint64_t *)object;
    bench_free_sized(object, size);
    return value;
}

#endif
