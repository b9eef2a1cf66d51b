/*
 * memory_burst: how much stays in memory while a program's sizes change faster than an allocator
 * returns memory by the clock?
 * Matrix: ORDER of the frees, "fifo" as allocated or "random"; PHASES; OBJECTS of all threads
 * together. Each phase allocates its objects, in a range of 16 sizes that lies 20 bytes above that
 * of the phase before (20 to 35 bytes in the first), writes them in full, and frees all but every
 * 500th. All phases follow each other at once.
 *
 * Resident memory is taken after each phase, while no thread works. Each thread frees what it
 * allocated.
 */
#include "objects.h"
#include "report.h"

#include <pthread.h>

enum { PHASES_MAX = 24, SIZE_STEP = 20, SIZES = 16, KEEP_ONE_IN = 500 };

static struct {
    bool random;
    unsigned phases;
    unsigned objects; /* of each thread and phase */
    pthread_barrier_t turn;
    struct resident worst;
} burst;

struct worker {
    _Alignas(128) struct memory_objects objects; /* of the phase */
    void **kept;
    uint64_t kept_count;
    uint64_t kept_bytes;
};
static struct worker workers[BENCH_THREADS_MAX];

static size_t size_of(unsigned phase, uint64_t value)
{
    return SIZE_STEP * (phase + 1) + (value >> 32) % SIZES;
}

static void allocate_phase(struct worker *worker, unsigned phase, uint64_t *random)
{
    struct memory_objects *objects = &worker->objects;
    for (uint64_t i = 0; i < objects->count; i++) {
        uint64_t value = bench_random(random);
        size_t bytes = size_of(phase, value);
        unsigned char *object = bench_make(bytes, value);
        memset(object + sizeof value, (int)(value & 0xFF), bytes - sizeof value);
        objects->object[i] = object;
        objects->made += value;
    }
}

static void free_or_keep(struct worker *worker, uint64_t turn, uint64_t position, unsigned phase)
{
    if (turn % KEEP_ONE_IN == 0) {
        worker->kept[worker->kept_count++] = worker->objects.object[position];
        worker->kept_bytes += SIZE_STEP * (phase + 1);
    } else {
        memory_objects_free(&worker->objects, position);
    }
}

static void free_phase(struct worker *worker, unsigned phase)
{
    const struct memory_objects *objects = &worker->objects;
    uint64_t turn = 0;
    for (uint64_t i = 0; turn < objects->count; i++) {
        uint64_t position = burst.random ? memory_objects_position(objects, i) : i;
        if (position < objects->count) {
            free_or_keep(worker, turn++, position, phase);
        }
    }
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    uint64_t random = bench_seed((unsigned)(worker - workers));
    for (unsigned phase = 0; phase < burst.phases; phase++) {
        allocate_phase(worker, phase, &random);
        free_phase(worker, phase);
        if (pthread_barrier_wait(&burst.turn) == PTHREAD_BARRIER_SERIAL_THREAD) {
            struct resident now = resident_now();
            burst.worst = now.all > burst.worst.all ? now : burst.worst;
        }
        pthread_barrier_wait(&burst.turn);
    }
    return NULL;
}

static bool parse_order(const char *text)
{
    bool random = strcmp(text, "random") == 0;
    if (!random && strcmp(text, "fifo") != 0) {
        report_refuse("ORDER %s: accepted are fifo and random", text);
    }
    return random;
}

static void prepare(void)
{
    pthread_barrier_init(&burst.turn, NULL, harness.threads);
    for (unsigned i = 0; i < harness.threads; i++) {
        workers[i].objects = memory_objects_record_count(burst.objects);
        size_t kept_max = burst.phases * (burst.objects / KEEP_ONE_IN + 1);
        workers[i].kept = resident_own_map(kept_max * sizeof(void *));
    }
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 3);
    burst.random = parse_order(harness.arguments[0]);
    burst.phases = harness_number(1, 1, PHASES_MAX);
    burst.objects = harness_number(2, 1, 100000000) / harness.threads;
    prepare();
    const struct resident start = resident_now();
    const double began_ns = harness_now_ns();
    if (harness.threads == 1) {
        run(&workers[0]); /* as most programs: in the main thread */
    } else {
        harness_run_threads(run, workers, sizeof workers[0]);
    }
    const double passed_ns = harness_now_ns() - began_ns;
    const struct resident end = resident_now();

    struct memory_objects all = { .made = 0 };
    uint64_t kept_bytes = 0;
    for (unsigned i = 0; i < harness.threads; i++) {
        struct worker *worker = &workers[i];
        for (uint64_t k = 0; k < worker->kept_count; k++) {
            worker->objects.unmade += bench_unmake(worker->kept[k]);
        }
        kept_bytes += worker->kept_bytes;
        all.count += burst.phases * worker->objects.count;
        all.made += worker->objects.made;
        all.unmade += worker->objects.unmade;
    }
    harness_row("objects", "objects", (double)all.count);
    harness_row("kept_bytes", "bytes", (double)kept_bytes);
    resident_rows("start", start);
    resident_rows("after_phase", burst.worst);
    harness_row("end_bytes", "bytes", end.all);
    harness_row("objects_per_s", "1/s", (double)all.count / passed_ns * 1e9);
    harness_finish_sums(all.unmade, all.made);
}
