/*
 * budget: what all threads together may cache, and how much of it they have taken.
 *
 * Ladder: above core/bounded. Callers: the thread caches' slow paths; startup, fork, statistics.
 *
 * A thread takes its share in pieces of BUDGET_PIECE_BYTES before it caches more, so that few slow
 * paths write this number. When half is taken the process is crowded: threads take no more than
 * they have shown need of. When all is taken they cache no more.
 */
#ifndef MEMORYBUCKET_TCACHE_BUDGET_H
#define MEMORYBUCKET_TCACHE_BUDGET_H

#include "core/bounded.h"

enum { BUDGET_PIECE_BYTES = 16 << 10 };

/* In bytes, in thread_cache.c; not bounded while the process has one thread. */
extern MBI_HIDDEN struct bounded mbi_budget;

/* Whether the process has had one thread only, from which nothing that it caches is kept. */
static inline bool budget_is_of_one_thread(void)
{
    return bounded_most(&mbi_budget) == BOUNDED_NONE;
}

static inline bool budget_is_crowded(void)
{
    return bounded_taken(&mbi_budget) > bounded_most(&mbi_budget) / 2;
}

/*
 * Gives back `bytes` of what a cache has noted as taken. Notes that first: so a child that a signal
 * handler forks in between keeps what is about to be given back (registry.c, reset_budget).
 */
static inline void budget_give_back(size_t *taken_bytes, size_t bytes)
{
    *taken_bytes -= bytes;
    bounded_give_back(&mbi_budget, bytes);
}

#endif
