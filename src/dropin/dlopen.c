/*
 * dropin/dlopen: plugins with RTLD_DEEPBIND get the drop-in's malloc, too.
 *
 * Ladder: beside malloc.
 *
 * Such a plugin looks symbols up in its own dependencies first, so its malloc would be the C library's,
 * while the program's is ours: what one allocates and the other frees would end the process (php's
 * extensions do so). The flag is cleared; a plugin that needs it for other symbols than malloc's does
 * not get it (docs/dropin.md).
 *
 * dlopen searches the RUNPATH of its caller, which it knows by its return address. So the next one is
 * jumped to: this file is compiled with -O2 in each build, and tests/dropin/plugins.c sees whose it
 * was.
 */
#include "dropin/export.h"
#include "dropin/next_symbol.h"

#include <dlfcn.h>
#include <stdlib.h>

typedef void *dlopen_function(const char *, int);

/* relaxed [NEXT-DLOPEN]: several threads may find the same. */
static _Atomic(dlopen_function *) found;

static MBI_COLD dlopen_function *find_next(void)
{
    void *symbol = mbi_next_symbol("dlopen");
    if (symbol == NULL) {
        mbi_message("no library behind the drop-in has dlopen");
        abort();
    }
    dlopen_function *next = (dlopen_function *)(uintptr_t)symbol;
    atomic_store_explicit(&found, next, memory_order_relaxed); /* [NEXT-DLOPEN] */
    return next;
}

EXPORT void *dlopen(const char *file, int mode)
{
    dlopen_function *next = atomic_load_explicit(&found, memory_order_relaxed); /* [NEXT-DLOPEN] */
    if (next == NULL) {
        next = find_next();
    }
    return next(file, mode & ~RTLD_DEEPBIND);
}
