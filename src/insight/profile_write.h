/*
 * profile_write: the dump of a heap profile, and where MB_PROFILE's dumps go.
 *
 * Ladder: above profile. Callers: api/.
 *
 * A dump is a text in the form of gperftools' heap profiler, which pprof and mbprof read:
 *
 *   heap profile: OBJECTS: BYTES [OBJECTS: BYTES] @ heapprofile    sums: live, and [allocated]
 *   # memorybucket 1: mean 524288, samples 812, freed 640, lost 0, pid 4711
 *   OBJECTS: BYTES [OBJECTS: BYTES] @ ADDRESS ADDRESS ...          a stack each, innermost first
 *   MAPPED_LIBRARIES:
 *   (what /proc/self/maps says)
 *
 * Counts are estimates already (tcache/sampling.h): a reader has nothing to scale. Writing takes no
 * lock, allocates nothing of ours, and calls only what is async-signal-safe: so the signal's
 * handler writes the dump itself, also while the process sleeps.
 */
#ifndef MEMORYBUCKET_INSIGHT_PROFILE_WRITE_H
#define MEMORYBUCKET_INSIGHT_PROFILE_WRITE_H

#include "core/base.h"

/* 0, or a negative errno value of the file. Async-signal-safe; preserves errno. */
int mbi_profile_dump(int file);

/*
 * What MB_PROFILE, MB_PROFILE_FILE and MB_PROFILE_SIGNAL ask for, once the library is up: starts
 * the profile and takes the signal. Holds no lock; allocates.
 */
void mbi_profile_prepare(void);

/* If the above started a profile: writes a dump to MB_PROFILE_FILE. */
void mbi_profile_dump_at_exit(void);

#endif
