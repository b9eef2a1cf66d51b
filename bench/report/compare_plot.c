#include "compare_plot.h"

#include "compare_metrics.h"
#include "sheet.h"

#include <stdlib.h>
#include <string.h>

enum { PANEL_ROWS_MAX = 9 };

/* The order of the columns: MemoryBucket's forms, fastest first, then the peers as they come. */
static unsigned columns[SHEET_ALLOCATORS_MAX];
static unsigned column_count;

/* The rows of one chart, and in how many panels they are drawn. */
struct chart {
    unsigned row[SHEET_ROWS_MAX];
    unsigned rows;
    unsigned panels;
};
static struct chart time_chart;
static struct chart memory_chart;
static struct chart latency_chart;
static struct chart scaling_chart;

static void order_columns(void)
{
    for (enum form form = FORMS; form-- > 0;) {
        unsigned allocator = sheet_find_allocator(form_names[form]);
        if (allocator < sheet.allocators) {
            columns[column_count++] = allocator;
        }
    }
    for (unsigned allocator = 0; allocator < sheet.allocators; allocator++) {
        if (sheet_form(allocator) == FORM_NONE) {
            columns[column_count++] = allocator;
        }
    }
}

/* The rows that have a peer to be compared with, in as few and as even panels as there can be. */
static void choose_bars(struct chart *chart, enum metric metric)
{
    for (unsigned row = 0; row < sheet.rows; row++) {
        unsigned best = sheet_best_peer(row, metric);
        if (best < sheet.allocators && sheet_median(row, best, metric) > 0) {
            chart->row[chart->rows++] = row;
        }
    }
    chart->panels = (chart->rows + PANEL_ROWS_MAX - 1) / PANEL_ROWS_MAX;
}

static int compare_threads(const void *a, const void *b)
{
    unsigned x = sheet.row[*(const unsigned *)a].threads;
    unsigned y = sheet.row[*(const unsigned *)b].threads;
    return (x > y) - (x < y);
}

static void choose_rows(void)
{
    choose_bars(&time_chart, WALL_TIME);
    choose_bars(&memory_chart, PEAK_MEMORY);
    for (unsigned row = 0; row < sheet.rows; row++) {
        if (sheet_has(row, LATENCY_P50)) {
            latency_chart.row[latency_chart.rows++] = row;
        }
        if (strcmp(sheet.row[row].workload, "server") == 0 && sheet_has(row, WALL_TIME)) {
            scaling_chart.row[scaling_chart.rows++] = row;
        }
    }
    latency_chart.panels = latency_chart.rows;
    scaling_chart.panels = scaling_chart.rows > 1; /* one point is no line */
    qsort(scaling_chart.row, scaling_chart.rows, sizeof scaling_chart.row[0], compare_threads);
}

/* The longest panel's rows. */
static unsigned panel_rows(const struct chart *chart)
{
    return chart->panels == 0 ? 0 : (chart->rows + chart->panels - 1) / chart->panels;
}

static void write_setup(FILE *stream)
{
    fprintf(stream, "allocators = '");
    for (unsigned column = 0; column < column_count; column++) {
        fprintf(stream, "%s%s", column == 0 ? "" : " ", sheet.allocator[columns[column]]);
    }
    fprintf(stream, "'\n");
    fprintf(stream, "time_panels = %u\ntime_panel_rows = %u\n", time_chart.panels,
            panel_rows(&time_chart));
    fprintf(stream, "memory_panels = %u\nmemory_panel_rows = %u\n", memory_chart.panels,
            panel_rows(&memory_chart));
    fprintf(stream, "latency_panels = %u\nscaling_panels = %u\nlatency_titles = '",
            latency_chart.panels, scaling_chart.panels);
    for (unsigned i = 0; i < latency_chart.rows; i++) {
        char label[SHEET_LABEL_BYTES];
        sheet_label(label, latency_chart.row[i]);
        fprintf(stream, "%s%s", i == 0 ? "" : " ", label);
    }
    fprintf(stream, "'\n");
}

static void write_column_names(FILE *stream)
{
    fprintf(stream, "# label");
    for (unsigned column = 0; column < column_count; column++) {
        fprintf(stream, " %s", sheet.allocator[columns[column]]);
    }
    fprintf(stream, "\n");
}

static void write_bars(FILE *stream, const struct chart *chart, enum metric metric, bool as_speed)
{
    write_column_names(stream);
    unsigned panel = 0;
    for (unsigned i = 0; i < chart->rows; i++) {
        unsigned row = chart->row[i];
        if (i * chart->panels / chart->rows != panel) {
            panel++;
            fprintf(stream, "\n\n"); /* gnuplot's next index */
        }
        double best = sheet_median(row, sheet_best_peer(row, metric), metric);
        fprintf(stream, "\"%s\\n%u thread%s\"", sheet.row[row].workload, sheet.row[row].threads,
                sheet.row[row].threads == 1 ? "" : "s");
        for (unsigned column = 0; column < column_count; column++) {
            double value = sheet_median(row, columns[column], metric);
            fprintf(stream, " %.4g", as_speed ? best / value : value / best);
        }
        fprintf(stream, "\n");
    }
}

static void write_time(FILE *stream)
{
    write_bars(stream, &time_chart, WALL_TIME, true);
}

static void write_memory(FILE *stream)
{
    write_bars(stream, &memory_chart, PEAK_MEMORY, false);
}

static void write_latency(FILE *stream)
{
    static const char *const names[] = { "p50", "p90", "p99", "p99.9", "p99.99", "max" };
    write_column_names(stream);
    for (unsigned i = 0; i < latency_chart.rows; i++) {
        for (enum metric metric = LATENCY_P50; metric <= LATENCY_MAX; metric++) {
            fprintf(stream, "\"%s\"", names[metric - LATENCY_P50]);
            for (unsigned column = 0; column < column_count; column++) {
                double value = sheet_median(latency_chart.row[i], columns[column], metric);
                fprintf(stream, " %.5g", value);
            }
            fprintf(stream, "\n");
        }
        fprintf(stream, "\n\n");
    }
}

static void write_scaling(FILE *stream)
{
    write_column_names(stream);
    for (unsigned i = 0; i < scaling_chart.rows; i++) {
        unsigned row = scaling_chart.row[i];
        fprintf(stream, "%u", sheet.row[row].threads);
        for (unsigned column = 0; column < column_count; column++) {
            fprintf(stream, " %.5g", 1000 / sheet_median(row, columns[column], WALL_TIME));
        }
        fprintf(stream, "\n");
    }
}

void plot_write(const char *directory)
{
    static const struct report_file files[] = {
        { "compare-setup.gnuplot", write_setup }, { "compare-time.dat", write_time },
        { "compare-memory.dat", write_memory },   { "compare-latency.dat", write_latency },
        { "compare-scaling.dat", write_scaling },
    };
    order_columns();
    choose_rows();
    report_to_directory(directory, files, sizeof files / sizeof files[0]);
}
