/*
 * pool_memory: the memory of the pools, and nothing else.
 *
 * Ladder: beside pool. This file is linked last: so the library's small variables lie together, in
 * the page that the loader writes anyway, and unused parts of these arrays take no memory.
 */
#include "core/pool.h"

struct pool mbi_pools[SIZE_CLASS_COUNT];
struct batch_stack mbi_pool_stacks[CENTRAL_STACKS * SIZE_CLASS_COUNT];
struct pool_lanes mbi_pool_lanes[SIZE_CLASS_COUNT];
