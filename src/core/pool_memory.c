/*
 * pool_memory: the memory of the pools, and nothing else.
 *
 * Ladder: beside pool. A file of its own that is linked last: the library's small variables then
 * lie together, in the page that the loader writes to anyway, and what a process does not use of
 * these arrays takes no memory.
 */
#include "core/pool.h"

struct pool mbi_pools[SIZE_CLASS_COUNT];
struct pool_central mbi_pool_centrals[SIZE_CLASS_COUNT];
