/*
 * dropin/boot_arena: the memory of what dlsym asks for while it looks (next.c).
 *
 * Ladder: beside next. A file of its own that is linked last, as pool_memory.c is.
 */
#include "core/large.h"

_Alignas(max_align_t) char mbi_boot_arena[BOOT_ARENA_BYTES];
