#include "sheet_table.h"

#include <math.h>
#include <string.h>

enum { CELL_BYTES = 48 };

/* At least three significant digits, and no more than two after the point. */
static int format_value(char text[CELL_BYTES], unsigned metric, double value)
{
    double divisor = metric_forms[metric].shown_divisor;
    double shown = divisor > 0 ? value / divisor : value;
    int decimals = fabs(shown) < 10 ? 2 : fabs(shown) < 100 ? 1 : 0;
    return snprintf(text, CELL_BYTES, "%.*f", decimals, shown);
}

static void format_range(char text[CELL_BYTES], unsigned metric, struct summary summary)
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
struct runs {
    unsigned low;
    unsigned high;
};

static struct runs count_runs(unsigned metric)
{
    struct runs range = { 0, 0 };
    for (unsigned row = 0; row < sheet.rows; row++) {
        for (unsigned allocator = 0; allocator < sheet.allocators; allocator++) {
            unsigned runs = sheet.samples[row][allocator][metric].runs;
            range.low = runs != 0 && (range.low == 0 || runs < range.low) ? runs : range.low;
            range.high = runs > range.high ? runs : range.high;
        }
    }
    return range;
}

static void print_runs(struct runs range)
{
    if (range.low == range.high) {
        printf("%u run%s", range.high, range.high == 1 ? "" : "s");
    } else {
        printf("%u to %u runs", range.low, range.high);
    }
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

void sheet_table_print(unsigned metric, bool ranges)
{
    const struct runs runs = count_runs(metric);
    if (runs.high < (ranges ? 2 : 1)) {
        return;
    }
    bool ranked = !ranges && !metric_forms[metric].unranked;
    printf("\n%s, %s of ", metric_forms[metric].title, ranges ? "min-max" : "median");
    print_runs(runs);
    printf("%s\n", ranked ? "; * is the best peer" : "");
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
                putchar(ranked && allocator == best ? '*' : ' ');
            }
        }
        printf("\n");
    }
}

void sheet_write_results(FILE *stream, const char *bench)
{
    for (unsigned row = 0; row < sheet.rows; row++) {
        for (unsigned allocator = 0; allocator < sheet.allocators; allocator++) {
            for (unsigned metric = 0; metric < metric_count; metric++) {
                const struct samples *samples = &sheet.samples[row][allocator][metric];
                if (samples->runs != 0) {
                    report_write_row(stream, bench, sheet.row[row].workload,
                                     sheet.allocator[allocator], sheet.row[row].threads,
                                     metric_forms[metric].name, metric_forms[metric].unit,
                                     samples->runs, samples->summary);
                }
            }
        }
    }
}
