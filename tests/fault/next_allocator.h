/* next_allocator: what the program under the drop-in asks of the allocator behind it. */
#ifndef MEMORYBUCKET_TESTS_FAULT_NEXT_ALLOCATOR_H
#define MEMORYBUCKET_TESTS_FAULT_NEXT_ALLOCATOR_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Objects that it gave out and that were not freed. */
int64_t next_allocator_objects(void);

/* How often it has failed in this thread, and how often pthread_create has. */
uint64_t next_allocator_failed_here(void);
uint64_t next_allocator_threads_failed_here(void);

/* Between true and false nothing fails in this thread. */
void next_allocator_spare(bool spare);

/* From now on nothing fails. */
void next_allocator_end_faults(void);

#ifdef __cplusplus
}
#endif

#endif
