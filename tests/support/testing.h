/*
 * testing: what the plain test programs share: checks, random numbers, the accounting equation.
 */
#ifndef MEMORYBUCKET_TESTS_TESTING_H
#define MEMORYBUCKET_TESTS_TESTING_H

#include "memorybucket/memorybucket.h"

#include "check.h"
#include "core/centre.h"
#include "core/pool.h"
#include "tcache/registry.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(MBI_THREAD_SANITIZED) || defined(__SANITIZE_ADDRESS__)
#define TEST_IS_SANITIZED 1
#else
#define TEST_IS_SANITIZED 0
#endif

/*
 * Whether a child may start threads though others began or ended as the process forked. gcc's
 * sanitizers are not safe there. qemu (7.2) holds a lock of its own in clone(2) and in exit(2) of a
 * thread, which then stays held in the child: its next thread never starts.
 */
enum { TEST_CHILD_STARTS_THREADS = !TEST_IS_SANITIZED && !TEST_IS_EMULATED };

/* How often a long test does what it does: `share` times, and all times where TEST_LONG is set. */
static inline unsigned test_times(unsigned all, unsigned share)
{
    return getenv("TEST_LONG") != NULL ? all : share;
}

/* Exit status of a test that could not be made. */
enum { SKIPPED = 77 };

/* xorshift64*: Vigna, ACM TOMS 42 (2016). The seed is not 0. */
static inline uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static inline uint64_t random_below(uint64_t *state, uint64_t limit)
{
    return (random_next(state) >> 32) % limit;
}

static inline pthread_t start_thread(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, function, argument);
    CHECK(error == 0, "pthread_create: %s", strerror(error));
    return thread;
}

/* Allocates objects of 1 to size_max bytes, writes them in full, and frees them. */
static inline void use_objects(void **objects, size_t count, size_t size_max)
{
    for (size_t i = 0; i < count; i++) {
        objects[i] = mb_alloc(1 + i % size_max);
        CHECK(objects[i] != NULL, "no memory");
        memset(objects[i], 0x33, 1 + i % size_max);
    }
    mb_free_batch(count, objects);
}

/* Of the process, by the kernel's counters: how large it is, and how much of that is in memory. */
static inline uint64_t process_virtual_bytes(uint64_t *resident_bytes)
{
    FILE *file = fopen("/proc/self/statm", "r");
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    size_t total;
    size_t resident;
    CHECK(file != NULL && fscanf(file, "%zu %zu", &total, &resident) == 2, "/proc/self/statm");
    fclose(file);
    *resident_bytes = resident * page_bytes;
    return total * page_bytes;
}

static inline uint64_t process_resident_bytes(void)
{
    uint64_t resident;
    (void)process_virtual_bytes(&resident);
    return resident;
}

/* The right side of the accounting equation without what is live. */
static inline uint64_t held_slots(const struct mb_pool_stats *pool)
{
    return pool->magazines + pool->parked + pool->central + pool->loose + pool->sorted
           + pool->orphaned + pool->quarantined;
}

static inline void told_begin(void *sum)
{
    *(int64_t *)sum = atomic_load(&mbi_centre.bytes);
}

static inline void told_add(const struct thread_cache *cache, void *sum)
{
    *(int64_t *)sum += cache->untold_bytes;
}

/* What was told, and what threads have not told yet, with no other thread at work. */
static inline int64_t central_bytes_told(void)
{
    int64_t sum;
    mbi_registry_walk(told_begin, told_add, &sum);
    return sum;
}

/*
 * With no other thread at work: the accounting equation of every pool, checked against a walk of
 * all that it holds, and against the number of live objects that the test knows of. Returns the
 * statistics.
 */
static inline const struct mb_stats *check_accounting(uint64_t live_expected)
{
    static struct mb_stats stats;
    uint64_t live = 0;
    int64_t central_bytes = 0;
    CHECK(mb_stats_get(&stats, sizeof stats) == 0, "no statistics");
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        const struct mb_pool_stats *pool = &stats.pool[class];
        uint64_t held = held_slots(pool);
        size_t walked = mbi_pool_check(pool_at(class));
        CHECK(walked == pool->central, "pool %zu: the centre holds %zu slots, and counts say %llu",
              class, walked, (unsigned long long)pool->central);
        CHECK(pool->carved == pool->live + held, "pool %zu: carved %llu, live %llu, held %llu",
              class, (unsigned long long)pool->carved, (unsigned long long)pool->live,
              (unsigned long long)held);
        CHECK(pool->taken - pool->returned
                  == pool->live + pool->magazines + pool->parked + pool->orphaned
                         + pool->quarantined,
              "pool %zu: taken %llu, returned %llu, live %llu", class,
              (unsigned long long)pool->taken, (unsigned long long)pool->returned,
              (unsigned long long)pool->live);
        live += pool->live;
        central_bytes += (int64_t)(pool->central * pool->slot_bytes);
    }
    CHECK(central_bytes == central_bytes_told(), "%lld bytes are in the centre, %lld were told",
          (long long)central_bytes, (long long)central_bytes_told());
    CHECK(live == live_expected, "%llu slots are live, %llu should be", (unsigned long long)live,
          (unsigned long long)live_expected);
    return &stats;
}

#endif
