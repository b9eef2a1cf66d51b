/*
 * memory_decay: does memory go back by itself while a program does little?
 * Matrix: a peak of MIB of objects of 8 to 512 bytes is freed in random order. Then one thread has
 * light TRAFFIC: "pairs", one object of a random size allocated and freed 1,000 times a second, or
 * "bursts", 1,000 objects allocated and then freed 100 times a second. Resident memory is taken
 * every 50 ms for MILLISECONDS and written to the file SERIES ("-": none).
 *
 * below_tenth_s is watched_s, all the time watched, when the tenth was not reached.
 */
#include "give_back.h"
#include "objects.h"
#include "report.h"

#include <errno.h>
#include <time.h>

enum { BURST_OBJECTS = 1000, TICKS_PER_BURST = 10, TICKS_PER_SAMPLE = 50 };
enum { JUDGED_MS = 3000 };

static struct live_set traffic = { .size_max = LIVE_SIZE_SMALL_MAX };
static void *burst[BURST_OBJECTS];

static void make_and_free(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        burst[i] = live_set_make(&traffic);
    }
    for (unsigned i = 0; i < count; i++) {
        traffic.unmade += bench_unmake(burst[i]);
    }
}

/* Ticks are milliseconds by a fixed clock: the program makes up for a late one. */
static void sleep_until(struct timespec begin, unsigned tick)
{
    begin.tv_sec += tick / 1000;
    begin.tv_nsec += (long)(tick % 1000) * 1000000;
    if (begin.tv_nsec >= 1000000000) {
        begin.tv_sec++;
        begin.tv_nsec -= 1000000000;
    }
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &begin, NULL) == EINTR) {
    }
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 4);
    const bool bursts = strcmp(harness.arguments[0], "bursts") == 0;
    if (!bursts && strcmp(harness.arguments[0], "pairs") != 0) {
        report_refuse("TRAFFIC %s: accepted are pairs and bursts", harness.arguments[0]);
    }
    const uint64_t peak_mib = harness_number(1, 1, 65536);
    const unsigned watched_ms = harness_number(2, TICKS_PER_SAMPLE, 300000);
    traffic.random = bench_seed(1);

    struct series series = series_create();
    struct memory_objects objects = memory_objects_record(peak_mib << 20, MIXED_SMALL);
    const struct resident start = resident_now();
    memory_objects_make(&objects, MIXED_SMALL);
    const struct resident peak = resident_now();
    memory_objects_free_random(&objects, 0, objects.count);
    memory_objects_forget(&objects);
    series_begin(&series);
    const double freed_bytes = series_take(&series).bytes;

    struct timespec begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    double below_tenth_s = watched_ms / 1e3;
    double judged_bytes = -1;
    double end_bytes = freed_bytes;
    for (unsigned tick = 1; tick <= watched_ms; tick++) {
        sleep_until(begin, tick);
        if (!bursts) {
            make_and_free(1);
        } else if (tick % TICKS_PER_BURST == 0) {
            make_and_free(BURST_OBJECTS);
        }
        if (tick % TICKS_PER_SAMPLE != 0) {
            continue;
        }
        struct series_sample sample = series_take(&series);
        end_bytes = sample.bytes;
        if (sample.bytes < peak.all / 10 && sample.seconds < below_tenth_s) {
            below_tenth_s = sample.seconds;
        }
        if (tick == JUDGED_MS) {
            judged_bytes = sample.bytes;
        }
    }

    resident_rows("start", start);
    resident_rows("peak", peak);
    harness_row("freed_bytes", "bytes", freed_bytes);
    harness_row("watched_s", "s", watched_ms / 1e3);
    harness_row("below_tenth_s", "s", below_tenth_s);
    if (judged_bytes >= 0) {
        harness_row("after_3s_bytes", "bytes", judged_bytes);
    }
    harness_row("end_bytes", "bytes", end_bytes);
    series_write(&series, harness.arguments[3]);
    harness_finish_sums(objects.unmade + traffic.unmade, objects.made + traffic.made);
}
