/*
 * give_back: the calls by which an allocator is told to give memory back, found at run time in
 * whichever allocator serves.
 *
 *   allocator    purge, of the whole process                    idle, of the calling thread
 *   MemoryBucket mb_trim(0)                                     mb_thread_idle()
 *   glibc        malloc_trim(0)                                 none
 *   mimalloc     mi_collect(true)                               mi_collect(false)
 *   jemalloc     thread.tcache.flush, arena.4096.purge (all)    thread.idle
 *   tcmalloc     MallocExtension_ReleaseFreeMemory()            none
 *   tbbmalloc    scalable_allocation_command(CLEAN_ALL_BUFFERS) none
 */
#ifndef MEMORYBUCKET_BENCH_GIVE_BACK_H
#define MEMORYBUCKET_BENCH_GIVE_BACK_H

#include <stdbool.h>

/* Finds the allocator that serves. Call it before anything is measured: it allocates. */
void give_back_start(void);

/* false: the allocator has no such call, and nothing happened. */
bool give_back_purge(void);
bool give_back_idle(void);

#endif
