/*
 * uncharge: keeps pages that were given back out of memory, and ends the kernel's charge for them.
 *
 * Ladder: above trim. Caller: out_of_memory, for mb_trim and when the kernel refuses a commit.
 *
 * Pages that were given back can come into memory again without the library: khugepaged makes huge
 * pages of them, and mlockall brings in every page. They also stay charged: the kernel counts
 * writable memory against RLIMIT_DATA and, where vm.overcommit_memory is 2, as committed. So whole
 * tiles of them are sealed (core/free_map.h).
 *
 * Sealing touches no slot in use, for the reasons in core/trim.h. A late popper reads zeros from a
 * sealed page, too: one system call replaces the mapping, and the kernel lets the reader wait. No
 * thread writes to a sealed page: only a slot's owner does, and it gets the slot after the unseal.
 */
#ifndef MEMORYBUCKET_CORE_UNCHARGE_H
#define MEMORYBUCKET_CORE_UNCHARGE_H

#include "core/trim.h"

/*
 * How many runs of sealed tiles there may be, each of up to two mappings (vm.max_map_count is
 * 65,530): SEALS_MAX at mb_trim, of runs of SEAL_LONG_TILES or more; SEALS_REFUSED_MAX, of any
 * length, when the kernel has refused a commit.
 */
enum { SEALS_MAX = 1024, SEALS_REFUSED_MAX = 8192, SEAL_LONG_TILES = 16 };

/* Both step by step, without the trim lock, which they take for each step. */

/* Gives pages back again that the kernel says are in memory. Returns their bytes. */
size_t mbi_uncharge_what_came_back(void);

/*
 * Seals runs of at least `tiles_min` tiles, while there are fewer than `seals_max` runs, until
 * `bytes_wanted` are uncharged. Returns how many bytes are.
 */
size_t mbi_uncharge(size_t tiles_min, size_t seals_max, size_t bytes_wanted);

#endif
