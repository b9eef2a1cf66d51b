/*
 * dropin/boot_arena: the memory that dlsym gets from next.c.
 *
 * Ladder: beside next. A file of its own, as it is linked last, as pool_memory.c is.
 */
#include "core/large.h"

_Alignas(max_align_t) char mbi_boot_arena[BOOT_ARENA_BYTES];
