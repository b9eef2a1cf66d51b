/*
 * compare_report: what bench/compare.sh measured, in tables, against the targets, as data to draw.
 *
 * Question: where does MemoryBucket stand among its peers, and which of its targets are met?
 * Input:    a raw file of one value a line; sheet.h has its form.
 * Output:   on stdout a table per metric with the medians, of wall time also the minima and maxima,
 *           and the targets (compare_targets.c has their list); with --results FILE one JSON object
 *           a line is appended; with --plot-data DIR what compare.gnuplot draws (compare_plot.h).
 *
 * Targets that are missed are a finding and not a failure: the exit status is 0. Input that cannot
 * be used has 2.
 */
#include "compare_metrics.h"
#include "compare_plot.h"
#include "compare_targets.h"
#include "report_arguments.h"
#include "sheet_table.h"

#include <stdlib.h>
#include <string.h>

const struct metric_form metric_forms[] = {
    [WALL_TIME] = { .name = "wall_ns_per_op", .unit = "ns",
                    .title = "Wall time of an operation in ns" },
    [CPU_TIME] = { .name = "cpu_ns_per_op", .unit = "ns",
                   .title = "CPU time of an operation in ns" },
    [PEAK_MEMORY] = { .name = "peak_bytes", .unit = "bytes", .title = "Peak memory in MiB",
                      .shown_divisor = 1 << 20 },
    [FINAL_MEMORY] = { .name = "final_bytes", .unit = "bytes",
                       .title = "Memory at the end in MiB", .shown_divisor = 1 << 20 },
    [LATENCY_P50] = { .name = "p50_ns", .unit = "ns", .title = "Latency, 50th percentile in ns" },
    [LATENCY_P90] = { .name = "p90_ns", .unit = "ns", .title = "Latency, 90th percentile in ns" },
    [LATENCY_P99] = { .name = "p99_ns", .unit = "ns", .title = "Latency, 99th percentile in ns" },
    [LATENCY_P99_9] = { .name = "p99.9_ns", .unit = "ns",
                        .title = "Latency, 99.9th percentile in ns" },
    [LATENCY_P99_99] = { .name = "p99.99_ns", .unit = "ns",
                         .title = "Latency, 99.99th percentile in ns" },
    [LATENCY_MAX] = { .name = "max_ns", .unit = "ns", .title = "Latency, maximum in ns" },
};
const unsigned metric_count = METRICS;

static void write_results(FILE *stream)
{
    sheet_write_results(stream, "compare");
}

int main(int argc, char **argv)
{
    const struct report_arguments arguments = report_arguments_read(argc, argv, "compare");
    sheet_read(arguments.raw);
    for (unsigned metric = 0; metric < metric_count; metric++) {
        sheet_table_print(metric, false);
        if (metric == WALL_TIME) {
            sheet_table_print(metric, true);
        }
    }
    report_to_file(arguments.results, "a", write_results);
    if (arguments.plot_data != NULL) {
        plot_write(arguments.plot_data);
    }
    targets_print();
    if (fflush(stdout) != 0 || ferror(stdout)) {
        report_die("the tables could not be written");
    }
    return EXIT_SUCCESS;
}
