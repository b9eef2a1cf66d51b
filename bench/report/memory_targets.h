/*
 * memory_targets: what MemoryBucket (dropin) was to reach, and whether it did. By medians.
 *
 *   back     all freed and purged, resident memory is beyond the start by at most 5 % of the start
 *            and the metadata that the peak leaves: a bit for each object, 4 bytes for each 64 KiB,
 *            and two pages for each pool in use
 *   decay    below a tenth of the peak within 3 seconds
 *   growth   the slope is at most two of its standard errors, or 0.1 % of resident memory a second.
 *            Either is enough: the error is next to nothing where memory moves by a page or two in
 *            all, which is no leak; and large where it comes and goes, which is none either. Only
 *            upwards: memory that shrinks does not grow.
 */
#ifndef MEMORYBUCKET_BENCH_MEMORY_TARGETS_H
#define MEMORYBUCKET_BENCH_MEMORY_TARGETS_H

/* After sheet_read. */
void memory_targets_print(void);

#endif
