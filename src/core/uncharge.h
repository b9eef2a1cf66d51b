/*
 * uncharge: what was given back stays so, and is not charged.
 *
 * Ladder: above trim. Callers: out_of_memory, when memory is asked to go back and when the kernel
 * refuses to commit any.
 *
 * Pages that were given back can come into memory again without the library: khugepaged makes huge
 * pages of them, mlockall brings in all there is. And they stay charged: the kernel counts what can
 * be written against RLIMIT_DATA and, where vm.overcommit_memory is 2, as committed. So whole tiles
 * of them are sealed (core/free_map.h).
 *
 * As for trim no slot in use is touched: the trim lock is held, and the slots that overlap the
 * pages are out of the free map during the system calls. A popper that still looks at a batch that
 * has left the centre reads zeros from a sealed page, as from any that was given back: its mapping
 * is replaced in one call, during which the kernel keeps the reader waiting. No thread writes to a
 * sealed page: only a slot's owner does, and the page is unsealed before the slot has one.
 */
#ifndef MEMORYBUCKET_CORE_UNCHARGE_H
#define MEMORYBUCKET_CORE_UNCHARGE_H

#include "core/trim.h"

/*
 * How many runs of sealed tiles there may be, each of up to two mappings (vm.max_map_count is
 * 65,530): of long ones, at mb_trim; of any length, when the kernel has refused a commit.
 */
enum { SEALS_MAX = 1024, SEALS_REFUSED_MAX = 8192, SEAL_LONG_TILES = 16 };

/* Both step by step, without the trim lock, which they take for each step. */

/* Gives those pages back again that the kernel says are in memory. Returns their bytes. */
size_t mbi_uncharge_what_came_back(void);

/*
 * Seals tiles, runs of at least `tiles_min` of them, as long as there are fewer than `seals_max`
 * and until at least `bytes_wanted` are uncharged. Returns how many bytes are.
 */
size_t mbi_uncharge(size_t tiles_min, size_t seals_max, size_t bytes_wanted);

#endif
