/*
 * random: what does replacing a random object cost?
 * Matrix: THREADS, each with LIVE objects of its own; SIZES: a number, uniformly from 8 to so many
 * bytes; "geometric", as programs ask for them (geometric.h); or "log-uniform", from 8 to 16,384
 * (log_uniform.h).
 * Operation: one free and one allocation of another random size.
 */
#include "live_set.h"

#include "report.h"

#include <pthread.h>
#include <string.h>

enum { LIVE_MAX = 1000000 };
static void *objects[LIVE_MAX];
static struct live_set sets[BENCH_THREADS_MAX];
static unsigned live;
static unsigned size_max;
static uint64_t operations_per_thread;

static pthread_barrier_t start;

/* Compiled for each way to draw sizes, so that none is asked for in the loop. */
static inline __attribute__((always_inline)) void *run_by(struct live_set *set,
                                                          enum live_sizes sizes)
{
    const unsigned thread = (unsigned)(set - sets);
    live_set_fill_by(set, &objects[thread * live], live, size_max, thread, sizes);
    for (uint64_t i = 0; i < operations_per_thread / 10; i++) {
        live_set_replace_by(set, sizes);
    }
    if (pthread_barrier_wait(&start) == PTHREAD_BARRIER_SERIAL_THREAD) {
        harness_clock_start();
    }
    pthread_barrier_wait(&start);
    for (uint64_t i = 0; i < operations_per_thread; i++) {
        live_set_replace_by(set, sizes);
    }
    if (pthread_barrier_wait(&start) == PTHREAD_BARRIER_SERIAL_THREAD) {
        harness_clock_stop(operations_per_thread * harness.threads);
    }
    live_set_clear(set);
    return NULL;
}

/* Aligned, as it shows in the time where the loop's branches lie within lines. */
static __attribute__((aligned(64))) void *run_uniform(void *argument)
{
    return run_by(argument, LIVE_UNIFORM);
}

static __attribute__((aligned(64))) void *run_geometric(void *argument)
{
    return run_by(argument, LIVE_GEOMETRIC);
}

static __attribute__((aligned(64))) void *run_log_uniform(void *argument)
{
    return run_by(argument, LIVE_LOG_UNIFORM);
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 2);
    const unsigned threads = harness.threads;
    live = harness_number(0, 1, LIVE_MAX);
    void *(*run)(void *) = run_uniform;
    uint64_t operations = live > 10000 ? 5000000 : 15000000;
    if (strcmp(harness.arguments[1], "geometric") == 0) {
        run = run_geometric;
    } else if (strcmp(harness.arguments[1], "log-uniform") == 0) {
        run = run_log_uniform;
        operations = 5000000; /* of these sizes each takes longer */
    } else {
        size_max = harness_number(1, LIVE_SIZE_MIN, 65536);
    }
    if (live * threads > LIVE_MAX) {
        report_die("%u threads of %u objects are more than %d", threads, live, LIVE_MAX);
    }
    operations_per_thread = harness_operations(operations / threads, 1);
    pthread_barrier_init(&start, NULL, threads);
    if (threads == 1) { /* malloc is faster in a process that has never had a second thread */
        run(&sets[0]);
    } else {
        harness_run_threads(run, sets, sizeof sets[0]);
    }
    uint64_t made = 0;
    uint64_t unmade = 0;
    for (unsigned i = 0; i < threads; i++) {
        made += sets[i].made;
        unmade += sets[i].unmade;
    }
    harness_finish(unmade, made);
}
