/*
 * stats: the statistics as a text, and the report of them at the end of a process (MB_STATS).
 *
 * Ladder: above tcache. Callers: the API's constructor and destructor, mb_option_set; insight/,
 * which shows them in other ways; the drop-in's malloc_info and malloc_stats.
 */
#ifndef MEMORYBUCKET_STATS_H
#define MEMORYBUCKET_STATS_H

#include "memorybucket/memorybucket.h"

#include <stdbool.h>

/* Writes the table that mb_stats_print prints. A cancellation point. */
void mbi_stats_write(FILE *stream, const struct mb_stats *stats);

/* Takes the statistics, with pages as mb_stats_get or without as mb_stats_get_quick, into a mapping
 * of their own: small stacks have no room. NULL when the kernel refuses the memory. */
struct mb_stats *mbi_stats_take(bool with_pages);
void mbi_stats_drop(struct mb_stats *stats);

/*
 * What goes along with a walk: `begin` before each of its turns, then `add` for each thread cache.
 * Neither may lock, allocate or call the system.
 */
struct thread_cache;
struct stats_companion {
    void (*begin)(void *argument);
    void (*add)(const struct thread_cache *cache, void *argument);
    void *argument;
};

/* As mb_stats_get_quick, with a companion. */
int mbi_stats_get_with(struct mb_stats *stats, const struct stats_companion *companion);

/*
 * The same where a slow path may (mbi_registry_try_walk), once the library is up. False when it has
 * to wait for another time; the structure then holds anything.
 */
bool mbi_stats_sample(struct mb_stats *stats, const struct stats_companion *companion);

/* Prepares the report, once: keeps stderr, has quick_exit report, too, and has children count anew.
 * In stats_exit.c. */
void mbi_stats_exit_prepare(void);

/*
 * Writes the statistics to where MB_STATS says. A child of a fork counts its transfers and large
 * requests from the fork. A path that cannot be opened or written is named on stderr.
 */
void mbi_stats_exit_report(void);

#endif
