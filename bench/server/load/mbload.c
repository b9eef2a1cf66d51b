/*
 * mbload: load for a server that speaks memcached's text protocol, where Debian's clients have none
 * of the kind: Zipf keys, published sizes, percentiles of single requests, connections that come
 * and go, and values that are checked byte for byte.
 *
 * Each thread has an epoll loop and its share of the connections (connection.c). The load is a
 * closed loop: a connection asks again when it was answered, so that a slower server is asked less
 * often. bench/server/run.sh and tests run this.
 */
#include "connection.h"
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, TURN_MS = 50 };
static const double GRACE_NS = 5e9; /* for the last replies */

static struct tally tally; /* of all threads */
static double seconds;

static void serve(struct worker *worker)
{
    struct epoll_event events[EVENTS_MAX];
    double end_ns = report_clock_ns(CLOCK_MONOTONIC) + 1e9 * options.seconds;
    while (worker->open > 0) {
        int ready = epoll_wait(worker->epoll, events, EVENTS_MAX, TURN_MS);
        double now_ns = report_clock_ns(CLOCK_MONOTONIC);
        worker->stopping = now_ns >= end_ns; /* each ends with its last reply */
        if (now_ns >= end_ns + GRACE_NS) {
            break;
        }
        for (int i = 0; i < ready; i++) {
            connection_ready(events[i].data.ptr, worker);
        }
    }
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    unsigned count = options.connections / options.threads;
    count += worker->number < options.connections % options.threads;
    struct connection *connections = calloc(count, sizeof *connections);
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (connections == NULL || worker->epoll < 0) {
        report_die("a thread cannot start: %s", strerror(errno));
    }
    worker->random = ((uint64_t)options.seed << 48) + ((uint64_t)worker->number << 36);
    for (unsigned i = 0; i < count; i++) {
        connection_start(&connections[i], worker, worker->number + i * options.threads);
    }
    serve(worker);
    for (unsigned i = 0; i < count; i++) {
        connection_end(&connections[i], worker);
    }
    close(worker->epoll);
    free(connections);
    return NULL;
}

static void run(void)
{
    pthread_t threads[THREADS_MAX];
    struct worker *workers = calloc(options.threads, sizeof *workers);
    if (workers == NULL) {
        report_die("there is no memory for the threads");
    }
    double start_ns = report_clock_ns(CLOCK_MONOTONIC);
    for (unsigned i = 0; i < options.threads; i++) {
        workers[i].number = i;
        if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0) {
            report_die("thread %u cannot start", i);
        }
    }
    for (unsigned i = 0; i < options.threads; i++) {
        pthread_join(threads[i], NULL);
        for (unsigned count = 0; count < COUNTS; count++) {
            tally.count[count] += workers[i].tally.count[count];
        }
        histogram_merge(&tally.latency, &workers[i].tally.latency);
    }
    seconds = (report_clock_ns(CLOCK_MONOTONIC) - start_ns) / 1e9;
    free(workers);
}

static double latency_us(double share)
{
    return (double)histogram_quantile(&tally.latency, share) / 1e3;
}

/* What must not be; a fill that had no time for all of its keys is an error, too. */
static uint64_t faults(void)
{
    const uint64_t *count = tally.count;
    uint64_t unexpected = options.no_misses ? count[GETS] - count[HITS] + count[REFUSED] : 0;
    uint64_t unfilled = options.fill ? options.keys - count[SETS] : 0;
    if (unexpected + unfilled > 0) {
        fprintf(stderr, "mbload: %" PRIu64 " misses or refusals, %" PRIu64 " keys not stored\n",
                unexpected, unfilled);
    }
    return count[ERRORS] + count[WRONG] + count[STALE] + count[UNANSWERED] + unexpected + unfilled;
}

/* One figure a line, so that a script can read them without a JSON parser. */
static void write_figures(FILE *stream)
{
    static const char *const names[COUNTS] = {
        [GETS] = "gets", [SETS] = "sets", [HITS] = "hits", [STORED] = "stored",
        [STORED_BYTES] = "stored_bytes", [REFUSED] = "refused", [ERRORS] = "errors",
        [WRONG] = "wrong", [STALE] = "stale", [UNANSWERED] = "unanswered",
        [RECONNECTS] = "reconnects",
    };
    fprintf(stream, "{\n");
    for (unsigned i = 0; i < COUNTS; i++) {
        fprintf(stream, "  \"%s\": %" PRIu64 ",\n", names[i], tally.count[i]);
    }
    fprintf(stream, "  \"seconds\": %.3f,\n  \"requests_per_second\": %.1f,\n"
            "  \"hit_percent\": %.3f,\n  \"p50_us\": %.1f,\n  \"p99_us\": %.1f,\n"
            "  \"p999_us\": %.1f,\n  \"max_us\": %.1f\n}\n",
            seconds, (double)(tally.count[GETS] + tally.count[SETS]) / seconds,
            100.0 * (double)tally.count[HITS] / fmax((double)tally.count[GETS], 1),
            latency_us(0.5), latency_us(0.99), latency_us(0.999), latency_us(1));
}

/* Each connection takes a file; the soft limit is often 1,024. What is too little, socket tells. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    options_read(argc, argv);
    raise_file_limit();
    keyspace_prepare();
    run();
    write_figures(stdout);
    report_to_file(options.json, "w", write_figures);
    free(keyspace_versions);
    return faults() == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
