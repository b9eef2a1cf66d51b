/*
 * random: what does replacing a random object cost?
 * Matrix: THREADS, each with LIVE objects of 8 to SIZE_MAX bytes of its own, uniformly.
 * Operation: one free and one allocation of another random size.
 */
#include "live_set.h"

#include "report.h"

#include <pthread.h>

enum { LIVE_MAX = 1000000 };
static void *objects[LIVE_MAX];
static struct live_set sets[BENCH_THREADS_MAX];
static unsigned live;
static unsigned size_max;
static uint64_t operations_per_thread;

static pthread_barrier_t start;

static void *run(void *argument)
{
    struct live_set *set = argument;
    const unsigned thread = (unsigned)(set - sets);
    live_set_fill(set, &objects[thread * live], live, size_max, thread);
    for (uint64_t i = 0; i < operations_per_thread / 10; i++) {
        live_set_replace(set);
    }
    if (pthread_barrier_wait(&start) == PTHREAD_BARRIER_SERIAL_THREAD) {
        harness_clock_start();
    }
    pthread_barrier_wait(&start);
    for (uint64_t i = 0; i < operations_per_thread; i++) {
        live_set_replace(set);
    }
    if (pthread_barrier_wait(&start) == PTHREAD_BARRIER_SERIAL_THREAD) {
        harness_clock_stop(operations_per_thread * harness.threads);
    }
    live_set_clear(set);
    return NULL;
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 2);
    const unsigned threads = harness.threads;
    live = harness_number(0, 1, LIVE_MAX);
    size_max = harness_number(1, LIVE_SIZE_MIN, 65536);
    if (live * threads > LIVE_MAX) {
        report_die("%u threads of %u objects are more than %d", threads, live, LIVE_MAX);
    }
    operations_per_thread = harness_operations((live > 10000 ? 5000000 : 15000000) / threads, 1);
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
