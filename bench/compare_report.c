/*
 * compare_report: what bench/compare.sh measured, in tables, against the targets, as data to draw.
 *
 * Question: where does MemoryBucket stand among its peers, and which of its targets are met?
 * Input:    a raw file of one value a line; compare_sheet.h has its form.
 * Output:   on stdout a table per metric with the medians, of wall time also the minima and maxima,
 *           and the targets (compare_targets.c has their list); with --results FILE one JSON object
 *           a line is appended; with --plot-data DIR what compare.gnuplot draws (compare_plot.h).
 *
 * Targets that are missed are a finding and not a failure: the exit status is 0. Input that cannot
 * be used has 2.
 */
#include "compare_plot.h"
#include "compare_sheet.h"
#include "compare_targets.h"

#include <stdlib.h>
#include <string.h>

enum { CELL_BYTES = 48 };

/* At least three significant digits, and no more than two after the point. */
static int format_value(char text[CELL_BYTES], enum metric metric, double value)
{
    bool memory = metric == PEAK_MEMORY || metric == FINAL_MEMORY;
    double shown = memory ? value / (1 << 20) : value;
    return snprintf(text, CELL_BYTES, "%.*f", shown < 10 ? 2 : shown < 100 ? 1 : 0, shown);
}

static void format_range(char text[CELL_BYTES], enum metric metric, struct summary summary)
{
    char low[CELL_BYTES];
    char high[CELL_BYTES];
    format_value(low, metric, summary.min);
    format_value(high, metric, summary.max);
    if (snprintf(text, CELL_BYTES, "%s-%s", low, high) >= CELL_BYTES) {
        strcpy(text, "...");
    }
}

/* How many runs the medians are of: cut short, a comparison has fewer of some. */
static void print_runs(enum metric metric)
{
    unsigned low = 0;
    unsigned high = 0;
    for (unsigned row = 0; row < sheet.rows; row++) {
        for (unsigned allocator = 0; allocator < sheet.allocators; allocator++) {
            unsigned runs = sheet.samples[row][allocator][metric].runs;
            low = runs != 0 && (low == 0 || runs < low) ? runs : low;
            high = runs > high ? runs : high;
        }
    }
    if (low == high) {
        printf("%u run%s", high, high == 1 ? "" : "s");
    } else {
        printf("%u to %u runs", low, high);
    }
}

static bool is_measured(enum metric metric)
{
    bool measured = false;
    for (unsigned row = 0; row < sheet.rows; row++) {
        measured = measured || sheet_has(row, metric);
    }
    return measured;
}

static int label_width(void)
{
    size_t width = sizeof "workload@threads" - 1;
    for (unsigned row = 0; row < sheet.rows; row++) {
        char label[SHEET_LABEL_BYTES];
        sheet_label(label, row);
        width = strlen(label) > width ? strlen(label) : width;
    }
    return (int)width;
}

static void print_table(enum metric metric, bool ranges)
{
    printf("\n%s, %s of ", metric_forms[metric].title, ranges ? "min-max" : "median");
    print_runs(metric);
    printf("%s\n", ranges ? "" : "; * is the best peer");
    int width = label_width();
    int cell_width = ranges ? 15 : 11;
    printf("%-*s", width, "workload@threads");
    for (unsigned allocator = 0; allocator < sheet.allocators; allocator++) {
        printf("  %*s%s", cell_width, sheet.allocator[allocator], ranges ? "" : " ");
    }
    printf("\n");
    for (unsigned row = 0; row < sheet.rows; row++) {
        if (!sheet_has(row, metric)) {
            continue;
        }
        char label[SHEET_LABEL_BYTES];
        sheet_label(label, row);
        printf("%-*s", width, label);
        unsigned best = sheet_best_peer(row, metric);
        for (unsigned allocator = 0; allocator < sheet.allocators; allocator++) {
            const struct samples *samples = &sheet.samples[row][allocator][metric];
            char text[CELL_BYTES] = "-";
            if (samples->runs != 0 && ranges) {
                format_range(text, metric, samples->summary);
            } else if (samples->runs != 0) {
                format_value(text, metric, samples->summary.median);
            }
            int name_width = (int)strlen(sheet.allocator[allocator]);
            printf("  %*s", name_width > cell_width ? name_width : cell_width, text);
            if (!ranges) {
                putchar(allocator == best ? '*' : ' ');
            }
        }
        printf("\n");
    }
}

static void write_results(FILE *stream)
{
    for (unsigned row = 0; row < sheet.rows; row++) {
        for (unsigned allocator = 0; allocator < sheet.allocators; allocator++) {
            for (enum metric metric = 0; metric < METRICS; metric++) {
                const struct samples *samples = &sheet.samples[row][allocator][metric];
                if (samples->runs != 0) {
                    report_write_row(stream, "compare", sheet.row[row].workload,
                                     sheet.allocator[allocator], sheet.row[row].threads,
                                     metric_forms[metric].name, metric_forms[metric].unit,
                                     samples->runs, samples->summary);
                }
            }
        }
    }
}

static void usage(FILE *stream)
{
    fprintf(stream, "Usage: compare_report RAW_FILE [--results FILE] [--plot-data DIR]\n"
                    "  RAW_FILE         what bench/compare.sh measured, one value a line\n"
                    "  --results FILE   append one JSON object a line\n"
                    "  --plot-data DIR  write what compare.gnuplot draws into this directory\n");
}

int main(int argc, char **argv)
{
    const char *raw = NULL;
    const char *results = NULL;
    const char *plot_data = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            usage(stdout);
            return EXIT_SUCCESS;
        }
        if (i + 1 < argc && strcmp(argv[i], "--results") == 0) {
            results = argv[++i];
        } else if (i + 1 < argc && strcmp(argv[i], "--plot-data") == 0) {
            plot_data = argv[++i];
        } else if (argv[i][0] != '-' && raw == NULL) {
            raw = argv[i];
        } else {
            fprintf(stderr, "compare_report: %s: no such option, or no value for it\n", argv[i]);
            usage(stderr);
            return 2;
        }
    }
    if (raw == NULL) {
        usage(stderr);
        return 2;
    }
    sheet_read(raw);
    for (enum metric metric = 0; metric < METRICS; metric++) {
        if (is_measured(metric)) {
            print_table(metric, false);
        }
        if (metric == WALL_TIME && is_measured(metric)) {
            print_table(metric, true);
        }
    }
    report_to_file(results, "a", write_results);
    if (plot_data != NULL) {
        plot_write(plot_data);
    }
    targets_print();
    if (fflush(stdout) != 0 || ferror(stdout)) {
        report_die("the tables could not be written");
    }
    return EXIT_SUCCESS;
}
