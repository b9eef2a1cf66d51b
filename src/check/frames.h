/*
 * frames: the calling thread's stack at the price of some loads, once an unwinder has found the
 * way.
 *
 * Ladder: above base. Callers: stacks. Any thread, without a lock.
 *
 * What an unwinder computes at a return address depends, nearly always, on that address alone: how
 * large the frame is in which the function was called. So it is asked once for each, and what it
 * found is kept:
 *
 *   steps   return address -> the frame's size, or what else leads on from it
 *             fixed    so many words
 *             framed   the function has a frame pointer, and so perhaps a frame of any size: its
 *                      caller's frame is found through rbp, which is known where the function that
 *                      it called saved it for a frame pointer of its own
 *             end      the outermost frame
 *             varies   none of these, or two answers: only the unwinder knows
 *   ranges  of a thread's stack, from where an unwinder began up to the outermost frame
 *
 * A walk reads nothing outside such a range, which is mapped while its thread lives. It gives up
 * where it finds an address that it does not know, and the unwinder is asked.
 *
 *   [FRAMES] relaxed: each entry is one word, which says all by itself; a stale one is checked by
 *   the address in it
 *
 * Only for x86-64: there the return address lies below the frame that it returns to. Elsewhere a
 * walk always gives up.
 */
#ifndef MEMORYBUCKET_CHECK_FRAMES_H
#define MEMORYBUCKET_CHECK_FRAMES_H

#include "core/base.h"

/* Finds the unwinder's functions, once it is loaded. */
void mbi_frames_find_unwinder(void);

/*
 * The return addresses of the callers of a function that the calling thread is in; `frame`: its
 * frame (__builtin_frame_address). How many there are; 0: the walk gave up.
 */
uint32_t mbi_frames_walk(const void *frame, void **frames, uint32_t frames_max);

/* The same by the unwinder, for walks to come. It may lock and allocate. 0: there is none. */
uint32_t mbi_frames_unwind(const void *frame, void **frames, uint32_t frames_max);

#endif
