/* stats: what the report at exit and the drop-in's malloc_info take of the statistics. */
#ifndef MEMORYBUCKET_STATS_H
#define MEMORYBUCKET_STATS_H

#include "memorybucket/memorybucket.h"

#include <stdbool.h>

/* Writes the table that mb_stats_print prints. A cancellation point. */
void mbi_stats_write(FILE *stream, const struct mb_stats *stats);

/*
 * The statistics in a mapping of their own, as small stacks have no room for them; with_pages as in
 * mb_stats_get, without as in mb_stats_get_quick. NULL where the kernel refuses the memory.
 */
struct mb_stats *mbi_stats_take(bool with_pages);
void mbi_stats_drop(struct mb_stats *stats);

#endif
