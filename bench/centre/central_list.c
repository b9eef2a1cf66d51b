/*
 * central_list: the central free list on its own, lock-free and behind two kinds of lock.
 *
 * Question: what does an object cost when threads do nothing but transfer batches through one
 *           centre, and how much of that is the transfer?
 * Matrix:   1, 2, 4, 8 and 16 threads, on the processors in turn; batches of 2, 4, 16, 64 and 256
 *           rounds (on core/batch_stack.h 2 is the least: the first slot's word names the second);
 *           tagged: core/batch_stack.h; mutex: a list under a pthread mutex; spinlock: one under a
 *           test-and-test-and-set lock with pause; private: no transfer at all, what is left.
 * Output:   a table on stdout; with --results FILE raw values.
 *
 * Each thread pops a batch, takes every slot out of a magazine and puts it into another, as so
 * many allocations and frees would, and pushes it back: two transfers for each `rounds` objects.
 * The lists hold the same batches in the same packed form. Each batch carries its owner's mark,
 * which is checked on both ways; at the end every slot must be back in its batch.
 *
 * ns per object: CPU time of all threads, and wall time, each by the objects of all threads.
 * retries: CAS of the head that failed (tagged), attempts that found the lock taken (the
 * mutex: at most one, then the thread sleeps), divided by the pops and pushes.
 */
#include "lists.h"
#include "report.h"
#include "tcache/magazine.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MAX = 16, RUNS_MAX = 5 };
static unsigned runs = RUNS_MAX;
static unsigned run_ms = 60;

static const unsigned thread_counts[] = { 1, 2, 4, 8, 16 };
static const unsigned batch_rounds[] = { 2, 4, 16, 64, ROUNDS_MAX };
enum { THREAD_COUNTS = sizeof thread_counts / sizeof thread_counts[0],
       SIZES = sizeof batch_rounds / sizeof batch_rounds[0] };

enum measure { CPU_NS, WALL_NS, RETRIES, MEASURES };
static const char *const measure_names[MEASURES] = { "cpu_ns_per_object", "wall_ns_per_object",
                                                     "retries_per_transfer" };
static const char *const measure_units[MEASURES] = { "ns", "ns", "1" };
static double cells[THREAD_COUNTS][SIZES][LISTS][MEASURES][RUNS_MAX];

static _Alignas(ISOLATION_BYTES) _Atomic bool stop;

struct job {
    size_t processor;
    enum list list;
    uint32_t rounds;
    uint64_t self;
    pthread_barrier_t *start;
    uint64_t turns;
    uint64_t retries;
    double cpu_ns;
    double began_ns;
    double ended_ns;
};

/* relaxed, all marks: with two owners one of them would sooner or later see the other's. */
MBI_HOT_INLINE void change_owner(uint64_t chain, const struct job *job, uint64_t from, uint64_t to)
{
    _Atomic uint64_t *mark = batch_mark(chain, job->rounds);
    uint64_t owner = atomic_load_explicit(mark, memory_order_relaxed);
    if (owner != from) {
        report_die("%s: thread %lu has a batch that thread %lu owns", list_names[job->list],
                   (unsigned long)job->self, (unsigned long)owner);
    }
    atomic_store_explicit(mark, to, memory_order_relaxed);
}

/* Compiled once for each list, with its transfer inlined. */
MBI_HOT_INLINE void take_turns(struct job *job, enum list list)
{
    const uint32_t rounds = job->rounds;
    struct magazine from;
    struct magazine to;
    magazine_set_rounds_max(&to, (uint16_t)rounds);
    magazine_set_chain(&to, 0);
    uint64_t chain = list == PRIVATE ? batch_make(job->self - 1, rounds) : 0;
    /* relaxed: when to stop, and nothing else. */
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        if (list != PRIVATE) {
            chain = list_pop(list, rounds, &job->retries);
            if (chain == 0) {
                report_die("%s: empty, with more batches than threads", list_names[list]);
            }
        }
        change_owner(chain, job, 0, job->self);
        magazine_set_chain(&from, chain);
        for (struct slot *slot; (slot = magazine_pop(&from)) != NULL;) {
            magazine_push(&to, slot);
        }
        chain = magazine_unload(&to);
        change_owner(chain, job, job->self, 0);
        if (list != PRIVATE) {
            list_push(list, chain, &job->retries);
        }
        job->turns++;
    }
}

/* The processors that this process may use. */
static size_t processors[CPU_SETSIZE];
static unsigned processor_count;

static void find_processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        report_die("sched_getaffinity failed");
    }
    for (size_t processor = 0; processor < CPU_SETSIZE; processor++) {
        if (CPU_ISSET(processor, &set)) {
            processors[processor_count++] = processor;
        }
    }
}

/* Left alone, two young threads may share a processor for all of a run. */
static void stay_on(size_t processor)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

static void *run_job(void *argument)
{
    struct job *shared = argument;
    struct job job = *shared; /* on this thread's stack: jobs share lines with their neighbours */
    stay_on(job.processor);
    pthread_barrier_wait(job.start);
    job.began_ns = report_clock_ns(CLOCK_MONOTONIC);
    double cpu_began_ns = report_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    switch (job.list) {
    case TAGGED: take_turns(&job, TAGGED); break;
    case MUTEX: take_turns(&job, MUTEX); break;
    case SPINLOCK: take_turns(&job, SPINLOCK); break;
    default: take_turns(&job, PRIVATE); break;
    }
    job.cpu_ns = report_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_began_ns;
    job.ended_ns = report_clock_ns(CLOCK_MONOTONIC);
    *shared = job;
    return NULL;
}

static void measure(size_t t, size_t s, enum list list, unsigned run)
{
    unsigned threads = thread_counts[t];
    uint32_t rounds = batch_rounds[s];
    struct job jobs[THREADS_MAX];
    pthread_t ids[THREADS_MAX];
    pthread_barrier_t start;
    uint64_t retries = 0;
    for (size_t batch = 0; batch < BATCHES && list != PRIVATE; batch++) {
        list_push(list, batch_make(batch, rounds), &retries);
    }
    atomic_store_explicit(&stop, false, memory_order_relaxed);
    pthread_barrier_init(&start, NULL, threads + 1);
    for (unsigned i = 0; i < threads; i++) {
        jobs[i] = (struct job){ .list = list, .rounds = rounds, .self = i + 1, .start = &start,
                                .processor = processors[i % processor_count] };
        if (pthread_create(&ids[i], NULL, run_job, &jobs[i]) != 0) {
            report_die("cannot start thread %u of %u", i + 1, threads);
        }
    }
    pthread_barrier_wait(&start);
    nanosleep(&(struct timespec){ .tv_nsec = run_ms * 1000000L }, NULL);
    atomic_store_explicit(&stop, true, memory_order_relaxed);

    double turns = 0;
    double cpu_ns = 0;
    double began_ns = 0;
    double ended_ns = 0;
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        turns += (double)jobs[i].turns;
        retries += jobs[i].retries;
        cpu_ns += jobs[i].cpu_ns;
        began_ns = i == 0 || jobs[i].began_ns < began_ns ? jobs[i].began_ns : began_ns;
        ended_ns = jobs[i].ended_ns > ended_ns ? jobs[i].ended_ns : ended_ns;
    }
    pthread_barrier_destroy(&start);
    if (list != PRIVATE) {
        check_and_empty(list, rounds);
    }
    cells[t][s][list][CPU_NS][run] = cpu_ns / (turns * rounds);
    cells[t][s][list][WALL_NS][run] = (ended_ns - began_ns) / (turns * rounds);
    cells[t][s][list][RETRIES][run] = (double)retries / (2 * turns);
}

static void print_table(void)
{
    printf("\nOne central free list, median of %u runs of %u ms in turn, %u processors, objects of "
           "%d bytes\n", runs, run_ms, processor_count, SLOT_BYTES);
    printf("%-15s  %-35s  %-35s  %s\n", "", "CPU ns per object", "wall ns per object",
           "retries per transfer");
    printf("threads rounds ");
    for (int m = 0; m < MEASURES; m++) {
        printf(" ");
        for (int list = 0; list < (m == RETRIES ? PRIVATE : LISTS); list++) {
            printf(" %8s", list_names[list]);
        }
    }
    printf("\n");
    for (size_t t = 0; t < THREAD_COUNTS; t++) {
        for (size_t s = 0; s < SIZES; s++) {
            printf("%7u %6u ", thread_counts[t], batch_rounds[s]);
            for (int m = 0; m < MEASURES; m++) {
                printf(" ");
                for (int list = 0; list < (m == RETRIES ? PRIVATE : LISTS); list++) {
                    double median = report_summary(cells[t][s][list][m], runs).median;
                    printf(" %8.*f", m == RETRIES ? 4 : 2, median);
                }
            }
            printf("\n");
        }
    }
}

static void write_results(FILE *stream)
{
    for (size_t t = 0; t < THREAD_COUNTS; t++) {
        for (size_t s = 0; s < SIZES; s++) {
            char workload[24];
            snprintf(workload, sizeof workload, "rounds-%u", batch_rounds[s]);
            for (int list = 0; list < LISTS; list++) {
                for (int m = 0; m < MEASURES; m++) {
                    report_write_values(stream, list_names[list], workload, thread_counts[t],
                                        measure_names[m], measure_units[m], cells[t][s][list][m],
                                        runs);
                }
            }
        }
    }
}

int main(int argc, char **argv)
{
    const char *results = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            runs = 3;
            run_ms = 10;
        } else if (i + 1 < argc && strcmp(argv[i], "--results") == 0) {
            results = argv[++i];
        } else {
            bool help = strcmp(argv[i], "--help") == 0;
            fprintf(help ? stdout : stderr,
                    "Usage: central_list [--quick] [--results FILE]\n"
                    "  --quick           3 runs of 10 ms of each cell, and not 5 of 60\n"
                    "  --results FILE    append one value a line (report/sheet.py)\n");
            return help ? EXIT_SUCCESS : 2;
        }
    }
    find_processors();
    unsigned step = 0;
    for (unsigned run = 0; run < runs; run++) {
        for (size_t t = 0; t < THREAD_COUNTS; t++) {
            for (size_t s = 0; s < SIZES; s++) {
                report_progress("central_list", ++step, runs * THREAD_COUNTS * SIZES);
                for (unsigned turn = 0; turn < LISTS; turn++) {
                    measure(t, s, (enum list)((turn + run) % LISTS), run);
                }
            }
        }
    }
    print_table();
    report_to_file(results, "a", write_results);
    return EXIT_SUCCESS;
}
