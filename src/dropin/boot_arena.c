/*
 * dropin/boot_arena: the memory that dlsym gets from next.c.
 *
 * Ladder: beside next. A file of its own, which is linked last, like pool_memory.c.
 */
#include "core/large.h"

_Alignas(max_align_t) char mbi_boot_arena[BOOT_ARENA_BYTES];
