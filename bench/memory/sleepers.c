/*
 * memory_sleepers: how much memory do threads keep that have freed everything and sleep?
 * Matrix: THREADS that each allocate 256 KiB of objects of 8 to 512 bytes, free them all, call what
 * the allocator has for a thread that becomes idle (CALL "idle") or nothing ("none"), and sleep.
 * Resident memory per thread once all sleep, and after the main thread's purge call.
 *
 * Before the start each thread has touched all of its stack that it will use: stacks do not count.
 */
#include "give_back.h"
#include "live_set.h"
#include "report.h"
#include "resident.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { PEAK_BYTES = 256 << 10, STACK_TOUCHED_BYTES = 48 << 10 };
enum { OBJECTS = PEAK_BYTES / LIVE_SIZE_SMALL_MEAN };

static bool calls_idle;
static pthread_barrier_t ready;
static pthread_barrier_t begin;
static pthread_barrier_t wake;
static _Atomic unsigned asleep;

struct sleeper {
    _Alignas(128) unsigned thread;
    bool idle_called;
    uint64_t made;
    uint64_t unmade;
};
static struct sleeper sleepers[BENCH_THREADS_MAX];

static __attribute__((noinline)) void touch_stack(void)
{
    volatile unsigned char stack[STACK_TOUCHED_BYTES];
    for (size_t i = 0; i < sizeof stack; i += 64) {
        stack[i] = 1;
    }
}

static __attribute__((noinline)) void work_once(struct sleeper *sleeper)
{
    void *objects[OBJECTS];
    struct live_set set;
    live_set_fill(&set, objects, OBJECTS, LIVE_SIZE_SMALL_MAX, sleeper->thread);
    live_set_clear(&set);
    sleeper->made = set.made;
    sleeper->unmade = set.unmade;
    if (calls_idle) {
        sleeper->idle_called = give_back_idle();
    }
}

static void *run(void *argument)
{
    struct sleeper *sleeper = argument;
    touch_stack();
    pthread_barrier_wait(&ready);
    pthread_barrier_wait(&begin);
    work_once(sleeper);
    /* relaxed: main reads nothing of this thread's but what the kernel counts. */
    atomic_fetch_add_explicit(&asleep, 1, memory_order_relaxed);
    pthread_barrier_wait(&wake);
    return NULL;
}

static void sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){ 0, (long)ms * 1000000 }, NULL);
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 1);
    calls_idle = strcmp(harness.arguments[0], "idle") == 0;
    if (!calls_idle && strcmp(harness.arguments[0], "none") != 0) {
        report_refuse("CALL %s: accepted are none and idle", harness.arguments[0]);
    }
    give_back_start();
    give_back_purge();
    for (unsigned i = 0; i < harness.threads; i++) {
        sleepers[i].thread = i;
    }
    pthread_barrier_init(&ready, NULL, harness.threads + 1);
    pthread_barrier_init(&begin, NULL, harness.threads + 1);
    pthread_barrier_init(&wake, NULL, harness.threads + 1);
    harness_start_threads(run, sleepers, sizeof sleepers[0]);

    pthread_barrier_wait(&ready);
    sleep_ms(20); /* until the last ones are in the next barrier */
    const struct resident start = resident_now();
    pthread_barrier_wait(&begin);
    while (atomic_load_explicit(&asleep, memory_order_relaxed) < harness.threads) {
        sleep_ms(1);
    }
    sleep_ms(20);
    const struct resident sleeping = resident_now();
    double began_ns = harness_now_ns();
    const bool can_purge = give_back_purge();
    const double purge_ns = harness_now_ns() - began_ns;
    const struct resident purged = resident_now();
    pthread_barrier_wait(&wake);
    harness_join_threads();

    uint64_t made = 0;
    uint64_t unmade = 0;
    for (unsigned i = 0; i < harness.threads; i++) {
        made += sleepers[i].made;
        unmade += sleepers[i].unmade;
    }
    resident_rows("start", start);
    const bool is_answered = !calls_idle || sleepers[0].idle_called;
    if (is_answered) {
        harness_row("asleep_bytes_per_thread", "bytes",
                    (sleeping.all - start.all) / harness.threads);
    }
    if (is_answered && can_purge) {
        harness_row("purged_bytes_per_thread", "bytes",
                    (purged.all - start.all) / harness.threads);
        harness_row("purge_ns", "ns", purge_ns);
    }
    harness_finish_sums(unmade, made);
}
