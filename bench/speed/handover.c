/*
 * handover: what do objects of all sizes cost, where another thread frees every second one?
 * Matrix: THREADS in a circle, 1,000 live objects each, of 8 to 16,384 bytes (log_uniform.h). In a
 * turn a thread replaces 128 random ones. Of the old ones it frees 64 and hands 64 to the next
 * thread; then it frees the 64 that the thread before it has handed to it.
 * Operation: one allocation and one free.
 *
 * Nobody waits for ever: a thread waits only for one that has done fewer turns, or that is in the
 * same turn and has room for what it hands over.
 */
#include "live_set.h"

#include "ring.h"

enum { LIVE = 1000, TURN_OPERATIONS = 2 * RING_CHUNK };

struct job {
    struct live_set set;
    void *objects[LIVE];
    struct ring *to;   /* the next thread */
    struct ring *from; /* the thread before */
};
static struct job jobs[BENCH_THREADS_MAX];
static struct ring rings[BENCH_THREADS_MAX];
static uint64_t turns;

static void replace_and_hand_over(struct job *job, uint64_t place)
{
    void **handed = ring_write_begin(job->to, place);
    for (unsigned i = 0; i < RING_CHUNK; i++) {
        live_set_replace_by(&job->set, LIVE_LOG_UNIFORM);
        void **object = live_set_random(&job->set);
        handed[i] = *object;
        *object = live_set_make_by(&job->set, LIVE_LOG_UNIFORM);
    }
    ring_write_end(job->to, place);
}

static void free_handed(struct job *job, uint64_t place)
{
    void **handed = ring_read_begin(job->from, place);
    for (unsigned i = 0; i < RING_CHUNK; i++) {
        job->set.unmade += bench_unmake(handed[i]);
    }
    ring_read_end(job->from, place);
}

static void *run(void *argument)
{
    struct job *job = argument;
    live_set_fill_by(&job->set, job->objects, LIVE, 0, (unsigned)(job - jobs), LIVE_LOG_UNIFORM);
    for (uint64_t turn = 0; turn < turns; turn++) {
        replace_and_hand_over(job, turn * RING_CHUNK);
        free_handed(job, turn * RING_CHUNK);
    }
    live_set_clear(&job->set);
    return NULL;
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 0);
    const unsigned threads = harness.threads;
    const uint64_t per_thread = harness_operations(6000000 / threads, TURN_OPERATIONS);
    turns = per_thread / TURN_OPERATIONS;
    for (unsigned i = 0; i < threads; i++) {
        jobs[i].to = &rings[i];
        jobs[(i + 1) % threads].from = &rings[i];
    }
    harness_clock_start();
    harness_run_threads(run, jobs, sizeof jobs[0]);
    harness_clock_stop(per_thread * threads);
    uint64_t made = 0;
    uint64_t unmade = 0;
    for (unsigned i = 0; i < threads; i++) {
        made += jobs[i].set.made;
        unmade += jobs[i].set.unmade;
    }
    harness_finish(unmade, made);
}
