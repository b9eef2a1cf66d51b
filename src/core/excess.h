/*
 * excess: bounds how much may lie free, however short the time, and gives the rest back.
 *
 * Ladder: above trim. Callers: decay, which does the steps.
 *
 *   free   = in the centre + sorted and still in memory
 *   in use = committed - free                     live objects, and what threads cache
 *   wanted = sorted and soon taken again        at most EXCESS_WANTED_BYTES + in use / EXCESS_SHARE
 *   swing  = the same, where nearly all was     at most what was in use lately, less what is
 *   most   = EXCESS_FLOOR_BYTES + in use / EXCESS_SHARE + the larger one of wanted and swing
 *
 * When more than `most` is free and a sixteenth of that lies in the centre, batches of the centre
 * are sorted and whole pages given back, oldest first: surplus, then aged, then all. That goes on
 * step by step (core/trim.h) until what is free is an eighth below `most`, or the centre is almost
 * empty: then live objects hold the pages that are left.
 *
 * `wanted` spares a program that swings by more: it grows by the sorted slots that were taken again
 * since the last look, and halves with each window.
 *
 * `swing` spares one that swings by far more, in the same sizes: it grows by those slots less all
 * that are still sorted, and halves alike. Phases of other sizes each leave slots that nothing
 * takes, and have none. What was in use lately is the peak of this window and the last: so what is
 * free and what is in use come to no more than that, the floor and the share, and a program's peak
 * stays where it is.
 *
 * Growth has a lower bound. A pool that commits fresh memory has nothing free; so what lies in the
 * centre is of other sizes, and the process may be in a phase that does not need it:
 *
 *   most while pools grow = GROWTH_FLOOR_BYTES + in use / GROWTH_SHARE + wanted
 *
 * Beyond that about GROWTH_TIMES as much goes back as was committed, and at most GROWTH_SORTED as
 * much is sorted for it. So a process whose phases use different sizes, each once, peaks at little
 * more than its largest phase. One of a single size, or that takes again what it has, grows no
 * more, and pays nothing: all that ever goes back for this is bounded by what was ever committed
 * fresh.
 *
 * Slow paths check the bounds where what they depend on has changed (core/centre.h), and when they
 * look at the clock, unless decay is off or gives back at once. So threads may exceed them until a
 * step has caught up.
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

/*
 * Threads on several processors tell late what they move, up to 256 KiB each, and have lanes, which
 * go with the first surplus (core/pool.h): so there more may lie free.
 */
#define GROWTH_FLOOR_BYTES ((size_t)1 << 20)
#define GROWTH_FLOOR_SPREAD_BYTES ((size_t)8 << 20)
enum { GROWTH_SHARE = 8, GROWTH_TIMES = 2, GROWTH_SORTED = 8 };

/* Whether a step should be done now; notes a peak. A few loads and stores; any thread, no lock. */
bool mbi_excess_is_due(void);

struct trim_allowance;

/* The next two are called with the trim lock. */

/* Does a step, of at most so much; whether there was any work. */
bool mbi_excess_step(const struct trim_allowance *most);

/* Once a window: forgets which passes were in vain, and counts what is sorted. */
void mbi_excess_end_window(void);

#endif
