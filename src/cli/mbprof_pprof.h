/*
 * mbprof_pprof: a dump in pprof's own form, a protocol buffer in gzip.
 *
 * Ladder: a program's own; only mbprof is built from it.
 */
#ifndef MEMORYBUCKET_CLI_MBPROF_PPROF_H
#define MEMORYBUCKET_CLI_MBPROF_PPROF_H

#include "cli/mbprof_dump.h"

/* What pprof calls the values, in the order of enum metric. */
extern const char *const mbprof_metric_names[METRICS];

/* Writes the dump to a file descriptor; what fails ends the program, and names the file. */
void mbprof_pprof_write(const struct dump *dump, int fd, const char *name);

#endif
