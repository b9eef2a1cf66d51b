/*
 * memory_exit: what does it cost that many threads exit at once?
 * Matrix: THREADS that have each used CLASSES sizes of up to 512 bytes (0: none, which is what a
 * thread's exit costs by itself) wait at a barrier and return.
 *
 * Time counts from the end of the thread's function to the thread being gone, as the kernel records
 * it (thread_exits.h). Where that is not allowed there is no such row. Two rows are always there:
 * CPU time from the barrier on, divided by the threads, which includes the kernel's part and the
 * barrier's; and wall time until all are joined. The file SERIES gets a line for each exit, in
 * order: the share of threads that were gone by then, and the time ("-": no file).
 */
#include "harness.h"
#include "report.h"
#include "resident.h"
#include "thread_exits.h"

#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OBJECTS_PER_CLASS = 10, CLASSES_MAX = 64, LARGEST_BYTES = 512 };

static unsigned classes;
static pthread_barrier_t ready;
static pthread_barrier_t go;

struct leaver {
    _Alignas(128) pid_t thread;
    double returned_ns;
    double gone_ns; /* 0: no record */
    uint64_t made;
    uint64_t unmade;
};
static struct leaver leavers[BENCH_THREADS_MAX];

static void use_classes(struct leaver *leaver)
{
    void *objects[CLASSES_MAX][OBJECTS_PER_CLASS];
    for (unsigned class = 0; class < classes; class++) {
        for (unsigned i = 0; i < OBJECTS_PER_CLASS; i++) {
            uint64_t value = class * OBJECTS_PER_CLASS + i;
            objects[class][i] = bench_make((class + 1) * (LARGEST_BYTES / classes), value);
            leaver->made += value;
        }
    }
    for (unsigned class = 0; class < classes; class++) {
        for (unsigned i = 0; i < OBJECTS_PER_CLASS; i++) {
            leaver->unmade += bench_unmake(objects[class][i]);
        }
    }
}

static void *run(void *argument)
{
    struct leaver *leaver = argument;
    leaver->thread = gettid();
    use_classes(leaver);
    pthread_barrier_wait(&ready);
    pthread_barrier_wait(&go);
    leaver->returned_ns = harness_now_ns();
    return NULL;
}

static void note_gone(pid_t thread, double time_ns)
{
    for (unsigned i = 0; i < harness.threads; i++) {
        if (leavers[i].thread == thread) {
            leavers[i].gone_ns = time_ns;
        }
    }
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The smallest time that `share` of the threads do not exceed. */
static double quantile(const double sorted[], double share)
{
    unsigned rank = (unsigned)(share * harness.threads + 0.999999);
    return sorted[rank > 0 ? rank - 1 : 0];
}

static void print_times(const char *path)
{
    static double took_ns[BENCH_THREADS_MAX];
    thread_exits_read(note_gone);
    for (unsigned i = 0; i < harness.threads; i++) {
        if (leavers[i].gone_ns < leavers[i].returned_ns) {
            report_die("the kernel recorded no exit of thread %u, or one before its end", i);
        }
        took_ns[i] = leavers[i].gone_ns - leavers[i].returned_ns;
    }
    qsort(took_ns, harness.threads, sizeof took_ns[0], compare_doubles);
    harness_row("exit_p50_ns", "ns", quantile(took_ns, 0.5));
    harness_row("exit_p99_ns", "ns", quantile(took_ns, 0.99));
    harness_row("exit_max_ns", "ns", took_ns[harness.threads - 1]);
    if (strcmp(path, "-") == 0) {
        return;
    }
    FILE *stream = report_open(path, "w");
    for (unsigned i = 0; i < harness.threads; i++) {
        fprintf(stream, "%.5f %.3f\n", (i + 1.0) / harness.threads, took_ns[i] / 1000);
    }
    report_close(stream, path);
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 2);
    classes = harness_number(0, 0, CLASSES_MAX);
    const bool watched = thread_exits_watch();
    pthread_barrier_init(&ready, NULL, harness.threads + 1);
    pthread_barrier_init(&go, NULL, harness.threads + 1);
    harness_start_threads(run, leavers, sizeof leavers[0]);

    pthread_barrier_wait(&ready);
    nanosleep(&(struct timespec){ 0, 20000000 }, NULL); /* until the last ones wait at the next */
    const double began_ns = harness_now_ns();
    const double cpu_began_ns = harness_cpu_ns();
    pthread_barrier_wait(&go);
    harness_join_threads();
    const double cpu_ns = harness_cpu_ns() - cpu_began_ns;
    const double passed_ns = harness_now_ns() - began_ns;

    uint64_t made = 0;
    uint64_t unmade = 0;
    for (unsigned i = 0; i < harness.threads; i++) {
        made += leavers[i].made;
        unmade += leavers[i].unmade;
    }
    if (watched) {
        print_times(harness.arguments[1]);
    }
    harness_row("exit_cpu_ns", "ns", cpu_ns / harness.threads);
    harness_row("exit_all_ns", "ns", passed_ns);
    resident_rows("after_exit", resident_now());
    harness_finish_sums(unmade, made);
}
