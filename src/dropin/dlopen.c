/*
 * dropin/dlopen: plugins that are opened with RTLD_DEEPBIND get the drop-in's malloc.
 *
 * Ladder: beside malloc.
 *
 * With that flag a plugin finds the C library's malloc before ours, while the program has ours: an
 * object that one allocates and the other frees would end the process (php's extensions do that).
 * So dlopen clears the flag. A plugin that needs it for other symbols does not get it
 * (docs/dropin.md).
 *
 * The C library's dlopen finds the RUNPATH of its caller by the return address. So ours must end in
 * a jump: each build compiles this file with -O2, and tests/dropin/plugins.c checks which RUNPATH
 * is searched.
 */
#include "dropin/names.h"

#include <dlfcn.h>

typedef void *dlopen_function(const char *, int);

static _Atomic uintptr_t next;

EXPORT void *dlopen(const char *file, int mode)
{
    if (MBI_UNLIKELY(found_address(&next) == 0)) {
        found_set(&next, mbi_next_symbol_or_abort("dlopen"));
    }
    return FOUND(dlopen_function, next)(file, mode & ~RTLD_DEEPBIND);
}
