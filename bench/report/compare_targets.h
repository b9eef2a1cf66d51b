/*
 * compare_targets: how far ahead of its peers MemoryBucket is meant to be, and whether it is.
 *
 * Callers: compare_report.
 */
#ifndef MEMORYBUCKET_BENCH_COMPARE_TARGETS_H
#define MEMORYBUCKET_BENCH_COMPARE_TARGETS_H

/* Prints the verdicts on the sheet; the last line is "N targets met, M missed". */
void targets_print(void);

#endif
