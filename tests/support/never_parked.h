/*
 * never_parked: threads that end find no room to park their caches, which are retired instead. The
 * process is crowded: half of its budget is taken, and as much is left.
 */
#ifndef MEMORYBUCKET_TESTS_NEVER_PARKED_H
#define MEMORYBUCKET_TESTS_NEVER_PARKED_H

#include "check.h"
#include "tcache/budget.h"
#include "tcache/startup.h"

static const size_t crowd_bytes = (size_t)1 << 40;

/* Returns the bound before, for park_again. A child of fork has no more taken than its own cache. */
static inline size_t park_no_cache(void)
{
    (void)mbi_startup();
    mbi_startup_another_thread(); /* or the second thread would set the bound */
    size_t most = bounded_set_most(&mbi_budget, 2 * crowd_bytes);
    CHECK(bounded_take(&mbi_budget, 1, crowd_bytes + 1) == 1, "the process is crowded already");
    return most;
}

static inline void park_again(size_t most)
{
    bounded_give_back(&mbi_budget, crowd_bytes + 1);
    (void)bounded_set_most(&mbi_budget, most);
}

#endif
