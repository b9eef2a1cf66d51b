/*
 * contended: producers allocate, consumers free, and every magazine goes through the centre.
 *
 * Question: what does an object cost that one thread allocates and another one frees, when several
 *           threads on both sides are at the same pool?
 * Matrix:   as given by the options; default 4 producers, 4 consumers, objects of 64 bytes.
 * Output:   "operations<TAB>N" (what bench/perf/stat.sh divides by) and the time per operation.
 *
 * It calls plain malloc and free: run it as it is, or under mbrun, or any other allocator. One
 * operation is one object: allocated and written by a producer, read and freed by a consumer. They
 * travel in bulks of several magazines, through a queue with a mutex of its own. So within a bulk
 * nothing but the allocator is in the threads' way: a producer refills a few times in a row while
 * others do the same, and a consumer flushes as often.
 */
#include "report.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MAX = 64, BULKS_PER_THREAD = 2 };

static unsigned producers = 4;
static unsigned consumers = 4;
static unsigned object_bytes = 64;
static unsigned objects_per_bulk = 4096;
static unsigned bulks_to_make = 2500;

struct bulk {
    struct bulk *next;
    uint64_t **objects;
};

/* A list of bulks under a mutex. Closed: nothing more will come. */
struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct bulk *first;
    unsigned closed;
};
#define QUEUE_INITIALIZER { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, 0 }

static struct queue empty_bulks = QUEUE_INITIALIZER;
static struct queue full_bulks = QUEUE_INITIALIZER;

/* Under the mutex of empty_bulks: how many bulks were given to producers. */
static unsigned bulks_begun;

static void queue_put(struct queue *queue, struct bulk *bulk)
{
    pthread_mutex_lock(&queue->mutex);
    bulk->next = queue->first;
    queue->first = bulk;
    pthread_cond_signal(&queue->filled);
    pthread_mutex_unlock(&queue->mutex);
}

static void queue_close(struct queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->closed = 1;
    pthread_cond_broadcast(&queue->filled);
    pthread_mutex_unlock(&queue->mutex);
}

/* NULL once the queue is closed and empty, or `begun` has reached what there is to do. */
static struct bulk *queue_take(struct queue *queue, unsigned *begun)
{
    pthread_mutex_lock(&queue->mutex);
    while (queue->first == NULL && !queue->closed) {
        pthread_cond_wait(&queue->filled, &queue->mutex);
    }
    struct bulk *bulk = queue->first;
    if (bulk != NULL && begun != NULL && (*begun)++ >= bulks_to_make) {
        bulk = NULL;
    }
    if (bulk != NULL) {
        queue->first = bulk->next;
    }
    pthread_mutex_unlock(&queue->mutex);
    return bulk;
}

/* Out of line, so that a profile names them. */
static __attribute__((noinline)) void produce_bulk(struct bulk *bulk)
{
    for (unsigned i = 0; i < objects_per_bulk; i++) {
        uint64_t *object = malloc(object_bytes);
        if (object == NULL) {
            report_die("malloc(%u) failed", object_bytes);
        }
        *object = i;
        bulk->objects[i] = object;
    }
}

static __attribute__((noinline)) uint64_t consume_bulk(struct bulk *bulk)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < objects_per_bulk; i++) {
        sum += *bulk->objects[i];
        free(bulk->objects[i]);
    }
    return sum;
}

static void *run_producer(void *unused)
{
    struct bulk *bulk;
    while ((bulk = queue_take(&empty_bulks, &bulks_begun)) != NULL) {
        produce_bulk(bulk);
        queue_put(&full_bulks, bulk);
    }
    queue_close(&empty_bulks); /* wakes the threads that wait for bulks: there will be none */
    return unused;
}

static void *run_consumer(void *sum)
{
    struct bulk *bulk;
    while ((bulk = queue_take(&full_bulks, NULL)) != NULL) {
        *(uint64_t *)sum += consume_bulk(bulk);
        queue_put(&empty_bulks, bulk);
    }
    return NULL;
}

static void make_bulks(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct bulk *bulk = malloc(sizeof *bulk);
        uint64_t **objects = malloc(objects_per_bulk * sizeof *objects);
        if (bulk == NULL || objects == NULL) {
            report_die("no memory for %u bulks", count);
        }
        bulk->objects = objects;
        queue_put(&empty_bulks, bulk);
    }
}

static void free_bulks(void)
{
    while (empty_bulks.first != NULL) {
        struct bulk *bulk = empty_bulks.first;
        empty_bulks.first = bulk->next;
        free(bulk->objects);
        free(bulk);
    }
}

static void start_thread(pthread_t *id, void *(*run)(void *), void *argument)
{
    if (pthread_create(id, NULL, run, argument) != 0) {
        report_die("cannot start %u threads", producers + consumers);
    }
}

static void usage(FILE *stream)
{
    fprintf(stream,
            "Usage: contended [--producers N] [--consumers N] [--bytes N] [--bulk N] [--bulks N]\n"
            "  --producers N   threads that allocate, 1 to %d (default %u)\n"
            "  --consumers N   threads that free, 1 to %d (default %u)\n"
            "  --bytes N       size of an object, 8 to 65536 (default %u)\n"
            "  --bulk N        objects that are handed over at once, 1 to 1000000 (default %u)\n"
            "  --bulks N       how many times, 1 to 1000000 (default %u)\n"
            "Operations are bulks times objects of a bulk.\n",
            THREADS_MAX, producers, THREADS_MAX, consumers, object_bytes, objects_per_bulk,
            bulks_to_make);
}

static void parse_options(int argc, char **argv)
{
    const struct {
        const char *name;
        unsigned *value;
        unsigned min, max;
    } options[] = {
        { "--producers", &producers, 1, THREADS_MAX },
        { "--consumers", &consumers, 1, THREADS_MAX },
        { "--bytes", &object_bytes, sizeof(uint64_t), 65536 },
        { "--bulk", &objects_per_bulk, 1, 1000000 },
        { "--bulks", &bulks_to_make, 1, 1000000 },
    };
    for (int i = 1; i < argc; i += 2) { /* an option and its value */
        if (strcmp(argv[i], "--help") == 0) {
            usage(stdout);
            exit(EXIT_SUCCESS);
        }
        size_t known = 0;
        while (known < sizeof options / sizeof options[0]
               && strcmp(argv[i], options[known].name) != 0) {
            known++;
        }
        if (known == sizeof options / sizeof options[0] || i + 1 == argc) {
            usage(stderr);
            exit(2);
        }
        *options[known].value = report_parse_count(argv[i + 1], argv[i], options[known].min,
                                                   options[known].max);
    }
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    make_bulks((producers + consumers) * BULKS_PER_THREAD);

    pthread_t producer[THREADS_MAX];
    pthread_t consumer[THREADS_MAX];
    uint64_t sums[THREADS_MAX] = { 0 };
    double wall_began_ns = report_clock_ns(CLOCK_MONOTONIC);
    double cpu_began_ns = report_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (unsigned i = 0; i < consumers; i++) {
        start_thread(&consumer[i], run_consumer, &sums[i]);
    }
    for (unsigned i = 0; i < producers; i++) {
        start_thread(&producer[i], run_producer, NULL);
    }
    for (unsigned i = 0; i < producers; i++) {
        pthread_join(producer[i], NULL);
    }
    queue_close(&full_bulks);
    uint64_t sum = 0;
    for (unsigned i = 0; i < consumers; i++) {
        pthread_join(consumer[i], NULL);
        sum += sums[i];
    }
    double wall_ns = report_clock_ns(CLOCK_MONOTONIC) - wall_began_ns;
    double cpu_ns = report_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_began_ns;
    free_bulks();

    uint64_t operations = (uint64_t)bulks_to_make * objects_per_bulk;
    if (sum != operations * (objects_per_bulk - 1) / 2) {
        report_die("the objects did not hold what was written");
    }
    printf("operations\t%llu\n", (unsigned long long)operations);
    printf("%u producers, %u consumers, objects of %u bytes: %.2f ns per operation, "
           "%.2f ns of CPU time\n",
           producers, consumers, object_bytes, wall_ns / (double)operations,
           cpu_ns / (double)operations);
    return EXIT_SUCCESS;
}
