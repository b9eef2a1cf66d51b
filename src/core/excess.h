/*
 * excess: bounds how much may lie free, however short the time, and gives the rest back.
 *
 * Ladder: above trim. Callers: decay, which does the steps.
 *
 *   free   = in the centre + sorted and still in memory
 *   in use = committed - free                     live objects, and what threads cache
 *   wanted = sorted and soon taken again        at most EXCESS_WANTED_BYTES + in use / EXCESS_SHARE
 *   most   = EXCESS_FLOOR_BYTES + in use / EXCESS_SHARE + wanted
 *
 * When more than `most` is free and a sixteenth of that lies in the centre, batches of the centre
 * are sorted and whole pages given back, oldest first: surplus, then aged, then all. That goes on
 * step by step (core/trim.h) until what is free is an eighth below `most`, or the centre is almost
 * empty: then live objects hold the pages that are left.
 *
 * `wanted` spares a program that swings by more: it grows by the sorted slots that were taken again
 * since the last look, and halves with each window.
 *
 * Slow paths check the bound, unless decay is off or gives back at once. So threads may exceed it
 * until a step has caught up.
 */
#ifndef MEMORYBUCKET_CORE_EXCESS_H
#define MEMORYBUCKET_CORE_EXCESS_H

#include "core/base.h"

/*
 * Phases of 10 MiB, and all that a server's threads swing by together, stay far below the floor.
 * Bursts as in bench/memory/burst.c then hold at most what the C library's malloc holds.
 */
#define EXCESS_FLOOR_BYTES ((size_t)32 << 20)
#define EXCESS_WANTED_BYTES ((size_t)16 << 20)
enum { EXCESS_SHARE = 4 };

/* Whether a step should be done now. A few loads; any thread, no lock. */
bool mbi_excess_is_due(void);

struct trim_allowance;

/* The next two are called with the trim lock. */

/* Does a step, of at most so much; whether there was any work. */
bool mbi_excess_step(const struct trim_allowance *most);

/* Once a window: forgets which passes were in vain, and counts what is sorted. */
void mbi_excess_end_window(void);

#endif
