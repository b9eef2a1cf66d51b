/*
 * server: what does memory cost in a server, where work and its memory move between threads?
 * The pattern of Larson and Krishnan (ISMM 1998): each thread keeps 1,000 live objects of 8 to
 * SIZE_MAX bytes, replaces 5,000 random ones, and hands the whole set to a new thread.
 * Matrix: threads at work at once; SIZE_MAX. Operation: one free and one allocation.
 */
#include "live_set.h"

#include "report.h"

#include <pthread.h>
#include <semaphore.h>

enum { LIVE = 1000, REPLACED_PER_THREAD = 5000 };

struct chain {
    struct live_set set;
    void *objects[LIVE];
    unsigned index;
    uint64_t lives; /* threads still to come */
};
static struct chain chains[BENCH_THREADS_MAX];
static sem_t ended;

static void start_thread(struct chain *chain);

static inline __attribute__((always_inline)) void *run_by(struct chain *chain,
                                                          enum live_sizes sizes)
{
    harness_pin(chain->index);
    for (unsigned i = 0; i < REPLACED_PER_THREAD; i++) {
        live_set_replace_by(&chain->set, sizes);
    }
    if (--chain->lives != 0) {
        start_thread(chain);
    } else {
        sem_post(&ended);
    }
    return NULL;
}

static void *run_within_page(void *argument)
{
    return run_by(argument, LIVE_UNIFORM);
}

static void *run_pages(void *argument)
{
    return run_by(argument, LIVE_UNIFORM_PAGES);
}

static void start_thread(struct chain *chain)
{
    void *(*run)(void *) = chain->set.size_max > BENCH_PAGE_BYTES ? run_pages : run_within_page;
    pthread_attr_t attributes;
    pthread_t id;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&id, &attributes, run, chain) != 0) {
        report_die("cannot start a thread");
    }
    pthread_attr_destroy(&attributes);
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 1);
    const unsigned threads = harness.threads;
    const unsigned size_max = harness_number(0, LIVE_SIZE_MIN, 65536);
    /* Larger objects take some allocators several times as long. */
    const uint64_t usual = size_max > LIVE_SIZE_SMALL_MAX ? 3000000 : 12000000;
    const enum live_sizes sizes = size_max > BENCH_PAGE_BYTES ? LIVE_UNIFORM_PAGES : LIVE_UNIFORM;
    const uint64_t per_chain = harness_operations(usual / threads, REPLACED_PER_THREAD);
    sem_init(&ended, 0, 0);
    for (unsigned i = 0; i < threads; i++) {
        chains[i].index = i;
        chains[i].lives = per_chain / REPLACED_PER_THREAD;
        live_set_fill_by(&chains[i].set, chains[i].objects, LIVE, size_max, i, sizes);
    }
    harness_clock_start();
    for (unsigned i = 0; i < threads; i++) {
        start_thread(&chains[i]);
    }
    for (unsigned i = 0; i < threads; i++) {
        while (sem_wait(&ended) != 0) {
        }
    }
    harness_clock_stop(per_chain * threads);
    uint64_t made = 0;
    uint64_t unmade = 0;
    for (unsigned i = 0; i < threads; i++) {
        live_set_clear(&chains[i].set);
        made += chains[i].set.made;
        unmade += chains[i].set.unmade;
    }
    harness_finish(unmade, made);
}
