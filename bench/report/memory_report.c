/*
 * memory_report: what bench/memory.sh measured, in tables, against the targets, as data to draw.
 *
 * Question: what stays in memory after a peak, and what do threads keep; which targets are met?
 * Input:    a raw file of one value a line; sheet.h has its form.
 * Output:   on stdout a table per metric with the medians, of times also the minima and maxima, and
 *           the targets (memory_targets.h); with --results FILE one JSON object a line is appended;
 *           with --plot-data DIR what memory.gnuplot draws besides the series.
 *
 * All allocators must have done the same work: the same objects and bytes in each row. Targets that
 * are missed are a finding and not a failure: the exit status is 0. Input that cannot be used has
 * 2.
 */
#include "memory_metrics.h"
#include "memory_plot.h"
#include "memory_targets.h"
#include "report_arguments.h"
#include "sheet_table.h"

#include <stdlib.h>
#include <string.h>

#define MIB ((double)(1 << 20))
#define KIB 1024.0

#define IN_BYTES(metric_name, shown, divisor)                                                      \
    { .name = (metric_name), .unit = "bytes", .title = (shown), .shown_divisor = (divisor) }
#define IN_NS(metric_name, shown, divisor)                                                         \
    { .name = (metric_name), .unit = "ns", .title = (shown), .shown_divisor = (divisor) }

const struct metric_form metric_forms[] = {
    [OBJECTS] = { .name = "objects", .unit = "objects", .title = "Objects", .unranked = true },
    [ASKED_BYTES] = IN_BYTES("asked_bytes", "Asked for at the peak in MiB", MIB),
    [RECORD_BYTES] = IN_BYTES("record_bytes", "The program's own record in MiB", MIB),
    [START] = IN_BYTES("start_bytes", "Resident at the start in MiB", MIB),
    [START_ANONYMOUS] = IN_BYTES("start_anonymous_bytes", "Anonymous at the start in MiB", MIB),
    [START_LAZYFREE] = IN_BYTES("start_lazyfree_bytes", "Lazily free at the start in MiB", MIB),
    [PEAK] = IN_BYTES("peak_bytes", "Resident at the peak in MiB", MIB),
    [PEAK_ANONYMOUS] = IN_BYTES("peak_anonymous_bytes", "Anonymous at the peak in MiB", MIB),
    [PEAK_LAZYFREE] = IN_BYTES("peak_lazyfree_bytes", "Lazily free at the peak in MiB", MIB),
    [FREED] = IN_BYTES("freed_bytes", "Resident after the frees in MiB", MIB),
    [FREED_ANONYMOUS] = IN_BYTES("freed_anonymous_bytes", "Anonymous after the frees in MiB", MIB),
    [FREED_LAZYFREE] = IN_BYTES("freed_lazyfree_bytes", "Lazily free after the frees in MiB", MIB),
    [PURGED] = IN_BYTES("purged_bytes", "Resident after the purge in MiB", MIB),
    [PURGED_ANONYMOUS] =
        IN_BYTES("purged_anonymous_bytes", "Anonymous after the purge in MiB", MIB),
    [PURGED_LAZYFREE] =
        IN_BYTES("purged_lazyfree_bytes", "Lazily free after the purge in MiB", MIB),
    [BEYOND_START] = { .name = "beyond_start_bytes", .unit = "bytes", .shown_divisor = MIB,
                       .title = "Resident after the purge beyond the start in MiB",
                       .is_signed = true },
    [PURGE_TIME] = IN_NS("purge_ns", "Time of the purge call in ms", 1e6),
    [WATCHED] = { .name = "watched_s", .unit = "s", .title = "Watched for seconds" },
    [BELOW_TENTH] = { .name = "below_tenth_s", .unit = "s",
                      .title = "Seconds until below a tenth of the peak (all that were watched: "
                               "never)" },
    [AFTER_3S] = IN_BYTES("after_3s_bytes", "Resident 3 s after the frees in MiB", MIB),
    [AFTER_1S] = IN_BYTES("after_1s_bytes", "Resident after 1 s in MiB", MIB),
    [END] = IN_BYTES("end_bytes", "Resident at the end in MiB", MIB),
    [SLOPE] = { .name = "slope_kib_per_s", .unit = "KiB/s", .is_signed = true, .unranked = true,
                .title = "Slope of resident memory after the first second in KiB/s" },
    [SLOPE_ERROR] = { .name = "slope_error_kib_per_s", .unit = "KiB/s", .unranked = true,
                      .title = "Standard error of the slope in KiB/s" },
    [OBJECT_RATE] = { .name = "objects_per_s", .unit = "1/s", .shown_divisor = 1e6,
                      .unranked = true, .title = "Million objects a second" },
    [ASLEEP_PER_THREAD] = { .name = "asleep_bytes_per_thread", .unit = "bytes", .is_signed = true,
                            .title = "Resident per sleeping thread in KiB", .shown_divisor = KIB },
    [PURGED_PER_THREAD] = { .name = "purged_bytes_per_thread", .unit = "bytes", .is_signed = true,
                            .title = "Resident per sleeping thread after the purge in KiB",
                            .shown_divisor = KIB },
    [EXIT_P50] = IN_NS("exit_p50_ns", "Exit of a thread, 50th percentile in us", 1e3),
    [EXIT_P99] = IN_NS("exit_p99_ns", "Exit of a thread, 99th percentile in us", 1e3),
    [EXIT_MAX] = IN_NS("exit_max_ns", "Exit of a thread, maximum in us", 1e3),
    [EXIT_CPU] = IN_NS("exit_cpu_ns", "CPU time of a thread's exit, wake-up and all, in us", 1e3),
    [EXIT_ALL] = IN_NS("exit_all_ns", "Wall time until all threads are joined in ms", 1e6),
    [KEPT_BYTES] = IN_BYTES("kept_bytes", "Kept beyond its phase in MiB", MIB),
    [AFTER_PHASE] =
        IN_BYTES("after_phase_bytes", "Resident after a phase, at most, in MiB", MIB),
    [AFTER_PHASE_ANONYMOUS] =
        IN_BYTES("after_phase_anonymous_bytes", "Anonymous after a phase, at most, in MiB", MIB),
    [AFTER_PHASE_LAZYFREE] = IN_BYTES("after_phase_lazyfree_bytes",
                                      "Lazily free after a phase, at most, in MiB", MIB),
    [AFTER_EXIT] = IN_BYTES("after_exit_bytes", "Resident after the exits in MiB", MIB),
    [AFTER_EXIT_ANONYMOUS] =
        IN_BYTES("after_exit_anonymous_bytes", "Anonymous after the exits in MiB", MIB),
    [AFTER_EXIT_LAZYFREE] =
        IN_BYTES("after_exit_lazyfree_bytes", "Lazily free after the exits in MiB", MIB),
};
const unsigned metric_count = METRICS;
_Static_assert((int)METRICS <= (int)SHEET_METRICS_MAX, "the sheet has room for all metrics");

/* The tables, in this order. What is not here is in the results only. */
static const struct table {
    enum metric metric;
    bool ranges; /* also minima and maxima */
} tables[] = {
    { PEAK, false },
    { FREED, false },
    { PURGED, false },
    { BEYOND_START, false },
    { PURGE_TIME, true },
    { BELOW_TENTH, false },
    { AFTER_3S, false },
    { AFTER_1S, false },
    { AFTER_PHASE, false },
    { END, false },
    { SLOPE, false },
    { SLOPE_ERROR, false },
    { OBJECT_RATE, false },
    { ASLEEP_PER_THREAD, false },
    { PURGED_PER_THREAD, false },
    { EXIT_P50, true },
    { EXIT_P99, true },
    { EXIT_MAX, true },
    { EXIT_CPU, true },
    { EXIT_ALL, true },
    { AFTER_EXIT, false },
};

static void check_same_work(enum metric metric)
{
    for (unsigned row = 0; row < sheet.rows; row++) {
        const struct samples *first = NULL;
        for (unsigned allocator = 0; allocator < sheet.allocators; allocator++) {
            const struct samples *samples = &sheet.samples[row][allocator][metric];
            if (samples->runs == 0) {
                continue;
            }
            first = first != NULL ? first : samples;
            if (samples->summary.min < first->summary.max ||
                samples->summary.max > first->summary.min) {
                report_refuse("%s: %s differs between runs or allocators: not the same work",
                              sheet.row[row].workload, metric_forms[metric].name);
            }
        }
    }
}

static void print_lazily_free(void)
{
    for (unsigned row = 0; row < sheet.rows; row++) {
        for (unsigned allocator = 0; allocator < sheet.allocators; allocator++) {
            double bytes = sheet_median(row, allocator, PURGED_LAZYFREE);
            if (bytes > 0) {
                printf("%s, %s: %.1f MiB of it may be taken by the kernel when it is short\n",
                       sheet.row[row].workload, sheet.allocator[allocator], bytes / MIB);
            }
        }
    }
}

static void print_tables(void)
{
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        sheet_table_print(tables[i].metric, false);
        if (tables[i].metric == PURGED) {
            print_lazily_free();
        }
        if (tables[i].ranges) {
            sheet_table_print(tables[i].metric, true);
        }
    }
}

static void write_results(FILE *stream)
{
    sheet_write_results(stream, "memory");
}

int main(int argc, char **argv)
{
    const struct report_arguments arguments = report_arguments_read(argc, argv, "memory");
    sheet_read(arguments.raw);
    check_same_work(OBJECTS);
    check_same_work(ASKED_BYTES);
    check_same_work(KEPT_BYTES);
    print_tables();
    report_to_file(arguments.results, "a", write_results);
    if (arguments.plot_data != NULL) {
        memory_plot_write(arguments.plot_data);
    }
    memory_targets_print();
    if (fflush(stdout) != 0 || ferror(stdout)) {
        report_die("the tables could not be written");
    }
    return EXIT_SUCCESS;
}
