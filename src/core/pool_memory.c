/*
 * pool_memory: the memory of the pools, and nothing else.
 *
 * Ladder: beside pool. This file is linked last: so the library's small variables lie together, in
 * the page that the loader writes anyway, and unused parts of these arrays take no memory.
 */
#include "core/pool.h"

struct pool mbi_pools[SIZE_CLASS_COUNT];
struct pool_central mbi_pool_centrals[SIZE_CLASS_COUNT];
