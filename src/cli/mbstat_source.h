/*
 * mbstat_source: a process that publishes its statistics, as another process finds and reads it.
 *
 * Ladder: above insight/'s layout, snapshot and format, which need no library. Callers: mbstat.
 *
 * What cannot be found or read is said in one line on stderr.
 */
#ifndef MEMORYBUCKET_CLI_MBSTAT_SOURCE_H
#define MEMORYBUCKET_CLI_MBSTAT_SOURCE_H

#include "insight/export_layout.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

struct source {
    char path[PATH_MAX];
    int fd;
    size_t bytes; /* of the file */
    const _Atomic uint64_t *file;
    struct snapshot_owner owner;
};

/* The process of a number, or the only one of a name, that publishes; false after a line. */
bool source_open(const char *wanted, struct source *source);

void source_close(struct source *source);

/*
 * The last publication, and what of the process is resident. SOURCE_NONE: there is none yet, or the
 * writer was met again and again. SOURCE_ENDED: the process has ended, or publishes no more.
 * SOURCE_DAMAGED: the file became shorter.
 */
enum source_state { SOURCE_READ, SOURCE_NONE, SOURCE_ENDED, SOURCE_DAMAGED };
enum source_state source_read(struct source *source, struct snapshot *out);

/* Reads, and waits up to a second for a first publication; false after a line. */
bool source_read_first(struct source *source, struct snapshot *out);

/* Says that the process's figures have ended, and how. */
void source_say(const struct source *source, enum source_state state);

/* Whether the process lets others ask for a trim, and such a request. */
bool source_may_trim(const struct source *source);
bool source_ask_trim(const struct source *source);

/* Prints a line for each process that publishes; what dead ones left is named. False: none. */
bool source_list(void);

/* Takes away what dead processes left, and says so; how many. */
unsigned source_clean(void);

/* The monotonic clock. */
uint64_t source_now_ns(void);

#endif
