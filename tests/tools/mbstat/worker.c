/*
 * worker: a process to look at: threads that hand objects to each other, until standard input ends.
 *
 * Usage: worker THREADS [sleep|one]    sleep: they work once, and then wait; one: all but one do
 * Prints its number when each thread has worked.
 */
#include "memorybucket/memorybucket.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 2000, OBJECTS = 2000, STACK_BYTES = 128 << 10 };

static _Atomic(void *) handed_over[THREADS_MAX]; /* an array of objects, from the thread before */
static size_t threads;
static bool sleeps;
static bool one_goes_on;
static atomic_bool stop;
static atomic_size_t ready;

static void free_all(void **objects)
{
    if (objects != NULL) {
        mb_free_batch(OBJECTS, objects);
        free(objects);
    }
}

static void pause_for(long milliseconds)
{
    struct timespec pause = { .tv_nsec = milliseconds * 1000000 };
    nanosleep(&pause, NULL);
}

static void *work(void *argument)
{
    size_t number = (size_t)argument;
    bool first = true;
    while (!atomic_load(&stop)) {
        void **objects = calloc(OBJECTS, sizeof *objects);
        for (size_t i = 0; objects != NULL && i < OBJECTS; i++) {
            objects[i] = mb_alloc((size_t)16 << i % 4);
        }
        free_all(atomic_exchange(&handed_over[(number + 1) % threads], objects));
        free_all(atomic_exchange(&handed_over[number], NULL));
        if (first) {
            atomic_fetch_add(&ready, 1);
        }
        first = false;
        do {
            pause_for(sleeps ? 500 : 2);
        } while (sleeps && !(one_goes_on && number == 0) && !atomic_load(&stop));
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static pthread_t started[THREADS_MAX];
    pthread_attr_t small;
    threads = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    sleeps = argc > 2;
    one_goes_on = sleeps && strcmp(argv[2], "one") == 0;
    if (threads < 1 || threads > THREADS_MAX
        || (sleeps && !one_goes_on && strcmp(argv[2], "sleep") != 0)) {
        fprintf(stderr, "Usage: worker THREADS [sleep|one], 1 to %d threads\n", THREADS_MAX);
        return 2;
    }
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, STACK_BYTES);
    for (size_t i = 0; i < threads; i++) {
        if (pthread_create(&started[i], &small, work, (void *)i) != 0) {
            perror("pthread_create");
            return 1;
        }
    }
    while (atomic_load(&ready) < threads) {
        pause_for(2);
    }
    printf("%d\n", (int)getpid());
    fflush(stdout);
    while (getchar() != EOF) {
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < threads; i++) {
        pthread_join(started[i], NULL);
    }
    return 0;
}
