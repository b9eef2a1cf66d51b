/*
 * churn: what does a short thread cost?
 * Matrix: THREADS that each start one thread after the other; each of those allocates 1,000 objects
 * of 8 to 512 bytes, frees them, and exits. Operation: one such life, from start to join.
 */
#include "live_set.h"

#include "report.h"

#include <pthread.h>

enum { OBJECTS = 1000 };

struct starter {
    uint64_t lives;
    struct live_set set;
    void *objects[OBJECTS];
    uint64_t made;
    uint64_t unmade;
};
static struct starter starters[BENCH_THREADS_MAX];

static void *live(void *argument)
{
    struct starter *starter = argument;
    live_set_fill(&starter->set, starter->objects, OBJECTS, LIVE_SIZE_SMALL_MAX, 0);
    live_set_clear(&starter->set);
    return NULL;
}

static void *run(void *argument)
{
    struct starter *starter = argument;
    for (uint64_t i = 0; i < starter->lives; i++) {
        pthread_t id;
        if (pthread_create(&id, NULL, live, starter) != 0) {
            report_die("cannot start a thread");
        }
        pthread_join(id, NULL);
        starter->made += starter->set.made;
        starter->unmade += starter->set.unmade;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 0);
    const uint64_t lives = harness_operations(10000 / harness.threads, 1);
    for (unsigned i = 0; i < harness.threads; i++) {
        starters[i].lives = lives;
    }
    harness_clock_start();
    harness_run_threads(run, starters, sizeof starters[0]);
    harness_clock_stop(lives * harness.threads);
    uint64_t made = 0;
    uint64_t unmade = 0;
    for (unsigned i = 0; i < harness.threads; i++) {
        made += starters[i].made;
        unmade += starters[i].unmade;
    }
    harness_finish(unmade, made);
}
