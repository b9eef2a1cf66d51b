/*
 * thread_exits: when the kernel was done with each thread of this process.
 *
 * A thread cannot take the time of its own end, and one that waits for it takes its own time to
 * wake, which among a thousand threads is most of it. The kernel can: perf_event_open gives a
 * record with the time for every thread that exits. It comes when the thread's destructors and the
 * C library's own are through and its part in the address space is given up, which is when a
 * thread that joins it is woken. A user may ask for it about own threads up to
 * kernel.perf_event_paranoid 2.
 */
#ifndef MEMORYBUCKET_BENCH_THREAD_EXITS_H
#define MEMORYBUCKET_BENCH_THREAD_EXITS_H

#include <stdbool.h>
#include <sys/types.h>

/* Watches the threads that are started from now on. false: the kernel does not let us. */
bool thread_exits_watch(void);

/* Calls `gone` with each exit since: the thread, and its time by CLOCK_MONOTONIC. */
void thread_exits_read(void (*gone)(pid_t thread, double time_ns));

#endif
