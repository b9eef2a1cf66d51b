/*
 * headline: MemoryBucket against malloc/free, side by side.
 *
 * Question: what does one allocate/free pair cost a thread, alone and among others?
 * Matrix:   objects of 64 and 1024 bytes; 1, 5 and 10 threads; each thread 100 rounds of 10,000
 *           pairs, freeing each object at once, or allocating all of a round before freeing it in
 *           the same order. With --moved only those of 1024 bytes, which then come from a pool: the
 *           border stands at 32 KiB instead of 512 bytes.
 * Output:   the familiar lines and a table on stdout; with --results FILE raw values.
 *
 * Every object is written when allocated and read before it is freed, and the sums are checked.
 * The two allocators take turns within each repetition. "Total time" is the sum over threads of
 * each thread's own CPU time, so that it means the same however many cores there are. MemoryBucket
 * is linked statically, malloc is where every program has it, in the shared C library.
 */
#include "memorybucket/memorybucket.h"
#include "report.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 100, PAIRS_PER_ROUND = 10000, THREADS_MAX = 10, REPETITIONS_MAX = 101 };

/*
 * Rounds of large objects take a hundred times as long as the rest: glibc gives the memory
 * of each round back to the kernel. So long a run is measured in parts, the allocators taking
 * turns part by part, as the machine's speed may drift within it. --quick runs one part only; the
 * lines say so.
 */
enum { SMALL_BYTES = 64, LARGE_BYTES = 1024 };
enum { SMALL_POOL = SMALL_BYTES / 8 - 1, LARGE_POOL = LARGE_BYTES / 8 - 1 };
enum { MEMORYBUCKET, SYSTEM, ALLOCATORS };

static const char *const allocator_names[ALLOCATORS] = { "memorybucket", "system" };
static const char *const allocator_titles[ALLOCATORS] = { "Memory pool", "malloc/free" };
static const unsigned thread_counts[] = { 1, 5, 10 };
enum { THREAD_COUNTS = sizeof thread_counts / sizeof thread_counts[0] };

struct workload {
    const char *name;
    const char *size_title;
    const char *pattern_title;
    size_t bytes;
    bool at_once;
    unsigned parts;
    unsigned part_rounds;
    unsigned runs;
};

static struct workload workloads_by_default[] = {
    { "small-once", "Small Objects", "freed at once", SMALL_BYTES, true, 1, ROUNDS, 11 },
    { "small-rounds", "Small Objects", "freed after each round", SMALL_BYTES, false, 1, ROUNDS,
      11 },
    { "large-once", "Large Objects", "freed at once", LARGE_BYTES, true, 1, ROUNDS, 11 },
    { "large-rounds", "Large Objects", "freed after each round", LARGE_BYTES, false, 4, ROUNDS / 4,
      9 },
};
static struct workload workloads_moved[] = {
    { "large-once-32k", "Large Objects", "freed at once, MB_POOL_MAX=32K", LARGE_BYTES, true, 1,
      ROUNDS, 11 },
    { "large-rounds-32k", "Large Objects", "freed after each round, MB_POOL_MAX=32K", LARGE_BYTES,
      false, 4, ROUNDS / 4, 9 },
};
static struct workload *workloads = workloads_by_default;
enum { WORKLOADS_MAX = sizeof workloads_by_default / sizeof workloads_by_default[0] };
static size_t workload_count = WORKLOADS_MAX;

struct cell {
    double cpu_ns_per_pair[REPETITIONS_MAX];
    double wall_ns_per_pair[REPETITIONS_MAX];
};
static struct cell cells[WORKLOADS_MAX][THREAD_COUNTS][ALLOCATORS];

struct job {
    const struct workload *workload;
    int allocator;
    pthread_barrier_t *start;
    double cpu_ns;
    double began_ns;
    double ended_ns;
    uint64_t sum;
};

typedef void *alloc_function(size_t);
typedef void free_function(void *);

/* Both are compiled once for each allocator, with its calls in place. */
static inline __attribute__((always_inline)) uint64_t run_once(alloc_function *allocate,
                                                               free_function *release, size_t bytes,
                                                               uint64_t rounds)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < rounds * PAIRS_PER_ROUND; i++) {
        volatile uint64_t *object = allocate(bytes);
        *object = i;
        sum += *object;
        release((void *)(uintptr_t)object);
    }
    return sum;
}

static inline __attribute__((always_inline)) uint64_t run_rounds(alloc_function *allocate,
                                                                 free_function *release,
                                                                 size_t bytes, uint64_t rounds,
                                                                 uint64_t **objects)
{
    uint64_t sum = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        for (uint64_t i = 0; i < PAIRS_PER_ROUND; i++) {
            objects[i] = allocate(bytes);
            *objects[i] = round * PAIRS_PER_ROUND + i;
        }
        for (uint64_t i = 0; i < PAIRS_PER_ROUND; i++) {
            sum += *objects[i];
            release(objects[i]);
        }
    }
    return sum;
}

static void *run_job(void *argument)
{
    struct job *job = argument;
    size_t bytes = job->workload->bytes;
    uint64_t rounds = job->workload->part_rounds;
    uint64_t **objects = calloc(PAIRS_PER_ROUND, sizeof *objects);
    if (objects == NULL) {
        report_die("no memory for the array of a round");
    }
    memset(objects, 1, PAIRS_PER_ROUND * sizeof *objects); /* faulted in before the clock starts */
    pthread_barrier_wait(job->start);

    job->began_ns = report_clock_ns(CLOCK_MONOTONIC);
    double cpu_began_ns = report_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    if (job->allocator == MEMORYBUCKET) {
        job->sum = job->workload->at_once ? run_once(mb_alloc, mb_free, bytes, rounds)
                                          : run_rounds(mb_alloc, mb_free, bytes, rounds, objects);
    } else {
        job->sum = job->workload->at_once ? run_once(malloc, free, bytes, rounds)
                                          : run_rounds(malloc, free, bytes, rounds, objects);
    }
    job->cpu_ns = report_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_began_ns;
    job->ended_ns = report_clock_ns(CLOCK_MONOTONIC);
    free(objects);
    return NULL;
}

/* Runs one part of a cell, and adds its share to the values of the whole run. */
static void measure(const struct workload *workload, unsigned threads, int allocator,
                    double *cpu_ns_per_pair, double *wall_ns_per_pair)
{
    const uint64_t pairs = (uint64_t)workload->part_rounds * PAIRS_PER_ROUND;
    struct job jobs[THREADS_MAX];
    pthread_t ids[THREADS_MAX];
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, threads);

    for (unsigned i = 0; i < threads; i++) {
        jobs[i] = (struct job){ .workload = workload, .allocator = allocator, .start = &start };
        if (pthread_create(&ids[i], NULL, run_job, &jobs[i]) != 0) {
            report_die("cannot start thread %u of %u", i + 1, threads);
        }
    }
    double cpu_ns = 0;
    double began_ns = 0;
    double ended_ns = 0;
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        if (jobs[i].sum != pairs * (pairs - 1) / 2) {
            report_die("%s, %s: the objects did not hold what was written",
                       allocator_names[allocator], workload->name);
        }
        cpu_ns += jobs[i].cpu_ns;
        began_ns = i == 0 || jobs[i].began_ns < began_ns ? jobs[i].began_ns : began_ns;
        ended_ns = jobs[i].ended_ns > ended_ns ? jobs[i].ended_ns : ended_ns;
    }
    pthread_barrier_destroy(&start);
    double share = 1.0 / ((double)pairs * threads * workload->parts);
    *cpu_ns_per_pair += cpu_ns * share;
    *wall_ns_per_pair += (ended_ns - began_ns) * share;
}

/* Whether an object of MemoryBucket's comes from that pool. */
static bool pool_serves(size_t bytes, size_t pool)
{
    static struct mb_stats stats;
    void *object = mb_alloc(bytes);
    mb_stats_get(&stats, sizeof stats);
    bool serves = object != NULL && stats.pool[pool].live == 1;
    mb_free(object);
    return serves;
}

/* The pools serve mb_alloc's objects up to the border, and the C library malloc's. */
static void check_who_serves(bool is_moved)
{
    Dl_info where;
    void *(*system_malloc)(size_t) = malloc;
    void *address;
    memcpy(&address, &system_malloc, sizeof address);
    if (dladdr(address, &where) == 0 || strstr(where.dli_fname, "libc.so") == NULL) {
        report_die("malloc is not the C library's; run this without LD_PRELOAD");
    }
    if (!pool_serves(SMALL_BYTES, SMALL_POOL)) {
        report_die("mb_alloc(%d) was not served from its pool", SMALL_BYTES);
    }
    if (pool_serves(LARGE_BYTES, LARGE_POOL) != is_moved) {
        report_die("mb_alloc(%d) was %sserved from a pool; run this without MB_POOL_MAX",
                   LARGE_BYTES, is_moved ? "not " : "");
    }
    printf("malloc/free: %s\n", where.dli_fname);
}

static void print_familiar_lines(const struct workload *workload)
{
    size_t w = (size_t)(workload - workloads);
    printf("\n%s of %zu bytes, %s\n", workload->size_title, workload->bytes,
           workload->pattern_title);
    for (size_t t = 0; t < THREAD_COUNTS; t++) {
        for (int a = 0; a < ALLOCATORS; a++) {
            unsigned rounds = workload->part_rounds * workload->parts;
            const double *runs = cells[w][t][a].cpu_ns_per_pair;
            double ns = report_summary(runs, workload->runs).median;
            printf("[%s - %s] %u threads, %u rounds, %d alloc/free per round, "
                   "total time: %.2f ms\n",
                   allocator_titles[a], workload->size_title, thread_counts[t], rounds,
                   PAIRS_PER_ROUND, ns * thread_counts[t] * rounds * PAIRS_PER_ROUND / 1e6);
        }
    }
}

static void print_table(void)
{
    printf("\nCPU time of one allocate/free pair in ns, median (min-max) of runs in turn\n");
    printf("%-16s %7s %4s  %-24s %-24s %s\n", "workload", "threads", "runs", "MemoryBucket",
           "malloc/free", "ratio");
    for (size_t w = 0; w < workload_count; w++) {
        for (size_t t = 0; t < THREAD_COUNTS; t++) {
            char text[ALLOCATORS][40];
            double median[ALLOCATORS];
            for (int a = 0; a < ALLOCATORS; a++) {
                struct summary s = report_summary(cells[w][t][a].cpu_ns_per_pair,
                                                  workloads[w].runs);
                median[a] = s.median;
                snprintf(text[a], sizeof text[a], "%7.2f (%.2f-%.2f)", s.median, s.min, s.max);
            }
            printf("%-16s %7u %4u  %-24s %-24s %.2f\n", workloads[w].name, thread_counts[t],
                   workloads[w].runs, text[MEMORYBUCKET], text[SYSTEM],
                   median[MEMORYBUCKET] / median[SYSTEM]);
        }
    }
    printf("ratio: MemoryBucket's median divided by malloc's; below 1, MemoryBucket is faster.\n");
    if (workloads == workloads_moved) {
        printf("The border is moved (MB_POOL_MAX=32K): pools serve these objects, too.\n");
        return;
    }
    printf("Large objects are expected to tie: above %d bytes MemoryBucket calls malloc itself. What\n"
           "it adds, a test of the border and of the address and one call more, is a few ns: they show\n"
           "where the object is freed at once, and vanish where its memory is used.\n",
           MB_SMALL_MAX);
}

static void write_results(FILE *stream)
{
    for (size_t w = 0; w < workload_count; w++) {
        unsigned runs = workloads[w].runs;
        for (size_t t = 0; t < THREAD_COUNTS; t++) {
            for (int a = 0; a < ALLOCATORS; a++) {
                const struct cell *cell = &cells[w][t][a];
                report_write_values(stream, allocator_names[a], workloads[w].name, thread_counts[t],
                                    "cpu_ns_per_pair", "ns", cell->cpu_ns_per_pair, runs);
                report_write_values(stream, allocator_names[a], workloads[w].name, thread_counts[t],
                                    "wall_ns_per_pair", "ns", cell->wall_ns_per_pair, runs);
            }
        }
    }
}

static void usage(FILE *stream)
{
    fprintf(stream,
            "Usage: headline [--moved] [--quick] [--repeat N] [--results FILE]\n"
            "  --moved           large objects only, with MB_POOL_MAX=32K: from pools\n"
            "  --quick           5 runs of each cell, those of large-rounds of 25 rounds\n"
            "  --repeat N        N runs of each cell, 1 to %d (default 11, of large-rounds 9)\n"
            "  --results FILE    append one value a line (report/sheet.py)\n",
            REPETITIONS_MAX);
}

static void move_border(void)
{
    if (mb_option_set("MB_POOL_MAX", "32K") != 0) {
        report_die("MB_POOL_MAX cannot be set");
    }
    workloads = workloads_moved;
    workload_count = sizeof workloads_moved / sizeof workloads_moved[0];
}

static void set_runs(unsigned runs, bool in_one_part)
{
    for (size_t w = 0; w < workload_count; w++) {
        workloads[w].runs = runs;
        workloads[w].parts = in_one_part ? 1 : workloads[w].parts;
    }
}

int main(int argc, char **argv)
{
    const char *results = NULL;
    bool is_quick = false;
    unsigned runs = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            usage(stdout);
            return EXIT_SUCCESS;
        }
        if (strcmp(argv[i], "--moved") == 0) {
            move_border();
        } else if (strcmp(argv[i], "--quick") == 0) {
            is_quick = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--repeat") == 0) {
            runs = (unsigned)report_parse_count(argv[++i], "--repeat", 1, REPETITIONS_MAX);
        } else if (i + 1 < argc && strcmp(argv[i], "--results") == 0) {
            results = argv[++i];
        } else {
            fprintf(stderr, "headline: %s: no such option, or no value for it\n", argv[i]);
            usage(stderr);
            return 2;
        }
    }
    if (is_quick || runs != 0) {
        set_runs(runs != 0 ? runs : 5, is_quick);
    }
    check_who_serves(workloads == workloads_moved);

    unsigned steps = 0;
    for (size_t w = 0; w < workload_count; w++) {
        steps += workloads[w].runs * THREAD_COUNTS;
    }
    unsigned step = 0;
    for (unsigned r = 0; r < REPETITIONS_MAX; r++) {
        for (size_t w = 0; w < workload_count; w++) {
            for (size_t t = 0; t < THREAD_COUNTS && r < workloads[w].runs; t++) {
                report_progress("headline", ++step, steps);
                for (unsigned turn = 0; turn < ALLOCATORS * workloads[w].parts; turn++) {
                    unsigned a = (turn + r) % ALLOCATORS; /* each goes first as often */
                    struct cell *cell = &cells[w][t][a];
                    measure(&workloads[w], thread_counts[t], (int)a, &cell->cpu_ns_per_pair[r],
                            &cell->wall_ns_per_pair[r]);
                }
            }
        }
    }
    for (size_t w = 0; w < workload_count; w++) {
        print_familiar_lines(&workloads[w]);
    }
    print_table();
    report_to_file(results, "a", write_results);
    return EXIT_SUCCESS;
}
