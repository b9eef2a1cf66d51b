/*
 * seed: the headline table's cells, for one allocator.
 * Matrix: SIZE bytes; each thread rounds of 10,000 objects, each freed at once (once), or all after
 * the round in the same order (rounds). Operation: one allocation and its free; the time is wall
 * time over the operations of all threads.
 */
#include "harness.h"

#include <string.h>

enum { PAIRS_PER_ROUND = 10000 };

struct job {
    uint64_t sum;
    void *objects[PAIRS_PER_ROUND];
};
static struct job jobs[BENCH_THREADS_MAX];
static size_t size;
static bool once;
static uint64_t rounds;

static void *run(void *argument)
{
    struct job *job = argument;
    for (uint64_t round = 0; round < rounds; round++) {
        if (once) {
            for (uint64_t i = 0; i < PAIRS_PER_ROUND; i++) {
                job->sum += bench_unmake(bench_make(size, i));
            }
            continue;
        }
        for (uint64_t i = 0; i < PAIRS_PER_ROUND; i++) {
            job->objects[i] = bench_make(size, i);
        }
        for (uint64_t i = 0; i < PAIRS_PER_ROUND; i++) {
            job->sum += bench_unmake(job->objects[i]);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 2);
    size = harness_number(0, 8, 65536);
    once = strcmp(harness.arguments[1], "once") == 0;
    /* Some allocators return each round of large objects to the kernel: a 15th is enough. */
    const uint64_t usual = size > 512 && !once ? 2000000 : 30000000;
    rounds = harness_operations(usual / harness.threads, PAIRS_PER_ROUND) / PAIRS_PER_ROUND;
    harness_clock_start();
    harness_run_threads(run, jobs, sizeof jobs[0]);
    harness_clock_stop(rounds * PAIRS_PER_ROUND * harness.threads);
    uint64_t sum = 0;
    for (unsigned i = 0; i < harness.threads; i++) {
        sum += jobs[i].sum;
    }
    const uint64_t per_round = (uint64_t)PAIRS_PER_ROUND * (PAIRS_PER_ROUND - 1) / 2;
    harness_finish(sum, per_round * rounds * harness.threads);
}
