/* next_symbol: dlsym with RTLD_NEXT, and what to do where somebody else's dlsym answers. */
#include "dropin/next_symbol.h"

#include <dlfcn.h>
#include <gnu/lib-names.h>
#include <link.h>

/* This library as it is mapped, from the linker. */
extern const ElfW(Ehdr) image __asm__("__ehdr_start") MBI_HIDDEN;

static bool is_ours(const void *function)
{
    uintptr_t offset = (uintptr_t)function - (uintptr_t)&image;
    const ElfW(Phdr) *parts = (const void *)((const char *)&image + image.e_phoff);
    for (size_t i = 0; i < image.e_phnum; i++) {
        if (parts[i].p_type == PT_LOAD && offset - parts[i].p_vaddr < parts[i].p_memsz) {
            return true;
        }
    }
    return false;
}

void *mbi_next_symbol(const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    if (MBI_UNLIKELY(symbol != NULL && is_ours(symbol))) {
        /* Not by dlopen: that is ours, too, and asks here for the next one. */
        void *libc = dlmopen(LM_ID_BASE, LIBC_SO, RTLD_LAZY | RTLD_NOLOAD);
        symbol = libc != NULL ? dlsym(libc, name) : NULL;
    }
    return symbol;
}
