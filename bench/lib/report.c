#include "report.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

struct summary report_summary(const double values[], unsigned count)
{
    double *sorted = malloc(count * sizeof *sorted);
    if (sorted == NULL) {
        report_die("no memory to sort %u values", count);
    }
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_doubles);
    struct summary summary = {
        .min = sorted[0],
        .median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2,
        .max = sorted[count - 1],
    };
    free(sorted);
    return summary;
}

void report_write_values(FILE *stream, const char *allocator, const char *workload,
                         unsigned threads, const char *metric, const char *unit,
                         const double values[], unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        fprintf(stream, "%s\t%s\t%u\t%s\t%s\t%.9g\n", allocator, workload, threads, metric, unit,
                values[i]);
    }
}

FILE *report_open(const char *path, const char *mode)
{
    FILE *stream = fopen(path, mode);
    if (stream == NULL) {
        report_die("%s: %s", path, strerror(errno));
    }
    return stream;
}

void report_close(FILE *stream, const char *path)
{
    int failed = ferror(stream);
    if (fclose(stream) != 0 || failed) {
        report_die("%s: could not be written: %s", path, strerror(errno));
    }
}

void report_to_file(const char *path, const char *mode, void (*write)(FILE *))
{
    if (path == NULL) {
        return;
    }
    FILE *stream = report_open(path, mode);
    write(stream);
    report_close(stream, path);
}

double report_clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

void report_progress(const char *what, unsigned step, unsigned steps)
{
    int terminal = isatty(STDERR_FILENO);
    if (terminal) {
        fprintf(stderr, "\r%s: %u of %u%s", what, step, steps, step == steps ? "\n" : "");
    } else if (step * 10 / steps != (step - 1) * 10 / steps) {
        fprintf(stderr, "%s: %u of %u\n", what, step, steps);
    }
}

unsigned report_parse_count(const char *text, const char *option, unsigned low, unsigned high)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || value < low || value > high) {
        fprintf(stderr, "%s %s: accepted is a number from %u to %u\n", option, text, low, high);
        exit(2);
    }
    return (unsigned)value;
}

void report_exit(int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(status);
}
