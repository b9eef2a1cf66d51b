/* mbreplay_report: medians of the rounds, with the least and the most beside them. */
#include "cli/mbreplay_report.h"

#include "cli/mbreplay_base.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct figure {
    double median;
    double least;
    double most;
};

enum measure { OPERATION_NS, SECONDS, CPU_SECONDS, PEAK_BYTES, END_BYTES };

static double measured(const struct plan_result *result, enum measure measure)
{
    switch (measure) {
    case OPERATION_NS: return (double)result->ns / (double)result->operations;
    case SECONDS: return (double)result->ns / 1e9;
    case CPU_SECONDS: return (double)result->cpu_ns / 1e9;
    case PEAK_BYTES: return (double)result->peak_bytes;
    default: return (double)result->end_bytes;
    }
}

static int compare(const void *one, const void *other)
{
    double a = *(const double *)one;
    double b = *(const double *)other;
    return (a > b) - (a < b);
}

static struct figure figure_of(const struct allocator *allocator, enum measure measure)
{
    double values[ROUNDS_MAX] = { 0 };
    unsigned count = allocator->rounds;
    for (unsigned i = 0; i < count; i++) {
        values[i] = measured(&allocator->results[i], measure);
    }
    qsort(values, count, sizeof values[0], compare);
    return (struct figure){ (values[(count - 1) / 2] + values[count / 2]) / 2, values[0],
                            values[count - 1] };
}

static double mib(double bytes)
{
    return bytes / (1 << 20);
}

/* ---- text ----------------------------------------------------------------------------------- */

/* A name may be longer than its column. */
static void print_row(const struct allocator *allocator, const struct allocator *first)
{
    struct figure ns = figure_of(allocator, OPERATION_NS);
    struct figure peak = figure_of(allocator, PEAK_BYTES);
    double first_peak = figure_of(first, PEAK_BYTES).median;
    char spread[32];
    snprintf(spread, sizeof spread, "%.1f-%.1f", ns.least, ns.most);
    printf("%-12s %8.3f %8.3f %8.1f %15s %6.2f %9.1f %6.2f %9.1f\n", allocator->name,
           figure_of(allocator, SECONDS).median, figure_of(allocator, CPU_SECONDS).median,
           ns.median, spread, ns.median / figure_of(first, OPERATION_NS).median, mib(peak.median),
           first_peak > 0 ? peak.median / first_peak : 1,
           mib(figure_of(allocator, END_BYTES).median));
}

void mbreplay_report_text(const struct replay_report *report)
{
    const struct plan *plan = report->plan;
    unsigned rounds = report->allocators[0].rounds;
    printf("%s: %s\n", report->path, report->header->program);
    printf("%" PRIu64 " operations of %" PRIu32 " thread%s at once, recorded in %.1f s\n"
           "asked for and not freed: %.1f MiB at most, %.1f at the end\n"
           "%u round%s in turn: medians, and the least and the most ns an operation\n\n",
           plan->operations, report->header->threads, report->header->threads == 1 ? "" : "s",
           (double)report->header->duration_ns / 1e9, mib((double)plan->live_bytes_max),
           mib((double)plan->live_bytes_end), rounds, rounds == 1 ? "" : "s");
    printf("%-12s %8s %8s %8s %15s %6s %9s %6s %9s\n", "allocator", "s", "CPU s", "ns/op", "ns/op",
           "ratio", "peak MiB", "ratio", "end MiB");
    for (size_t i = 0; i < report->count; i++) {
        print_row(&report->allocators[i], &report->allocators[0]);
    }
    printf("\nMemory is what is resident, without the %.1f MiB that the replay itself has.\n",
           mib((double)report->allocators[0].results[0].own_bytes));
    if (report->header->truncated) {
        printf("The recording was cut off: the program went on.\n");
    }
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void print_string(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            printf("\\%c", c);
        } else if (c < 0x20) {
            printf("\\u%04x", c);
        } else {
            putchar(c);
        }
    }
    putchar('"');
}

static void print_allocator(const struct allocator *allocator)
{
    printf("{\"name\":");
    print_string(allocator->name);
    printf(",\"library\":");
    print_string(allocator->library);
    printf(",\"ns_per_operation\":%.3f,\"peak_bytes\":%.0f,\"end_bytes\":%.0f,\"rounds\":[",
           figure_of(allocator, OPERATION_NS).median, figure_of(allocator, PEAK_BYTES).median,
           figure_of(allocator, END_BYTES).median);
    for (unsigned i = 0; i < allocator->rounds; i++) {
        const struct plan_result *one = &allocator->results[i];
        printf("%s{\"ns\":%" PRIu64 ",\"cpu_ns\":%" PRIu64 ",\"operations\":%" PRIu64
               ",\"bytes\":%" PRIu64 ",\"peak_bytes\":%" PRIu64 ",\"end_bytes\":%" PRIu64 "}",
               i != 0 ? "," : "", one->ns, one->cpu_ns, one->operations, one->bytes,
               one->peak_bytes, one->end_bytes);
    }
    printf("]}");
}

void mbreplay_report_json(const struct replay_report *report)
{
    const struct plan *plan = report->plan;
    printf("{\"trace\":");
    print_string(report->path);
    printf(",\"program\":");
    print_string(report->header->program);
    printf(",\"truncated\":%s,\"threads\":%" PRIu32 ",\"duration_ns\":%" PRIu64
           ",\"operations\":%" PRIu64 ",\"live_bytes_max\":%" PRIu64 ",\"live_bytes_end\":%" PRIu64
           ",\"own_bytes\":%" PRIu64 ",\"allocators\":[",
           report->header->truncated ? "true" : "false", report->header->threads,
           report->header->duration_ns, plan->operations, plan->live_bytes_max,
           plan->live_bytes_end, report->allocators[0].results[0].own_bytes);
    for (size_t i = 0; i < report->count; i++) {
        fputs(i != 0 ? "," : "", stdout);
        print_allocator(&report->allocators[i]);
    }
    printf("]}\n");
}

/* ---- chart ---------------------------------------------------------------------------------- */

bool mbreplay_report_has_format(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot != NULL && (strcmp(dot, ".svg") == 0 || strcmp(dot, ".png") == 0);
}

/* What would end a string of gnuplot's is left out. */
static void write_name(FILE *to, const char *name)
{
    for (; *name != '\0'; name++) {
        if (*name != '"' && *name != '\\' && (unsigned char)*name >= ' ') {
            putc(*name, to);
        }
    }
}

static void write_panel(FILE *to, const struct replay_report *report, enum measure measure,
                        const char *title, double unit)
{
    fprintf(to,
            "set title \"%s\"\nplot '-' using 0:2:3:4:(0.6) with boxerrorbars lc rgb \"#2f7ebc\", "
            "'-' using 0:4:5 with labels offset 0,0.8, "
            "'-' using 0:(0):xtic(1) with points pt -1\n",
            title);
    for (unsigned pass = 0; pass < 3; pass++) {
        for (size_t i = 0; i < report->count; i++) {
            struct figure figure = figure_of(&report->allocators[i], measure);
            putc('"', to);
            write_name(to, report->allocators[i].name);
            fprintf(to, "\" %.6g %.6g %.6g \"%.3g\"\n", figure.median / unit, figure.least / unit,
                    figure.most / unit, figure.median / unit);
        }
        fputs("e\n", to);
    }
}

static void write_script(FILE *to, const struct replay_report *report, bool is_svg)
{
    fprintf(to, "set terminal %s noenhanced size 960,400 background '#ffffff'\n",
            is_svg ? "svg" : "pngcairo");
    fputs("set style fill solid 0.8 noborder\nset boxwidth 0.6\nunset key\nset grid ytics\n"
          "set yrange [0:*]\nset offsets 0.6,0.6,graph 0.08,0\nset xtics rotate by 30 right\n"
          "set bars small\n",
          to);
    fprintf(to, "set multiplot layout 1,3 title \"");
    const char *slash = strrchr(report->path, '/');
    write_name(to, slash != NULL ? slash + 1 : report->path);
    fputs("\"\n", to);
    write_panel(to, report, OPERATION_NS, "ns an operation", 1);
    write_panel(to, report, PEAK_BYTES, "MiB at the peak", 1 << 20);
    write_panel(to, report, END_BYTES, "MiB at the end", 1 << 20);
    fputs("unset multiplot\n", to);
}

/* Whether PATH has gnuplot. */
static bool has_gnuplot(void)
{
    return system("command -v gnuplot >/dev/null 2>&1") == 0;
}

/* Copies all of a file to one of this name. */
static bool copy_to(const char *path, FILE *from)
{
    FILE *to = fopen(path, "we");
    bool good = to != NULL;
    rewind(from);
    for (int c = getc(from); good && c != EOF; c = getc(from)) {
        good = putc(c, to) != EOF;
    }
    if (to != NULL) {
        good = fclose(to) == 0 && good;
    }
    if (!good) {
        mbreplay_say("%s: %s", path, strerror(errno));
    }
    return good;
}

/* gnuplot writes to a file without a name, so that an interrupt leaves no half of a chart. */
bool mbreplay_report_chart(const struct replay_report *report, const char *path)
{
    if (!has_gnuplot()) {
        mbreplay_say("%s: there is no gnuplot to draw it (Debian: gnuplot-nox)", path);
        return false;
    }
    FILE *picture = tmpfile();
    char command[64];
    snprintf(command, sizeof command, "gnuplot >&%d", picture != NULL ? fileno(picture) : -1);
    FILE *script = picture != NULL ? popen(command, "w") : NULL;
    if (script == NULL) {
        mbreplay_say("%s: %s", path, strerror(errno));
        if (picture != NULL) {
            fclose(picture);
        }
        return false;
    }
    signal(SIGPIPE, SIG_IGN);
    write_script(script, report, strcmp(strrchr(path, '.'), ".svg") == 0);
    int status = pclose(script);
    signal(SIGPIPE, SIG_DFL);
    bool good = status == 0 && fseek(picture, 0, SEEK_END) == 0 && ftell(picture) > 0;
    if (!good) {
        mbreplay_say("%s: gnuplot could not draw it", path);
    }
    good = good && copy_to(path, picture);
    fclose(picture);
    return good;
}
