/*
 * snapshot: the figures of a process at a moment, as mbstat and the formats see them.
 *
 * Ladder: beside api/stats. Callers: export, which publishes them; mb_stats_write; mbstat, which
 * reads them in another process. So nothing here needs the library.
 *
 * Everything is a word of 64 bits in a table, and the tables below say what each is. Words are only
 * ever added at a table's end: a reader takes those that both sides know (export_layout.h).
 */
#ifndef MEMORYBUCKET_INSIGHT_SNAPSHOT_H
#define MEMORYBUCKET_INSIGHT_SNAPSHOT_H

#include "memorybucket/memorybucket.h"

#include <stdint.h>

/*
 * How a word is shown: a number that goes up and down, one that only grows, one of the slots of a
 * pool by where they are; nanoseconds, which Prometheus has in seconds; or only in mbstat.
 */
enum figure_kind { FIGURE_GAUGE, FIGURE_COUNTER, FIGURE_SLOTS, FIGURE_NS, FIGURE_INNER };

/* Of the process. X(word, kind, Prometheus's name behind "memorybucket_", what it says) */
#define SNAPSHOT_TOTALS(X)                                                                         \
    X(published_ns, INNER, "", "when these figures were taken, on the monotonic clock")            \
    X(interval_ns, INNER, "", "the least time between two publications")                           \
    X(publications, COUNTER, "publications_total", "How often the figures were published")         \
    X(thread_rows, INNER, "", "rows of threads that follow")                                       \
    X(threads_left_out, INNER, "", "threads that have no row")                                     \
    X(process_resident_bytes, GAUGE, "process_resident_bytes",                                     \
      "Memory of the whole process that is resident")                                              \
    X(reserved_bytes, GAUGE, "reserved_bytes", "Address space that the pools take up")             \
    X(committed_bytes, GAUGE, "committed_bytes", "Memory that the pools have made accessible")     \
    X(released_bytes, GAUGE, "released_bytes",                                                     \
      "Memory given back by trim and decay, and not used again since")                             \
    X(memory_limit, GAUGE, "memory_limit_bytes", "Limit of the committed memory; 0: none")         \
    X(cache_bytes, GAUGE, "cache_bytes", "What threads have taken of what they may cache")         \
    X(cache_bytes_max, GAUGE, "cache_max_bytes",                                                   \
      "What all threads together may cache; 0: no bound yet")                                      \
    X(threads, GAUGE, "threads", "Threads that have a cache")                                      \
    X(threads_idle, GAUGE, "threads_idle", "Threads that said that they sleep")                    \
    X(parked_caches, GAUGE, "parked_caches", "Caches of threads that ended, for the next ones")    \
    X(vacant_caches, GAUGE, "vacant_caches", "Empty caches without a thread")                      \
    X(large_allocs, COUNTER, "large_allocs_total", "Requests that the system allocator served")    \
    X(large_frees, COUNTER, "large_frees_total", "Frees passed on to the system allocator")        \
    X(decay_steps, COUNTER, "decay_steps_total", "Steps that gave memory back")                    \
    X(decay_volume_steps, COUNTER, "decay_volume_steps_total",                                     \
      "Steps of these that were due because too much was free")                                    \
    X(decay_step_ns_max, NS, "decay_step_max_seconds", "How long the longest of the steps took")   \
    X(pool_max, GAUGE, "pool_max_bytes", "The largest request that pools serve")

/* Of each pool. X(word, kind, Prometheus's name, what it says); slots have one name together */
#define SNAPSHOT_POOL(X)                                                                           \
    X(size_bytes, INNER, "", "the largest request that the pool serves")                           \
    X(slot_bytes, GAUGE, "pool_slot_bytes", "Size of a slot")                                      \
    X(magazine_rounds, GAUGE, "pool_magazine_slots", "Slots of a full magazine")                   \
    X(carved, COUNTER, "pool_carved_slots_total", "Slots ever made of fresh memory")               \
    X(live, SLOTS, "pool_slots", "Slots by where they are")                                        \
    X(magazines, SLOTS, "pool_slots", "")                                                          \
    X(parked, SLOTS, "pool_slots", "")                                                             \
    X(central, SLOTS, "pool_slots", "")                                                            \
    X(loose, SLOTS, "pool_slots", "")                                                              \
    X(sorted, SLOTS, "pool_slots", "")                                                             \
    X(orphaned, SLOTS, "pool_slots", "")                                                           \
    X(quarantined, SLOTS, "pool_slots", "")                                                        \
    X(committed_bytes, GAUGE, "pool_committed_bytes", "Memory that is accessible")                 \
    X(released_bytes, GAUGE, "pool_released_bytes", "Memory given back, and not used again since") \
    X(refills, COUNTER, "pool_refills_total", "Magazines moved from the centre to a thread")       \
    X(flushes, COUNTER, "pool_flushes_total", "Magazines moved from a thread to the centre")       \
    X(cas_retries, COUNTER, "pool_cas_retries_total",                                              \
      "Compare-and-swaps at the centre that failed")                                               \
    X(mutex_acquisitions, COUNTER, "pool_locks_total", "How often the pool's lock was taken")      \
    X(mutex_waits, COUNTER, "pool_lock_waits_total", "How often a thread waited for the lock")     \
    X(taken, COUNTER, "pool_taken_slots_total", "Slots that threads took from the pool")           \
    X(returned, COUNTER, "pool_returned_slots_total", "Slots that threads gave back")

/* Of each thread cache; not for Prometheus, as threads come and go. */
#define SNAPSHOT_THREAD(X)                                                                         \
    X(thread, GAUGE, "", "the thread's number; 0: it is not known, or the cache is parked")        \
    X(state, GAUGE, "", "0: at work; 1: idle; 2: the cache is parked")                             \
    X(cached_bytes, GAUGE, "", "bytes of the slots that it has cached")                            \
    X(refills, COUNTER, "", "magazines that it got from the centre")                               \
    X(flushes, COUNTER, "", "magazines that it gave to the centre")                                \
    X(cas_retries, COUNTER, "", "its compare-and-swaps that failed")                               \
    X(large_allocs, COUNTER, "", "its requests that the system allocator served")                  \
    X(large_frees, COUNTER, "", "its frees passed on to the system allocator")

enum thread_state { THREAD_AT_WORK, THREAD_IDLE, THREAD_PARKED };

#define SNAPSHOT_TOTAL_WORD(name, ...) TOTAL_##name,
#define SNAPSHOT_POOL_WORD(name, ...) POOL_##name,
#define SNAPSHOT_THREAD_WORD(name, ...) THREAD_##name,
enum { SNAPSHOT_TOTALS(SNAPSHOT_TOTAL_WORD) TOTAL_WORDS };
enum { SNAPSHOT_POOL(SNAPSHOT_POOL_WORD) POOL_WORDS_SHOWN };
enum { SNAPSHOT_THREAD(SNAPSHOT_THREAD_WORD) THREAD_WORDS };
enum { SNAPSHOT_THREADS_MAX = 4096 };

struct snapshot {
    uint64_t totals[TOTAL_WORDS];
    uint64_t pools[MB_POOL_COUNT][POOL_WORDS_SHOWN]; /* all zeros: a pool that was not used */
    uint64_t threads[SNAPSHOT_THREADS_MAX][THREAD_WORDS];
};

/* Whose figures they are. */
struct snapshot_owner {
    uint64_t process;
    uint64_t start_ticks; /* when it began (proc(5)); 0: unknown */
    char name[32];
};

#endif
