/*
 * stats_exit: the statistics that MB_STATS asks for, at the end of a process.
 *
 * Ladder: above stats. Callers: the API's constructor and destructor, mb_option_set.
 *
 * Programs close stderr before they exit (all of coreutils), or let another file get its number. So
 * the library keeps a duplicate from the start, and writes only to what is still the same file.
 */
#ifndef MEMORYBUCKET_STATS_EXIT_H
#define MEMORYBUCKET_STATS_EXIT_H

/* For MB_STATS, once: keeps stderr, has quick_exit report, too, and children count anew. */
void mbi_stats_exit_prepare(void);

/*
 * Writes the statistics to where MB_STATS says. A child of a fork counts its transfers and large
 * requests from the fork. A path that cannot be opened or written is named on stderr.
 */
void mbi_stats_exit_report(void);

#endif
