/*
 * containers: what do the containers and owners of C++'s standard library cost on an allocator?
 * Matrix: THREADS, each with containers of its own; one workload of containers.cpp.
 * Operation: an element comes and another one goes; of vector, an element comes.
 */
#include "containers.h"
#include "harness.h"
#include "report.h"

#include <pthread.h>

static struct containers_work works[BENCH_THREADS_MAX];
static containers_workload *workload;
static pthread_barrier_t start;

static void *run(void *argument)
{
    struct containers_work *work = argument;
    struct containers_work warm_up = { work->operations / 10, work->seed, 0, 0 };
    workload(&warm_up);
    if (pthread_barrier_wait(&start) == PTHREAD_BARRIER_SERIAL_THREAD) {
        harness_clock_start();
    }
    pthread_barrier_wait(&start);
    workload(work);
    if (pthread_barrier_wait(&start) == PTHREAD_BARRIER_SERIAL_THREAD) {
        harness_clock_stop(work->operations * harness.threads);
    }
    work->made += warm_up.made;
    work->unmade += warm_up.unmade;
    return NULL;
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 1);
    workload = containers_find(harness.arguments[0]);
    if (workload == NULL) {
        report_refuse("%s: no such workload; there are %s", harness.arguments[0],
                      containers_names());
    }
    pthread_barrier_init(&start, NULL, harness.threads);
    for (unsigned i = 0; i < harness.threads; i++) {
        works[i].operations = harness_operations(4000000 / harness.threads, 1);
        works[i].seed = bench_seed(i);
    }
    if (harness.threads == 1) { /* malloc is faster in a process that has never had a second thread */
        run(&works[0]);
    } else {
        harness_run_threads(run, works, sizeof works[0]);
    }
    uint64_t made = 0, unmade = 0;
    for (unsigned i = 0; i < harness.threads; i++) {
        made += works[i].made;
        unmade += works[i].unmade;
    }
    harness_finish(unmade, made);
}
