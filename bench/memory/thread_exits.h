/*
 * thread_exits: when the kernel was done with each thread of this process.
 *
 * A thread cannot take the time of its own end. A thread that joins it has to wake first, which
 * among a thousand threads takes most of the time measured. The kernel can: perf_event_open gives a
 * record with the time for every thread that exits. The kernel writes it after the thread's
 * destructors and the C library's, when the thread gives up its address space and the thread that
 * joins it is woken. A user may ask for records of own threads where
 * kernel.perf_event_paranoid is at most 2.
 */
#ifndef MEMORYBUCKET_BENCH_THREAD_EXITS_H
#define MEMORYBUCKET_BENCH_THREAD_EXITS_H

#include <stdbool.h>
#include <sys/types.h>

/* Watches the threads that are started from now on. false: the kernel does not permit it. */
bool thread_exits_watch(void);

/* Calls `gone` with each exit since: the thread, and its time by CLOCK_MONOTONIC. */
void thread_exits_read(void (*gone)(pid_t thread, double time_ns));

#endif
