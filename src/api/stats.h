/* stats: what the report at exit takes of the printing. */
#ifndef MEMORYBUCKET_STATS_H
#define MEMORYBUCKET_STATS_H

#include "memorybucket/memorybucket.h"

/* As mb_stats_print prints what mb_stats_get filled in. */
void mbi_stats_write(FILE *stream, const struct mb_stats *stats);

#endif
