/*
 * compare_plot: the sheet in the form that compare.gnuplot draws.
 *
 * Callers: compare_report.
 */
#ifndef MEMORYBUCKET_BENCH_COMPARE_PLOT_H
#define MEMORYBUCKET_BENCH_COMPARE_PLOT_H

/*
 * Writes into an existing directory:
 *   compare-setup.gnuplot   the names of the columns, and how many panels each chart has
 *   compare-time.dat        best peer's wall time / wall time, a line a row, 8 rows or so a panel
 *   compare-memory.dat      peak memory / best peer's, in the same way
 *   compare-latency.dat     percentiles in ns, a panel a row that has them
 *   compare-scaling.dat     million operations a second of the server rows, by threads
 * Columns: a label, then MemoryBucket's forms, then the peers; "nan" where there are no runs.
 */
void plot_write(const char *directory);

#endif
