/*
 * mbstat_advise: which options a running process would gain from, by what happens between two of
 * its publications.
 *
 * Ladder: above insight/snapshot and magazine_sizes. Callers: mbstat.
 */
#ifndef MEMORYBUCKET_CLI_MBSTAT_ADVISE_H
#define MEMORYBUCKET_CLI_MBSTAT_ADVISE_H

#include "insight/snapshot.h"

#include <stdbool.h>

/*
 * Prints what is proposed and what that would change, as JSON, an object on a line, or as text. The
 * publications are of one process, and not the same. False where they say nothing: then there is a
 * line.
 */
bool mbstat_advise(const struct snapshot_owner *owner, const struct snapshot *first,
                   const struct snapshot *last, bool json);

#endif
