/*
 * latency: how long can one call take?
 * Matrix: PATTERN xfer: producers and consumers as in xfer.c; random: 100,000 live objects of 8 to
 * 512 bytes, as in random.c. Every single allocation and free is timed, with the processor's own
 * clock where there is one. The clock's own cost is in the figures of all allocators alike.
 * Operation: as in those programs; the time rows have the clock's cost in them.
 */
#include "histogram.h"
#include "live_set.h"
#include "report.h"
#include "ring.h"

#include <string.h>
#include <time.h>

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

#if defined(__x86_64__)
/* lfence: nothing before is still under way, nothing behind has begun (Intel, 64-ia-32 SDM 2B). */
static inline uint64_t ticks(void)
{
    __builtin_ia32_lfence();
    uint64_t now = __builtin_ia32_rdtsc();
    __builtin_ia32_lfence();
    return now;
}
#else
static inline uint64_t ticks(void)
{
    return monotonic_ns();
}
#endif

static double ns_per_tick(void)
{
    enum { CALIBRATION_NS = 20000000 };
    uint64_t began_ns = monotonic_ns();
    uint64_t began = ticks();
    while (monotonic_ns() - began_ns < CALIBRATION_NS) {
    }
    return (double)(monotonic_ns() - began_ns) / (double)(ticks() - began);
}

struct job {
    struct histogram histogram;
    struct live_set set;
    struct ring *ring;
    uint64_t sum;
};
static struct job jobs[BENCH_THREADS_MAX];
static struct ring rings[BENCH_THREADS_MAX / 2];
static uint64_t operations_per_thread;

static inline void *timed_alloc(struct histogram *histogram, size_t size)
{
    uint64_t began = ticks();
    void *object = bench_alloc(size);
    histogram_add(histogram, ticks() - began);
    return object;
}

static inline void timed_free(struct histogram *histogram, void *object)
{
    uint64_t began = ticks();
    bench_free(object);
    histogram_add(histogram, ticks() - began);
}

static void *produce(struct job *job)
{
    for (uint64_t from = 0; from < operations_per_thread; from += RING_CHUNK) {
        void **slots = ring_write_begin(job->ring, from);
        for (unsigned i = 0; i < RING_CHUNK; i++) {
            volatile uint64_t *object = timed_alloc(&job->histogram, 64);
            *object = from + i;
            slots[i] = (void *)(uintptr_t)object;
        }
        ring_write_end(job->ring, from);
    }
    return NULL;
}

static void *consume(struct job *job)
{
    for (uint64_t from = 0; from < operations_per_thread; from += RING_CHUNK) {
        void **slots = ring_read_begin(job->ring, from);
        for (unsigned i = 0; i < RING_CHUNK; i++) {
            job->sum += *(volatile uint64_t *)slots[i];
            timed_free(&job->histogram, slots[i]);
        }
        ring_read_end(job->ring, from);
    }
    return NULL;
}

static void *run_xfer(void *argument)
{
    struct job *job = argument;
    return (job - jobs) % 2 == 0 ? produce(job) : consume(job);
}

enum { LIVE = 100000 };
static void *objects[LIVE];

static void *run_random(void *argument)
{
    struct job *job = argument;
    struct live_set *set = &job->set;
    live_set_fill(set, objects, LIVE, LIVE_SIZE_SMALL_MAX, 0);
    for (uint64_t i = 0; i < operations_per_thread; i++) {
        void **object = &objects[bench_random_below(&set->random, LIVE)];
        set->unmade += *(volatile uint64_t *)*object;
        timed_free(&job->histogram, *object);
        uint64_t random = bench_random(&set->random);
        *object = timed_alloc(&job->histogram, live_set_size(set, random));
        *(volatile uint64_t *)*object = random;
        set->made += random;
    }
    live_set_clear(set);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct histogram all;
    BENCH_START(argc, argv, 1);
    const bool xfer = strcmp(harness.arguments[0], "xfer") == 0;
    const unsigned threads = harness.threads;
    if (threads % 2 != (xfer ? 0 : 1) || (!xfer && threads != 1)) {
        report_die("xfer takes an even number of threads, random one");
    }
    const double tick_ns = ns_per_tick();
    const unsigned pairs = xfer ? threads / 2 : 1;
    operations_per_thread = harness_operations(4000000 / pairs, RING_CHUNK);
    for (unsigned i = 0; i < threads; i++) {
        jobs[i].ring = &rings[i / 2];
    }
    harness_clock_start();
    harness_run_threads(xfer ? run_xfer : run_random, jobs, sizeof jobs[0]);
    harness_clock_stop(operations_per_thread * pairs);

    uint64_t sum = 0;
    for (unsigned i = 0; i < threads; i++) {
        sum += jobs[i].sum;
        histogram_merge(&all, &jobs[i].histogram);
    }
    static const struct {
        const char *metric;
        double share;
    } quantiles[] = {
        { "p50_ns", 0.5 },      { "p90_ns", 0.9 },       { "p99_ns", 0.99 },
        { "p99.9_ns", 0.999 },  { "p99.99_ns", 0.9999 }, { "max_ns", 1 },
    };
    for (unsigned i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
        uint64_t value = histogram_quantile(&all, quantiles[i].share);
        harness_row(quantiles[i].metric, "ns", (double)value * tick_ns);
    }
    const uint64_t n = operations_per_thread;
    harness_finish(xfer ? sum : jobs[0].set.unmade, xfer ? n * (n - 1) / 2 * pairs
                                                         : jobs[0].set.made);
}
