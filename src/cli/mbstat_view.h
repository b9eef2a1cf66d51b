/*
 * mbstat_view: the live view, in a terminal.
 *
 * Ladder: above mbstat_source. Callers: mbstat.
 */
#ifndef MEMORYBUCKET_CLI_MBSTAT_VIEW_H
#define MEMORYBUCKET_CLI_MBSTAT_VIEW_H

#include "cli/mbstat_source.h"

/*
 * Shows the process until `q`, a signal, its end, or `count` refreshes where that is not 0. Leaves
 * the terminal as it was. Returns mbstat's exit status.
 */
int view_run(struct source *source, struct snapshot *snapshot, double interval_s,
             unsigned long count);

#endif
