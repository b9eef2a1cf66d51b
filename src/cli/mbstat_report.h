/*
 * mbstat_report: a page with charts of what was recorded.
 *
 * Ladder: beside mbstat_source. Callers: mbstat.
 *
 * The page holds the recorded lines as they are, and a script that draws them: it needs no other
 * file and no network.
 */
#ifndef MEMORYBUCKET_CLI_MBSTAT_REPORT_H
#define MEMORYBUCKET_CLI_MBSTAT_REPORT_H

#include <stdbool.h>
#include <stdio.h>

/*
 * Writes the page of the lines in a recording to a file. False, after a line, when the recording
 * has a line that mbstat did not write, or none, or is that file itself: what was there stays then.
 * Also when the page cannot be written.
 */
bool report_write(const char *path, FILE *recording, const char *recording_name);

/* Says in a line what errno says of a file that is written or read; false. */
bool report_say_error(const char *path);

#endif
