/*
 * counters: what the library counts, one line each, in a table for each kind of counter.
 *
 * Ladder: above base. Callers: pool and the thread caches, which have the counters; registry and
 * statistics, which add them up.
 *
 * To add a counter: write its line here, its documented field in mb_pool_stats or mb_stats
 * (memorybucket.h), and the code that counts. All other code loops over these tables.
 */
#ifndef MEMORYBUCKET_CORE_COUNTERS_H
#define MEMORYBUCKET_CORE_COUNTERS_H

#include "core/base.h"

/*
 * Transfers between threads and the centre, of each thread cache and pool; a thread that exits adds
 * its counts to the pool's. X(name, heading, width of its printed column)
 */
#define TRANSFER_COUNTERS(X)                              \
    X(refills, "refills", 10)    /* batches popped */     \
    X(flushes, "flushes", 10)    /* batches pushed */     \
    X(cas_retries, "retries", 8) /* CASes that failed */

/*
 * Of each thread; one that exits adds them to those of all departed threads. Printed between two
 * texts: X(name, before, after)
 */
#define THREAD_COUNTERS(X)                     \
    X(large_allocs, "large: ", " allocated, ") \
    X(large_frees, "", " freed")

/*
 * A pool's slots that are not live: terms of its accounting equation, written under its lock.
 * X(name in mb_pool_stats, heading, width, field of the pool)
 */
#define POOL_SLOT_COUNTERS(X)             \
    X(loose, "loose", 6, loose_rounds)    \
    X(sorted, "sorted", 10, sorted_slots) \
    X(orphaned, "orphaned", 8, orphaned) /* in other threads' caches at a fork */

/* A pool's bytes, written under its lock; mb_stats has their sums under the same names. X(name) */
#define POOL_BYTE_COUNTERS(X)                 \
    X(committed_bytes) /* and not released */ \
    X(released_bytes)

/* Decay's, written with the trim lock; mb_stats has them under the same names. X(name) */
#define DECAY_COUNTERS(X)                                                          \
    X(decay_steps)        /* by time and by volume */                              \
    X(decay_volume_steps) /* of them, because too much was free (core/excess.h) */ \
    X(decay_step_ns_max)

/* What has happened to a pool, written under its lock. X(name, heading, width) */
#define POOL_EVENT_COUNTERS(X)                                  \
    X(mutex_acquisitions, "locks", 8)                           \
    X(mutex_waits, "waits", 7) /* another thread had the lock */

#define COUNTER_FIELD(name, ...) _Atomic uint64_t name;
#define POOL_SLOT_FIELD(name, heading, width, field) _Atomic uint64_t field;

struct transfer_counts {
    TRANSFER_COUNTERS(COUNTER_FIELD)
};

struct thread_counts {
    THREAD_COUNTERS(COUNTER_FIELD)
};

/* Each record has one writer at a time (base.h). */
#define COUNTER_ADD(name, ...) counter_add(&to->name, counter_read(&from->name));
#define COUNTER_CLEAR(name, ...) counter_clear(&counts->name);
#define COUNTER_OR(name, ...) any |= counter_read(&counts->name);

static inline void transfer_counts_add(struct transfer_counts *to,
                                       const struct transfer_counts *from)
{
    TRANSFER_COUNTERS(COUNTER_ADD)
}

static inline void transfer_counts_clear(struct transfer_counts *counts)
{
    TRANSFER_COUNTERS(COUNTER_CLEAR)
}

static inline bool transfer_counts_are_zero(const struct transfer_counts *counts)
{
    uint64_t any = 0;
    TRANSFER_COUNTERS(COUNTER_OR)
    return any == 0;
}

static inline void thread_counts_add(struct thread_counts *to, const struct thread_counts *from)
{
    THREAD_COUNTERS(COUNTER_ADD)
}

static inline void thread_counts_clear(struct thread_counts *counts)
{
    THREAD_COUNTERS(COUNTER_CLEAR)
}

#endif
