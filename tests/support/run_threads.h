/* run_threads: for test programs that are built without the library's own headers. */
#ifndef MEMORYBUCKET_TESTS_RUN_THREADS_H
#define MEMORYBUCKET_TESTS_RUN_THREADS_H

#include "check.h"

#include <pthread.h>

/* Starts so many threads at once, at most 64, and joins them. */
static inline void run_threads(size_t count, void *(*run)(void *), void *argument)
{
    pthread_t threads[64];
    CHECK(count <= 64);
    for (size_t i = 0; i < count; i++) {
        CHECK(pthread_create(&threads[i], NULL, run, argument) == 0);
    }
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
}

#endif
