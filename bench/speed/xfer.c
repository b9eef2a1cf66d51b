/*
 * xfer: what does an object cost that one thread allocates and another frees?
 * Matrix: 64 bytes; threads in pairs of a producer and a consumer. Operation: one object, which is
 * allocated, handed over and freed.
 */
#include "harness.h"
#include "report.h"
#include "ring.h"

static struct ring rings[BENCH_THREADS_MAX / 2];
static uint64_t objects_per_pair;

struct end {
    struct ring *ring;
    bool consumes;
    uint64_t sum;
};
static struct end ends[BENCH_THREADS_MAX];

static void produce(struct ring *ring)
{
    for (uint64_t from = 0; from < objects_per_pair; from += RING_CHUNK) {
        void **slots = ring_write_begin(ring, from);
        for (unsigned i = 0; i < RING_CHUNK; i++) {
            slots[i] = bench_make(64, from + i);
        }
        ring_write_end(ring, from);
    }
}

static uint64_t consume(struct ring *ring)
{
    uint64_t sum = 0;
    for (uint64_t from = 0; from < objects_per_pair; from += RING_CHUNK) {
        void **slots = ring_read_begin(ring, from);
        for (unsigned i = 0; i < RING_CHUNK; i++) {
            sum += bench_unmake_sized(slots[i], 64);
        }
        ring_read_end(ring, from);
    }
    return sum;
}

static void *run(void *argument)
{
    struct end *end = argument;
    if (end->consumes) {
        end->sum = consume(end->ring);
    } else {
        produce(end->ring);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 0);
    const unsigned pairs = harness.threads / 2;
    if (harness.threads % 2 != 0) {
        report_die("--threads %u: accepted is an even number", harness.threads);
    }
    objects_per_pair = harness_operations(16000000 / pairs, RING_CHUNK);
    for (unsigned i = 0; i < 2 * pairs; i++) {
        ends[i] = (struct end){ .ring = &rings[i / 2], .consumes = i % 2 != 0 };
    }
    harness_clock_start();
    harness_run_threads(run, ends, sizeof ends[0]);
    harness_clock_stop(objects_per_pair * pairs);
    uint64_t sum = 0;
    for (unsigned i = 0; i < 2 * pairs; i++) {
        sum += ends[i].sum;
    }
    harness_finish(sum, objects_per_pair * (objects_per_pair - 1) / 2 * pairs);
}
