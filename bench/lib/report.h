/* report: what the benchmarks share: summaries, raw values, the clock, progress, complaints. */
#ifndef MEMORYBUCKET_BENCH_REPORT_H
#define MEMORYBUCKET_BENCH_REPORT_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct summary {
    double min;
    double median;
    double max;
};

/* Of `count` values, at least one. */
struct summary report_summary(const double values[], unsigned count);

/* A line for each value, as report/sheet.py reads them. */
void report_write_values(FILE *stream, const char *allocator, const char *workload,
                         unsigned threads, const char *metric, const char *unit,
                         const double values[], unsigned count);

/* fopen, and fclose after a look whether all of it arrived; otherwise report_die. */
FILE *report_open(const char *path, const char *mode);
void report_close(FILE *stream, const char *path);

/* Opens the file, calls write on it, and closes it; path NULL: nothing. */
void report_to_file(const char *path, const char *mode, void (*write)(FILE *));

double report_clock_ns(clockid_t clock);

/* One line on stderr that overwrites itself on a terminal, and comes every tenth step elsewhere. */
void report_progress(const char *what, unsigned step, unsigned steps);

/* The number in `text`, from low to high; otherwise a message and exit status 2. */
unsigned report_parse_count(const char *text, const char *option, unsigned low, unsigned high);

/*
 * The program's name and the message on stderr, and the end: report_die where something failed,
 * report_refuse for what the user gave and cannot be used.
 */
void report_exit(int status, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));
#define report_die(...) report_exit(EXIT_FAILURE, __VA_ARGS__)
#define report_refuse(...) report_exit(2, __VA_ARGS__)

#endif
