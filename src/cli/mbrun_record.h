/*
 * mbrun_record: runs a program with the recorder preloaded, and writes the trace when it has ended.
 *
 * Ladder: above mbrun_preload and trace; only mbrun is built from it, where there is zstd.
 */
#ifndef MEMORYBUCKET_CLI_MBRUN_RECORD_H
#define MEMORYBUCKET_CLI_MBRUN_RECORD_H

#include <stdint.h>

#define RECORD_MIN (UINT64_C(256) << 10)
#define RECORD_MAX (UINT64_C(1) << 40)
#define RECORD_MAX_DEFAULT (UINT64_C(1) << 30)

/*
 * Returns the program's exit status, or dies of the signal that it died of; EXIT_OWN where there is
 * no trace, or a disk was too full for all of it. `path` is replaced when the trace is whole.
 */
int mbrun_record(const char *path, uint64_t max_bytes, char **program);

#endif
