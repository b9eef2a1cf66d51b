/* harness: compiled once; allocates nothing while the allocator under test is timed. */
#include "harness.h"

#include "report.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct harness harness = { .threads = 1, .work = 100 };

static double wall_began_ns;
static double cpu_began_ns;

static size_t libc_bytes_in_use(void)
{
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    void *symbol = libc != NULL ? dlsym(libc, "mallinfo2") : NULL;
    if (symbol == NULL) {
        report_die("the C library has no mallinfo2, which tells whether it serves");
    }
    struct mallinfo2 (*mallinfo2_of_libc)(void);
    memcpy(&mallinfo2_of_libc, &symbol, sizeof symbol);
    return mallinfo2_of_libc().uordblks;
}

/* Slots carry no header: only from a pool does an object of 512 bytes have exactly 512. */
static bool memorybucket_has(const void *pointer)
{
    void *symbol = dlsym(RTLD_DEFAULT, "mb_usable_size");
    size_t (*usable_size)(const void *);
    memcpy(&usable_size, &symbol, sizeof symbol);
    return symbol != NULL && usable_size(pointer) == HARNESS_OBJECT_BYTES;
}

const char *harness_library_of(void *function)
{
    Dl_info where;
    if (function == NULL || dladdr(function, &where) == 0) {
        report_die("cannot tell which library serves");
    }
    return where.dli_fname;
}

/*
 * By the library that the function lies in, and by the pointer: MemoryBucket knows its own, and
 * the C library's account must grow by one object if it is the one, and not at all otherwise.
 */
static void check_who_serves(const char *expected, bool native, const void *object)
{
    const char *library = harness_library_of(dlsym(RTLD_DEFAULT, native ? "mb_alloc" : "malloc"));
    if (strstr(library, expected) == NULL) {
        report_die("%s serves, and not %s", library, expected);
    }
    const char *slash = strrchr(library, '/');
    const char *name = slash != NULL ? slash + 1 : library;
    if (strncmp(name, "libmemorybucket", strlen("libmemorybucket")) == 0) {
        if (!memorybucket_has(object)) {
            report_die("%s is loaded, but a small object is not from its pools", library);
        }
        return;
    }
    size_t before = libc_bytes_in_use();
    void *volatile another = malloc(HARNESS_OBJECT_BYTES);
    size_t grown = libc_bytes_in_use() - before;
    free(another);
    bool libc_serves = grown >= HARNESS_OBJECT_BYTES;
    if (libc_serves != (strncmp(name, "libc.so", strlen("libc.so")) == 0)) {
        report_die("%s is loaded, but an object is %sfrom the C library", library,
                   libc_serves ? "" : "not ");
    }
}

static void usage(void)
{
    fprintf(stderr,
            "usage: %s --name WORKLOAD --expect LIBRARY [--threads N] [--work PERCENT] [--pin] "
            "[ARGUMENT...]\n"
            "bench/compare.sh or bench/memory.sh runs this with the right arguments\n",
            program_invocation_short_name);
    exit(2);
}

void harness_start(int argc, char **argv, int argument_count, bool native, void *object)
{
    const char *expected = NULL;
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        if (strcmp(argv[i], "--pin") == 0) {
            harness.pin = true;
        } else if (i + 1 == argc) {
            usage();
        } else if (strcmp(argv[i], "--name") == 0) {
            harness.name = argv[++i];
        } else if (strcmp(argv[i], "--expect") == 0) {
            expected = argv[++i];
        } else if (strcmp(argv[i], "--threads") == 0) {
            harness.threads = report_parse_count(argv[++i], "--threads", 1, BENCH_THREADS_MAX);
        } else if (strcmp(argv[i], "--work") == 0) {
            harness.work = report_parse_count(argv[++i], "--work", 1, 10000);
        } else {
            usage();
        }
    }
    harness.arguments = argv + i;
    harness.argument_count = argc - i;
    if (harness.name == NULL || expected == NULL || harness.argument_count != argument_count) {
        usage();
    }
    check_who_serves(expected, native, object);
    harness_pin(0);
}

uint64_t harness_operations(uint64_t usual, uint64_t step)
{
    uint64_t steps = usual / 100 * harness.work / step;
    return (steps != 0 ? steps : 1) * step;
}

unsigned harness_number(int index, unsigned low, unsigned high)
{
    return report_parse_count(harness.arguments[index], "argument", low, high);
}

void harness_pin(unsigned index)
{
    if (!harness.pin) {
        return;
    }
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    CPU_SET(index % (unsigned)sysconf(_SC_NPROCESSORS_ONLN), &allowed);
    if (sched_setaffinity(0, sizeof allowed, &allowed) != 0) {
        report_die("--pin: %s", strerror(errno));
    }
}

struct started_thread {
    pthread_t id;
    unsigned index;
    void *(*work)(void *);
    void *argument;
};

static void *run_pinned(void *argument)
{
    struct started_thread *thread = argument;
    harness_pin(thread->index);
    return thread->work(thread->argument);
}

static struct started_thread threads[BENCH_THREADS_MAX];

void harness_start_threads(void *(*work)(void *), void *arguments, size_t argument_bytes)
{
    for (unsigned i = 0; i < harness.threads; i++) {
        threads[i].index = i;
        threads[i].work = work;
        threads[i].argument = (char *)arguments + i * argument_bytes;
        if (pthread_create(&threads[i].id, NULL, run_pinned, &threads[i]) != 0) {
            report_die("cannot start thread %u of %u", i + 1, harness.threads);
        }
    }
}

void harness_join_threads(void)
{
    for (unsigned i = 0; i < harness.threads; i++) {
        pthread_join(threads[i].id, NULL);
    }
}

void harness_run_threads(void *(*work)(void *), void *arguments, size_t argument_bytes)
{
    harness_start_threads(work, arguments, argument_bytes);
    harness_join_threads();
}

double harness_now_ns(void)
{
    return report_clock_ns(CLOCK_MONOTONIC);
}

double harness_cpu_ns(void)
{
    return report_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void harness_clock_start(void)
{
    cpu_began_ns = harness_cpu_ns();
    wall_began_ns = harness_now_ns();
}

void harness_clock_stop(uint64_t operations)
{
    double wall_ns = harness_now_ns() - wall_began_ns;
    double cpu_ns = harness_cpu_ns() - cpu_began_ns;
    harness_row("wall_ns_per_op", "ns", wall_ns / (double)operations);
    harness_row("cpu_ns_per_op", "ns", cpu_ns / (double)operations);
}

void harness_row(const char *metric, const char *unit, double value)
{
    printf("%s\t%u\t%s\t%s\t%.6g\n", harness.name, harness.threads, metric, unit, value);
}

/* A line of /proc/self/status, in KiB there. */
static double status_bytes(const char *key)
{
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    double kib = -1;
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) {
            kib = strtod(line + strlen(key), NULL);
        }
    }
    if (status == NULL || kib < 0) {
        report_die("/proc/self/status has no %s", key);
    }
    fclose(status);
    return kib * 1024;
}

static void check_sums(uint64_t sum, uint64_t expected_sum)
{
    if (sum != expected_sum) {
        report_die("%s: the objects did not hold what was written (%" PRIu64 ", not %" PRIu64 ")",
                   harness.name, sum, expected_sum);
    }
}

static void check_output(void)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        report_die("stdout: %s", strerror(errno));
    }
}

void harness_finish(uint64_t sum, uint64_t expected_sum)
{
    check_sums(sum, expected_sum);
    harness_row("final_bytes", "bytes", status_bytes("VmRSS:"));
    harness_row("peak_bytes", "bytes", status_bytes("VmHWM:"));
    check_output();
}

void harness_finish_sums(uint64_t sum, uint64_t expected_sum)
{
    check_sums(sum, expected_sum);
    check_output();
}
