/*
 * memory_transfer: does memory grow while some threads only allocate and others only free?
 * Matrix: PRODUCERS of the threads allocate objects of 8 to 512 bytes and hand them through rings
 * to the others, which free them: as many of these to each producer, so that "2" of 4 threads are
 * two pairs, and "1" is one producer with three freeing threads. At full speed for MILLISECONDS;
 * resident memory is taken every 100 ms and written to the file SERIES ("-": none).
 *
 * The slope is that of all samples but the first second's (line_fit.h).
 */
#include "line_fit.h"
#include "live_set.h"
#include "report.h"
#include "resident.h"
#include "ring.h"

#include <string.h>
#include <time.h>

enum { SAMPLE_MS = 100, SETTLING_MS = 1000 };

static struct ring rings[BENCH_THREADS_MAX];
static unsigned producers;
static _Atomic bool stopped;

/* Threads 0 .. producers-1 produce; thread i of the others reads ring i. */
struct end {
    _Alignas(128) unsigned thread;
    uint64_t sum;
    uint64_t objects; /* of consumers */
};
static struct end ends[BENCH_THREADS_MAX];

/* A chunk that begins with NULL is the last one. */
static void produce(struct end *end)
{
    uint64_t from[BENCH_THREADS_MAX] = { 0 }; /* by ring */
    struct live_set set = { .size_max = LIVE_SIZE_SMALL_MAX, .random = bench_seed(end->thread) };
    /* relaxed: it only says when to stop; the rings order the objects. */
    while (!atomic_load_explicit(&stopped, memory_order_relaxed)) {
        for (unsigned i = producers + end->thread; i < harness.threads; i += producers) {
            void **slots = ring_write_begin(&rings[i], from[i]);
            for (unsigned slot = 0; slot < RING_CHUNK; slot++) {
                slots[slot] = live_set_make(&set);
            }
            ring_write_end(&rings[i], from[i]);
            from[i] += RING_CHUNK;
        }
    }
    for (unsigned i = producers + end->thread; i < harness.threads; i += producers) {
        *ring_write_begin(&rings[i], from[i]) = NULL;
        ring_write_end(&rings[i], from[i]);
    }
    end->sum = set.made;
}

static void consume(struct end *end)
{
    struct ring *ring = &rings[end->thread];
    uint64_t from = 0;
    for (void **slots; (slots = ring_read_begin(ring, from))[0] != NULL; from += RING_CHUNK) {
        for (unsigned i = 0; i < RING_CHUNK; i++) {
            end->sum += bench_unmake(slots[i]);
        }
        ring_read_end(ring, from);
    }
    end->objects = from;
}

static void *run(void *argument)
{
    struct end *end = argument;
    if (end->thread < producers) {
        produce(end);
    } else {
        consume(end);
    }
    return NULL;
}

/* The rings' and ends' pages are in memory before the first sample. */
static void prepare(void)
{
    memset(rings, 0, sizeof rings[0] * harness.threads);
    for (unsigned i = 0; i < harness.threads; i++) {
        ends[i].thread = i;
    }
}

static struct line_fit fit_settled(const struct series *series)
{
    static double seconds[SERIES_SAMPLES_MAX];
    static double bytes[SERIES_SAMPLES_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < series->count; i++) {
        if (series->samples[i].seconds * 1000 >= SETTLING_MS) {
            seconds[count] = series->samples[i].seconds;
            bytes[count++] = series->samples[i].bytes;
        }
    }
    return line_fit(seconds, bytes, count);
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 3);
    producers = harness_number(0, 1, BENCH_THREADS_MAX / 2);
    const unsigned watched_ms = harness_number(1, SAMPLE_MS, 600000);
    if (harness.threads <= producers || harness.threads % producers != 0) {
        report_die("--threads %u: accepted is a multiple of PRODUCERS, and more", harness.threads);
    }
    struct series series = series_create();
    prepare();

    series_begin(&series);
    const struct resident start = resident_now();
    harness_start_threads(run, ends, sizeof ends[0]);
    double settled_bytes = -1;
    unsigned settled = 0; /* samples; as many as a line takes, also where the machine is busy */
    const struct timespec pause = { 0, SAMPLE_MS * 1000000 };
    struct series_sample last;
    do {
        nanosleep(&pause, NULL);
        last = series_take(&series);
        if (last.seconds * 1000 >= SETTLING_MS) {
            settled_bytes = settled == 0 ? last.bytes : settled_bytes;
            settled++;
        }
    } while (last.seconds * 1000 < watched_ms || (settled != 0 && settled < LINE_FIT_STRETCHES));
    atomic_store_explicit(&stopped, true, memory_order_relaxed); /* relaxed: as above */
    harness_join_threads();
    const double passed_s = (harness_now_ns() - series.began_ns) / 1e9;

    uint64_t made = 0;
    uint64_t unmade = 0;
    uint64_t objects = 0;
    for (unsigned i = 0; i < harness.threads; i++) {
        *(i < producers ? &made : &unmade) += ends[i].sum;
        objects += ends[i].objects;
    }
    resident_rows("start", start);
    if (settled_bytes >= 0) {
        harness_row("after_1s_bytes", "bytes", settled_bytes);
    }
    harness_row("end_bytes", "bytes", last.bytes);
    const struct line_fit fit = fit_settled(&series);
    if (!isnan(fit.slope)) {
        harness_row("slope_kib_per_s", "KiB/s", fit.slope / 1024);
        harness_row("slope_error_kib_per_s", "KiB/s", fit.slope_error / 1024);
    }
    harness_row("objects_per_s", "1/s", (double)objects / passed_s);
    series_write(&series, harness.arguments[2]);
    harness_finish_sums(unmade, made);
}
