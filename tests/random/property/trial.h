/*
 * trial: runs programs in a process of their own, so that a crash is a result, and so that each
 * begins with a library that was not used yet.
 *
 * The process is this executable again, not a fork: ThreadSanitizer takes the locks that fork
 * handlers set up anew in a child for locks that are still held.
 * Callers: shrink, property.c.
 */
#ifndef MEMORYBUCKET_TESTS_PROPERTY_TRIAL_H
#define MEMORYBUCKET_TESTS_PROPERTY_TRIAL_H

#include "property/program.h"

/*
 * True when the process failed: aborted, crashed, was ended by a sanitizer, or hung for a minute.
 * Only with `loud` its stderr is seen.
 */
bool trial_fails(const struct program *program, bool loud);

/* How the last trial ended, in words. Valid until the next one. */
const char *trial_outcome(void);

/*
 * Runs `count` random programs in one process: program i has seed `first_seed + i`. Returns how
 * many passed; `count` when all did. Silent.
 */
size_t trial_count_passes(bool at_once, uint64_t first_seed, size_t count, size_t length,
                          unsigned threads);

/* In main, first of all: runs a trial and does not return when the process was started for one. */
void trial_run_if_asked(char **arguments);

#endif
