#include "memory_targets.h"

#include "memory_metrics.h"
#include "sheet.h"

#include <math.h>
#include <string.h>

#define MIB ((double)(1 << 20))

static const double START_SHARE = 0.05;
/* src/core/sorted.h: a bit a slot, 4 bytes for 64 KiB; each in whole pages, for each pool used. */
static const double METADATA_PER_OBJECT_BYTES = 0.125;
static const double METADATA_PER_PEAK_BYTE = 4.0 / (64 << 10);
static const double METADATA_PER_POOL_BYTES = 2 * 4096;
static const double MIXED_POOLS = 32; /* the drop-in's: every second one */
static const double DECAY_MAX_S = 3;
static const double ERRORS_MAX = 2;
static const double GROWTH_SHARE_PER_S = 0.001;

static unsigned met;
static unsigned missed;
static unsigned unjudged;

/* `value` NAN: what it needs was not measured, as when an allocator has no purge call. */
static const char *judge(double value, double most)
{
    if (isnan(value) || isnan(most)) {
        unjudged++;
        return "-";
    }
    (*(value <= most ? &met : &missed))++;
    return value <= most ? "met" : "missed";
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool ends(const char *text, const char *with)
{
    size_t length = strlen(text);
    return length >= strlen(with) && strcmp(text + length - strlen(with), with) == 0;
}

static void print_number(int width, int decimals, double value)
{
    if (isnan(value)) {
        printf("  %*s", width, "-");
    } else {
        printf("  %*.*f", width, decimals, value);
    }
}

static void print_back(unsigned row, unsigned ours)
{
    double start = sheet_median(row, ours, START);
    double peak = sheet_median(row, ours, PEAK);
    double beyond = sheet_median(row, ours, BEYOND_START);
    bool mixed = begins(sheet.row[row].workload, "peak-mixed");
    double metadata = METADATA_PER_OBJECT_BYTES * sheet_median(row, ours, OBJECTS)
                      + METADATA_PER_PEAK_BYTE * peak
                      + METADATA_PER_POOL_BYTES * (mixed ? MIXED_POOLS : 1);
    double allowed = START_SHARE * start + metadata;
    printf("%-22s", sheet.row[row].workload);
    print_number(9, 2, start / MIB);
    print_number(9, 2, peak / MIB);
    print_number(9, 2, beyond / MIB);
    print_number(9, 3, beyond / peak * 100);
    print_number(11, 2, metadata / MIB);
    print_number(11, 2, allowed / MIB);
    printf("  %s\n", judge(beyond, allowed));
}

static void print_decay(unsigned row, unsigned ours)
{
    double seconds = sheet_median(row, ours, BELOW_TENTH);
    printf("%-22s", sheet.row[row].workload);
    print_number(9, 2, seconds);
    print_number(9, 2, DECAY_MAX_S);
    printf("  %s\n", judge(seconds, DECAY_MAX_S));
}

/* At most what the C library's malloc holds, measured in the same run. */
static void print_burst(unsigned row, unsigned ours)
{
    const unsigned glibc = sheet_find_allocator("glibc");
    double after = sheet_median(row, ours, AFTER_PHASE);
    double allowed = glibc != sheet.allocators ? sheet_median(row, glibc, AFTER_PHASE) : NAN;
    printf("%-22s", sheet.row[row].workload);
    print_number(9, 2, after / MIB);
    print_number(9, 2, allowed / MIB);
    printf("  %s\n", judge(after, allowed));
}

static void print_growth(unsigned row, unsigned ours)
{
    double slope = sheet_median(row, ours, SLOPE);
    double noise = ERRORS_MAX * sheet_median(row, ours, SLOPE_ERROR);
    double share = GROWTH_SHARE_PER_S * sheet_median(row, ours, END) / 1024;
    printf("%-22s", sheet.row[row].workload);
    print_number(9, 2, slope);
    print_number(9, 2, noise);
    print_number(9, 2, share);
    printf("  %s\n", judge(slope, fmax(noise, share)));
}

/* One line for each row that was measured, under a heading when there is any. */
static void print_section(const char *prefix, const char *but, const char *heading,
                          void (*print)(unsigned row, unsigned ours), unsigned ours)
{
    bool headed = false;
    for (unsigned row = 0; row < sheet.rows; row++) {
        const char *workload = sheet.row[row].workload;
        bool measured = sheet.samples[row][ours][START].runs != 0;
        if (!measured || !begins(workload, prefix) || (but != NULL && ends(workload, but))) {
            continue;
        }
        printf("%s", headed ? "" : heading);
        headed = true;
        print(row, ours);
    }
}

void memory_targets_print(void)
{
    const unsigned ours = sheet_find_allocator(form_names[FORM_DROPIN]);
    if (ours == sheet.allocators) {
        printf("\nTargets: MemoryBucket was not measured.\n");
    } else {
        printf("\nTargets, for MemoryBucket (dropin), by medians\n");
        print_section("peak-", "-ninety",
                      "After all is freed and purged: beyond the start at most 5 % of the start "
                      "and the metadata, MiB\n"
                      "workload                    start       peak     beyond  % of peak"
                      "     metadata      allowed\n",
                      print_back, ours);
        print_section("decay-", NULL,
                      "Below a tenth of the peak, seconds\nworkload                     time    "
                      "allowed\n",
                      print_decay, ours);
        print_section("burst", NULL,
                      "Resident after a phase, at most that with glibc, MiB\n"
                      "workload                  at most    allowed\n",
                      print_burst, ours);
        print_section("transfer-", NULL,
                      "Growth after the first second, at most two standard errors or 0.1 % of "
                      "resident a second, KiB/s\nworkload                    slope   2 errors      "
                      "0.1 %\n",
                      print_growth, ours);
        if (unjudged != 0) {
            printf("%u targets could not be judged, as what they need was not measured: there is "
                   "no purge call, or the run was too short\n",
                   unjudged);
        }
    }
    printf("%u targets met, %u missed\n", met, missed);
}
