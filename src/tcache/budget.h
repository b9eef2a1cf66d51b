/*
 * budget: what all threads together may cache, and who has how much of it.
 *
 * Ladder: above core/bounded. Callers: the thread caches' slow paths; startup, fork, statistics.
 *
 *   sum of what the threads have taken = taken <= bytes_max
 *
 * A thread takes its share in pieces of BUDGET_PIECE_BYTES before it caches more, so that few of
 * its slow paths meet at this number. When half is taken the process is crowded: from then on
 * threads take no more than they have shown need of, and when all is taken they cache no more.
 */
#ifndef MEMORYBUCKET_TCACHE_BUDGET_H
#define MEMORYBUCKET_TCACHE_BUDGET_H

#include "core/base.h"

enum { BUDGET_PIECE_BYTES = 16 << 10 };

/*
 * The most that may be taken; SIZE_MAX, the value at the start, does not bound it. What has been
 * taken stays taken.
 */
void mbi_budget_set_max(size_t bytes_max);
size_t mbi_budget_max(void);

/* All of `bytes`, not 0, or nothing and false. */
bool mbi_budget_take(size_t bytes);
void mbi_budget_return(size_t bytes);

bool mbi_budget_is_crowded(void);
size_t mbi_budget_taken(void);

/* In a forked child, where only one thread has anything. */
void mbi_budget_reset_in_child(size_t taken_bytes);

#endif
