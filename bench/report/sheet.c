#include "sheet.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const form_names[FORMS] = { "dropin", "called", "inlined" };

struct sheet sheet;

enum { FIELD_ALLOCATOR, FIELD_WORKLOAD, FIELD_THREADS, FIELD_METRIC, FIELD_UNIT, FIELD_VALUE,
       FIELDS };

enum { THREADS_MAX = 65536 };

/* Where a complaint is about. */
struct place {
    const char *path;
    unsigned long line;
};

/* They go into JSON and gnuplot's files as they are, so only plain characters are taken. */
static void check_name(struct place place, const char *what, const char *name)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789._+-";
    size_t length = strlen(name);
    if (length == 0 || length >= SHEET_NAME_BYTES || strspn(name, plain) != length) {
        report_refuse("%s: line %lu: '%s' is no name of %s: 1 to %d letters, digits and . _ + -",
                      place.path, place.line, name, what, SHEET_NAME_BYTES - 1);
    }
}

static unsigned parse_threads(struct place place, const char *text)
{
    char *end;
    unsigned long threads = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || threads < 1 || threads > THREADS_MAX) {
        report_refuse("%s: line %lu: '%s' is no number of threads from 1 to %d", place.path,
                      place.line, text, THREADS_MAX);
    }
    return (unsigned)threads;
}

static unsigned parse_metric(struct place place, const char *name, const char *unit)
{
    for (unsigned metric = 0; metric < metric_count; metric++) {
        if (strcmp(name, metric_forms[metric].name) != 0) {
            continue;
        }
        if (strcmp(unit, metric_forms[metric].unit) != 0) {
            report_refuse("%s: line %lu: the unit of %s is %s, not '%s'", place.path, place.line,
                          name, metric_forms[metric].unit, unit);
        }
        return metric;
    }
    report_refuse("%s: line %lu: '%s' is no metric", place.path, place.line, name);
}

static double parse_value(struct place place, unsigned metric, const char *text)
{
    const char *digits = text + (metric_forms[metric].is_signed && *text == '-');
    char *end;
    double value = strtod(text, &end);
    /* The first digit also keeps out signs, blanks, "inf" and "nan". */
    if (*digits < '0' || *digits > '9' || *end != '\0' || !isfinite(value)) {
        report_refuse("%s: line %lu: '%s' is no value: a number%s", place.path, place.line, text,
                      metric_forms[metric].is_signed ? "" : " of at least 0");
    }
    return value;
}

unsigned sheet_find_allocator(const char *name)
{
    unsigned allocator = 0;
    while (allocator < sheet.allocators && strcmp(sheet.allocator[allocator], name) != 0) {
        allocator++;
    }
    return allocator;
}

static unsigned find_or_add_allocator(struct place place, const char *name)
{
    unsigned allocator = sheet_find_allocator(name);
    if (allocator == sheet.allocators) {
        if (allocator == SHEET_ALLOCATORS_MAX) {
            report_refuse("%s: line %lu: more than %d allocators", place.path, place.line,
                          SHEET_ALLOCATORS_MAX);
        }
        strcpy(sheet.allocator[sheet.allocators++], name);
    }
    return allocator;
}

static unsigned find_or_add_row(struct place place, const char *workload, unsigned threads)
{
    for (unsigned row = 0; row < sheet.rows; row++) {
        if (sheet.row[row].threads == threads && strcmp(sheet.row[row].workload, workload) == 0) {
            return row;
        }
    }
    if (sheet.rows == SHEET_ROWS_MAX) {
        report_refuse("%s: line %lu: more than %d workloads", place.path, place.line,
                      SHEET_ROWS_MAX);
    }
    strcpy(sheet.row[sheet.rows].workload, workload);
    sheet.row[sheet.rows].threads = threads;
    return sheet.rows++;
}

static void add_value(struct samples *samples, double value)
{
    bool full = (samples->runs & (samples->runs - 1)) == 0; /* 0 or a power of two */
    if (full) {
        size_t room = samples->runs == 0 ? 1 : 2 * (size_t)samples->runs;
        samples->values = realloc(samples->values, room * sizeof *samples->values);
        if (samples->values == NULL) {
            report_die("no memory for %zu values", room);
        }
    }
    samples->values[samples->runs++] = value;
}

/* Takes the line apart in place. */
static void read_line(struct place place, char *line, size_t length)
{
    if (length == 0 || line[length - 1] != '\n') {
        report_refuse("%s: line %lu: cut short, it does not end in a newline", place.path,
                      place.line);
    }
    line[length - 1] = '\0';
    char *field[FIELDS];
    unsigned fields = 0;
    for (char *rest = line, *next; (next = strsep(&rest, "\t")) != NULL; fields++) {
        if (fields < FIELDS) {
            field[fields] = next;
        }
    }
    if (fields != FIELDS) {
        report_refuse("%s: line %lu: %u fields between tabs; there are %d: allocator, workload, "
                      "threads, metric, unit, value",
                      place.path, place.line, fields, FIELDS);
    }
    check_name(place, "an allocator", field[FIELD_ALLOCATOR]);
    check_name(place, "a workload", field[FIELD_WORKLOAD]);
    unsigned threads = parse_threads(place, field[FIELD_THREADS]);
    unsigned metric = parse_metric(place, field[FIELD_METRIC], field[FIELD_UNIT]);
    double value = parse_value(place, metric, field[FIELD_VALUE]);
    unsigned allocator = find_or_add_allocator(place, field[FIELD_ALLOCATOR]);
    unsigned row = find_or_add_row(place, field[FIELD_WORKLOAD], threads);
    add_value(&sheet.samples[row][allocator][metric], value);
}

static void summarize(void)
{
    for (unsigned row = 0; row < sheet.rows; row++) {
        for (unsigned allocator = 0; allocator < sheet.allocators; allocator++) {
            for (unsigned metric = 0; metric < metric_count; metric++) {
                struct samples *samples = &sheet.samples[row][allocator][metric];
                if (samples->runs != 0) {
                    samples->summary = report_summary(samples->values, samples->runs);
                }
            }
        }
    }
}

void sheet_read(const char *path)
{
    FILE *stream = fopen(path, "r");
    if (stream == NULL) {
        report_refuse("%s: %s", path, strerror(errno));
    }
    struct place place = { .path = path };
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    while ((length = getline(&line, &room, stream)) >= 0) {
        place.line++;
        if (strlen(line) != (size_t)length) {
            report_refuse("%s: line %lu: it holds a zero byte", path, place.line);
        }
        read_line(place, line, (size_t)length);
    }
    if (ferror(stream)) {
        report_refuse("%s: %s", path, strerror(errno));
    }
    free(line);
    fclose(stream);
    if (place.line == 0) {
        report_refuse("%s: it holds no values", path);
    }
    summarize();
}

double sheet_median(unsigned row, unsigned allocator, unsigned metric)
{
    const struct samples *samples = &sheet.samples[row][allocator][metric];
    return samples->runs != 0 ? samples->summary.median : (double)NAN;
}

bool sheet_has(unsigned row, unsigned metric)
{
    bool has = false;
    for (unsigned allocator = 0; allocator < sheet.allocators; allocator++) {
        has = has || sheet.samples[row][allocator][metric].runs != 0;
    }
    return has;
}

enum form sheet_form(unsigned allocator)
{
    enum form form = 0;
    while (form < FORMS && strcmp(sheet.allocator[allocator], form_names[form]) != 0) {
        form++;
    }
    return form;
}

unsigned sheet_best_peer(unsigned row, unsigned metric)
{
    unsigned best = sheet.allocators;
    for (unsigned allocator = 0; allocator < sheet.allocators; allocator++) {
        if (sheet_form(allocator) != FORM_NONE || sheet.samples[row][allocator][metric].runs == 0) {
            continue;
        }
        if (best == sheet.allocators ||
            sheet_median(row, allocator, metric) < sheet_median(row, best, metric)) {
            best = allocator;
        }
    }
    return best;
}

void sheet_label(char text[SHEET_LABEL_BYTES], unsigned row)
{
    snprintf(text, SHEET_LABEL_BYTES, "%s@%u", sheet.row[row].workload, sheet.row[row].threads);
}
