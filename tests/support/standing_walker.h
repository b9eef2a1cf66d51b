/*
 * standing_walker: a walk over the registry that stands still in its read-side section, at the
 * first cache it sees, until a test lets it go.
 */
#ifndef MEMORYBUCKET_TESTS_STANDING_WALKER_H
#define MEMORYBUCKET_TESTS_STANDING_WALKER_H

#include "testing.h"

#include "tcache/registry.h"

static bool (*walker_may_go)(void); /* asked each millisecond, by the walker */
static _Atomic bool walker_inside;

static void walker_begin(void *argument)
{
    (void)argument;
}

static void walker_stand_still(const struct thread_cache *cache, void *argument)
{
    static bool stood_still;
    (void)cache;
    (void)argument;
    atomic_store_explicit(&walker_inside, true, memory_order_release); /* [TEST] */
    while (!stood_still) { /* once: the walk is repeated when the registry has changed */
        usleep(1000);
        stood_still = walker_may_go();
    }
}

static void *walker_run(void *argument)
{
    mbi_registry_walk(walker_begin, walker_stand_still, argument);
    return argument;
}

/* Once a program, with a cache in the registry. Returns when the walker stands; join it in the end. */
static inline pthread_t start_standing_walker(bool (*may_go)(void))
{
    walker_may_go = may_go;
    pthread_t walker = start_thread(walker_run, NULL);
    while (!atomic_load_explicit(&walker_inside, memory_order_acquire)) { /* [TEST] */
        usleep(1000);
    }
    return walker;
}

#endif
