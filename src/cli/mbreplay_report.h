/*
 * mbreplay_report: what the replays measured, as a table, as JSON and as a chart.
 *
 * Ladder: above mbreplay_allocators. Callers: mbreplay.
 */
#ifndef MEMORYBUCKET_CLI_MBREPLAY_REPORT_H
#define MEMORYBUCKET_CLI_MBREPLAY_REPORT_H

#include "cli/mbreplay_allocators.h"

struct replay_report {
    const char *path; /* of the trace */
    const struct mb_trace_header *header;
    const struct plan *plan;
    const struct allocator *allocators; /* each has a result at least */
    size_t count;
};

void mbreplay_report_text(const struct replay_report *report);

/* One object, on a line. */
void mbreplay_report_json(const struct replay_report *report);

/* Draws bars with gnuplot, as SVG or PNG by the file's name. False after a line. */
bool mbreplay_report_chart(const struct replay_report *report, const char *path);

/* Whether the file's name says a format that a chart can have. */
bool mbreplay_report_has_format(const char *path);

#endif
