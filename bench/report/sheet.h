/*
 * sheet: what a script measured, by row, allocator and metric.
 *
 * Read from a raw file of one value a line, its fields separated by tabs:
 *   allocator  workload  threads  metric  unit  value
 *
 * A row is a workload with its number of threads. Rows and allocators keep the order in which the
 * file first names them. Callers: the reports, which say what metrics there are.
 */
#ifndef MEMORYBUCKET_BENCH_SHEET_H
#define MEMORYBUCKET_BENCH_SHEET_H

#include "report.h"

#include <stdbool.h>

enum { SHEET_NAME_BYTES = 40, SHEET_ALLOCATORS_MAX = 32, SHEET_ROWS_MAX = 128,
       SHEET_METRICS_MAX = 48 };

/* Each report numbers its metrics from 0 by an enum of its own. */
struct metric_form {
    const char *name; /* in the raw file and in the results */
    const char *unit;
    const char *title;    /* of its table, in the unit that is shown */
    double shown_divisor; /* of values, by how much the shown unit is larger; 0: shown as it is */
    bool is_signed;       /* may be below 0 */
    bool unranked;        /* less is not better */
};

/* Defined by the report; `metric_count` is at most SHEET_METRICS_MAX. */
extern const struct metric_form metric_forms[];
extern const unsigned metric_count;

struct samples {
    unsigned runs;
    double *values; /* room for the next power of two of `runs` */
    struct summary summary;
};

struct sheet_row {
    char workload[SHEET_NAME_BYTES];
    unsigned threads;
};

struct sheet {
    unsigned allocators;
    unsigned rows;
    char allocator[SHEET_ALLOCATORS_MAX][SHEET_NAME_BYTES];
    struct sheet_row row[SHEET_ROWS_MAX];
    struct samples samples[SHEET_ROWS_MAX][SHEET_ALLOCATORS_MAX][SHEET_METRICS_MAX];
};

/* The one sheet of the process: written by sheet_read, read by all others. */
extern struct sheet sheet;

/* Refuses a file that holds no values, or a line that is not as above, with its number. */
void sheet_read(const char *path);

/* NAN when there are no runs. */
double sheet_median(unsigned row, unsigned allocator, unsigned metric);

/* Whether any allocator has values for it. */
bool sheet_has(unsigned row, unsigned metric);

/* Which of MemoryBucket's forms an allocator is; FORM_NONE: a peer. */
enum form { FORM_DROPIN, FORM_CALLED, FORM_INLINED, FORMS, FORM_NONE = FORMS };
extern const char *const form_names[FORMS];
enum form sheet_form(unsigned allocator);

/* The allocator's number, or sheet.allocators when the file does not name it. */
unsigned sheet_find_allocator(const char *name);

/* The peer with the lowest median, or sheet.allocators when no peer has values for it. */
unsigned sheet_best_peer(unsigned row, unsigned metric);

/* Enough for the text of any row, as "server@16". */
enum { SHEET_LABEL_BYTES = SHEET_NAME_BYTES + 12 };
void sheet_label(char text[SHEET_LABEL_BYTES], unsigned row);

#endif
