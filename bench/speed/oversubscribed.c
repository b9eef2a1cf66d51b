/*
 * oversubscribed: what does an operation cost with far more threads than cores?
 * Matrix: THREADS, each with 100 live objects of 8 to 512 bytes; random ones are replaced, and
 * every eighth object goes through a place that all threads share, so that others free it.
 * Operation: one free and one allocation.
 */
#include "live_set.h"

#include <stdatomic.h>

enum { LIVE = 100, SHARED_PLACES = 1024, SHARE_EVERY = 8 };

struct job {
    struct live_set set;
    void *objects[LIVE];
};
static struct job jobs[BENCH_THREADS_MAX];
static _Atomic(void *) shared[SHARED_PLACES];
static uint64_t operations_per_thread;

static void *run(void *argument)
{
    struct job *job = argument;
    struct live_set *set = &job->set;
    live_set_fill(set, job->objects, LIVE, LIVE_SIZE_SMALL_MAX, (unsigned)(job - jobs));
    for (uint64_t i = 0; i < operations_per_thread; i++) {
        if (i % SHARE_EVERY == 0) {
            uint64_t place = bench_random_below(&set->random, SHARED_PLACES);
            void *mine = live_set_make(set);
            /* acq_rel: what the object holds comes with it, in both directions. */
            void *other = atomic_exchange_explicit(&shared[place], mine, memory_order_acq_rel);
            if (other != NULL) {
                set->unmade += bench_unmake(other);
            }
        } else {
            live_set_replace(set);
        }
    }
    live_set_clear(set);
    return NULL;
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 0);
    operations_per_thread = harness_operations(10000000 / harness.threads, SHARE_EVERY);
    harness_clock_start();
    harness_run_threads(run, jobs, sizeof jobs[0]);
    harness_clock_stop(operations_per_thread * harness.threads);
    uint64_t made = 0;
    uint64_t unmade = 0;
    for (unsigned i = 0; i < harness.threads; i++) {
        made += jobs[i].set.made;
        unmade += jobs[i].set.unmade;
    }
    for (unsigned i = 0; i < SHARED_PLACES; i++) {
        /* relaxed: all other threads have been joined. */
        void *object = atomic_load_explicit(&shared[i], memory_order_relaxed);
        if (object != NULL) {
            unmade += bench_unmake(object);
        }
    }
    harness_finish(unmade, made);
}
