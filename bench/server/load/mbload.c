/*
 * mbload: load for a server that speaks memcached's text protocol, where Debian's clients have none
 * of the kind: Zipf keys, published sizes, percentiles of single requests, connections that come
 * and go, and values that are checked byte for byte.
 *
 * Each thread has an epoll loop and its share of the connections (connection.c). The load is a closed loop: a connection asks again when it was answered, so that a slower server is
 * asked less often. bench/server/run.sh and tests run this.
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

enum { SPARE_FILES = 64, EVENTS_MAX = 256, TURN_MS = 50, THREADS_MAX = 256 };
static const double GRACE_NS = 5e9; /* for the last replies */

static struct tally tally; /* of all threads */
static double seconds;

static void stop_all(struct worker *worker, struct connection *connections, unsigned count)
{
    worker->stopping = true;
    for (unsigned i = 0; i < count; i++) {
        connection_stop(&connections[i], worker);
    }
}

static void serve(struct worker *worker, struct connection *connections, unsigned count)
{
    struct epoll_event events[EVENTS_MAX];
    double end_ns = report_clock_ns(CLOCK_MONOTONIC) + 1e9 * options.seconds;
    while (worker->open > 0) {
        int ready = epoll_wait(worker->epoll, events, EVENTS_MAX, TURN_MS);
        double now_ns = report_clock_ns(CLOCK_MONOTONIC);
        worker->now_ns = (uint64_t)now_ns;
        if (now_ns >= end_ns && !worker->stopping) {
            stop_all(worker, connections, count);
        } else if (now_ns >= end_ns + GRACE_NS) {
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
    worker->now_ns = (uint64_t)report_clock_ns(CLOCK_MONOTONIC);
    for (unsigned i = 0; i < count; i++) {
        connection_start(&connections[i], worker, worker->number + i * options.threads);
    }
    serve(worker, connections, count);
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
        int error = pthread_create(&threads[i], NULL, work, &workers[i]);
        if (error != 0) {
            report_die("a thread cannot start: %s", strerror(error));
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

static double per_second(void)
{
    return (double)(tally.count[GETS] + tally.count[SETS]) / seconds;
}

/* What must not be; a fill that had no time for all of its keys is an error, too. */
static uint64_t faults(void)
{
    const uint64_t *count = tally.count;
    uint64_t unexpected = options.refuse_misses ? count[GETS] - count[HITS] + count[REFUSED] : 0;
    uint64_t unfilled = options.fill ? options.keys - count[SETS] : 0;
    if (unfilled > 0) {
        printf("the fill did not end: %u keys, and %" PRIu64 " are missing\n", options.keys, unfilled);
    }
    return count[ERRORS] + count[WRONG] + count[STALE] + count[UNANSWERED] + unexpected + unfilled;
}

static void print(void)
{
    const uint64_t *count = tally.count;
    printf("%" PRIu64 " gets, %" PRIu64 " sets in %.2f s: %.0f a second, %" PRIu64 " reconnects\n",
           count[GETS], count[SETS], seconds, per_second(), count[RECONNECTS]);
    printf("%.2f %% hits\n", 100.0 * (double)count[HITS] / fmax((double)count[GETS], 1));
    printf("latency in us: p50 %.0f, p99 %.0f, p99.9 %.0f, max %.0f\n", latency_us(0.5),
           latency_us(0.99), latency_us(0.999), latency_us(1));
    printf("faults: %" PRIu64 " errors, %" PRIu64 " wrong values, %" PRIu64 " stale values, %"
           PRIu64 " unanswered; %" PRIu64 " misses, %" PRIu64 " refused\n", count[ERRORS],
           count[WRONG], count[STALE], count[UNANSWERED], count[GETS] - count[HITS], count[REFUSED]);
}

/* One figure a line, so that a script can read them without a JSON parser. */
static void write_json(FILE *stream)
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
            "  \"p50_us\": %.1f,\n  \"p99_us\": %.1f,\n  \"p999_us\": %.1f,\n"
            "  \"max_us\": %.1f\n}\n", seconds, per_second(), latency_us(0.5), latency_us(0.99),
            latency_us(0.999), latency_us(1));
}

/* Each connection takes a file; the soft limit is often 1,024. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    rlim_t wanted = options.connections + SPARE_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) {
        return;
    }
    if (limit.rlim_max < wanted) {
        report_refuse("--connections %u: `ulimit -Hn` lets a process open %llu files",
                      options.connections, (unsigned long long)limit.rlim_max);
    }
    limit.rlim_cur = wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    options_read(argc, argv);
    raise_file_limit();
    keyspace_prepare();
    run();
    print();
    report_to_file(options.json, "w", write_json);
    free(keyspace_versions);
    return faults() == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
