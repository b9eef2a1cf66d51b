/*
 * sheet_table: the sheet as tables for the reader and as rows for programs.
 * Callers: the reports.
 */
#ifndef MEMORYBUCKET_BENCH_SHEET_TABLE_H
#define MEMORYBUCKET_BENCH_SHEET_TABLE_H

#include "sheet.h"

/*
 * The rows that have the metric, by allocator: medians, or minima and maxima. Nothing when there
 * are none, or of minima and maxima when nothing has run twice.
 */
void sheet_table_print(unsigned metric, bool ranges);

/* One JSON object a line (report.h) for each row, allocator and metric that has runs. */
void sheet_write_results(FILE *stream, const char *bench);

#endif
