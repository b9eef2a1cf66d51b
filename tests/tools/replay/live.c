/*
 * Two threads at work until standard input ends, and each has done enough for a mean; then operations and refills are
 * printed.
 * Usage: live handover|tides    one allocates and the other frees; or each has its own ups and downs
 */
#include "memorybucket/memorybucket.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { RING = 4096, TIDE = 60000, OBJECT_BYTES = 64, OPERATIONS_LEAST = 3000000 };

static _Atomic(void *) ring[RING];
static atomic_bool stop;
static atomic_ullong operations;

static bool goes_on(uint64_t done)
{
    return done < OPERATIONS_LEAST || !atomic_load_explicit(&stop, memory_order_relaxed);
}

/* Puts or takes in turn; a place is full or empty. */
static void *hand_over(void *argument)
{
    bool produces = argument != NULL;
    uint64_t done = 0;
    for (size_t at = 0; goes_on(done);) {
        void *object = atomic_load_explicit(&ring[at], memory_order_acquire);
        if ((object == NULL) != produces) {
            sched_yield();
            continue;
        }
        if (!produces) {
            mb_free(object);
        }
        atomic_store_explicit(&ring[at], produces ? mb_alloc(OBJECT_BYTES) : NULL, memory_order_release);
        at = (at + 1) % RING;
        done++;
    }
    atomic_fetch_add(&operations, done);
    return NULL;
}

static void *rise_and_fall(void *argument)
{
    static void *objects[2][TIDE];
    void **own = objects[argument != NULL];
    uint64_t done = 0;
    for (; goes_on(done); done += 2 * (uint64_t)TIDE) {
        for (size_t i = 0; i < TIDE; i++) {
            own[i] = mb_alloc(OBJECT_BYTES);
        }
        for (size_t i = 0; i < TIDE; i++) {
            mb_free(own[i]);
        }
    }
    atomic_fetch_add(&operations, done);
    return NULL;
}

int main(int argc, char **argv)
{
    bool hands_over = argc == 2 && strcmp(argv[1], "handover") == 0;
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++) {
        if (pthread_create(&threads[i], NULL, hands_over ? hand_over : rise_and_fall,
                           i == 0 ? NULL : threads) != 0) {
            return 1;
        }
    }
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    static struct mb_stats stats;
    uint64_t refills = 0;
    mb_stats_get(&stats, sizeof stats);
    for (size_t i = 0; i < MB_POOL_COUNT; i++) {
        refills += stats.pool[i].refills;
    }
    printf("%llu %llu\n", (unsigned long long)atomic_load(&operations), (unsigned long long)refills);
    return 0;
}
