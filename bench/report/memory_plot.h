/*
 * memory_plot: what memory.gnuplot draws as bars: memory-setup.gnuplot, memory-peak.dat and
 * memory-sleepers.dat. The lines over time it draws from the programs' own series.
 */
#ifndef MEMORYBUCKET_BENCH_MEMORY_PLOT_H
#define MEMORYBUCKET_BENCH_MEMORY_PLOT_H

/* After sheet_read. */
void memory_plot_write(const char *directory);

#endif
