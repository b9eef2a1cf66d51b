/*
 * wrapped: what stands between the library and the functions that can fail.
 *
 * The linker puts it there (--wrap) in all that is linked into the program, the program included:
 * so the programs themselves allocate nothing but through the library, and start their threads with
 * wrapped_thread_create. What the C library and liburcu call inside themselves is not wrapped.
 */
#ifndef MEMORYBUCKET_TESTS_FAULT_WRAPPED_H
#define MEMORYBUCKET_TESTS_FAULT_WRAPPED_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Whether mmap says that something lies wherever the library wants to have an address of its own. */
void wrapped_refuse_places(bool refused);

/* Objects that the system allocator gave out and that were not freed. */
int64_t wrapped_system_objects(void);

/* Bytes that madvise gave back, and threads that pthread_create made for the library. */
uint64_t wrapped_bytes_given_back(void);
uint64_t wrapped_threads_created(void);

/* pthread_create and pthread_key_create that never fail on purpose. */
pthread_t wrapped_thread_create(void *(*function)(void *), void *argument);
pthread_key_t wrapped_key_create(void (*destructor)(void *));
void wrapped_setspecific(pthread_key_t key, const void *value);

#endif
