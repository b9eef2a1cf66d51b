#include "memory_plot.h"

#include "memory_metrics.h"
#include "sheet.h"

#include <stdlib.h>
#include <string.h>

static unsigned count_rows(enum metric metric)
{
    unsigned rows = 0;
    for (unsigned row = 0; row < sheet.rows; row++) {
        rows += sheet_has(row, metric);
    }
    return rows;
}

static bool is_peak(unsigned row)
{
    return strncmp(sheet.row[row].workload, "peak-", strlen("peak-")) == 0;
}

static unsigned count_peaks(void)
{
    unsigned rows = 0;
    for (unsigned row = 0; row < sheet.rows; row++) {
        rows += is_peak(row);
    }
    return rows;
}

static void write_list(FILE *stream, const char *name, const char *prefix)
{
    fprintf(stream, "%s = '", name);
    const char *between = "";
    for (unsigned row = 0; row < sheet.rows; row++) {
        if (strncmp(sheet.row[row].workload, prefix, strlen(prefix)) == 0) {
            fprintf(stream, "%s%s", between, sheet.row[row].workload);
            between = " ";
        }
    }
    fprintf(stream, "'\n");
}

static void write_setup(FILE *stream)
{
    fprintf(stream, "allocators = '");
    for (unsigned allocator = 0; allocator < sheet.allocators; allocator++) {
        fprintf(stream, "%s%s", allocator == 0 ? "" : " ", sheet.allocator[allocator]);
    }
    fprintf(stream, "'\npeak_rows = %u\nsleeper_rows = %u\n", count_peaks(),
            count_rows(ASLEEP_PER_THREAD) + count_rows(PURGED_PER_THREAD));
    write_list(stream, "decays", "decay-");
    write_list(stream, "transfers", "transfer-");
    write_list(stream, "exits", "exit");
}

/* Of the peak that stayed, in percent: after the purge, or the frees where there is no call. */
static void write_peak(FILE *stream)
{
    for (unsigned row = 0; row < sheet.rows; row++) {
        if (!is_peak(row)) {
            continue;
        }
        const char *size = sheet.row[row].workload + strlen("peak-");
        const char *order = strchr(size, '-');
        fprintf(stream, "\"%.*s\\n%s\"", (int)strcspn(size, "-"), size,
                order != NULL ? order + 1 : "");
        for (unsigned allocator = 0; allocator < sheet.allocators; allocator++) {
            bool purged = sheet.samples[row][allocator][PURGED].runs != 0;
            fprintf(stream, " %.5g",
                    sheet_median(row, allocator, purged ? PURGED : FREED) /
                        sheet_median(row, allocator, PEAK) * 100);
        }
        fprintf(stream, "\n");
    }
}

static void write_sleepers(FILE *stream)
{
    static const struct {
        enum metric metric;
        const char *label;
    } phases[] = { { ASLEEP_PER_THREAD, "asleep" }, { PURGED_PER_THREAD, "after the purge" } };
    for (size_t phase = 0; phase < sizeof phases / sizeof phases[0]; phase++) {
        for (unsigned row = 0; row < sheet.rows; row++) {
            if (!sheet_has(row, phases[phase].metric)) {
                continue;
            }
            fprintf(stream, "\"%s\\n%s\"", sheet.row[row].workload, phases[phase].label);
            for (unsigned allocator = 0; allocator < sheet.allocators; allocator++) {
                fprintf(stream, " %.5g",
                        sheet_median(row, allocator, phases[phase].metric) / 1024);
            }
            fprintf(stream, "\n");
        }
    }
}

void memory_plot_write(const char *directory)
{
    static const struct report_file files[] = {
        { "memory-setup.gnuplot", write_setup },
        { "memory-peak.dat", write_peak },
        { "memory-sleepers.dat", write_sleepers },
    };
    report_to_directory(directory, files, sizeof files / sizeof files[0]);
}
