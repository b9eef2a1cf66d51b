/* names: finds the functions in front of ours and behind ours. */
#include "dropin/names.h"

#include "core/size_class.h"

#include <dlfcn.h>
#include <gnu/lib-names.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

/* Where this library begins, and where its data ends, behind all code; the linker defines both. */
extern const char __ehdr_start[] MBI_HIDDEN; /* NOLINT(bugprone-reserved-identifier): its name */
extern const char edata[] MBI_HIDDEN;

struct operators_serve mbi_operators_serve;

/* Written once, before the program has a second thread. */
static bool decided;
static bool realloc_is_others;

static bool is_ours(uintptr_t function)
{
    uintptr_t begin = (uintptr_t)__ehdr_start;
    return function - begin < (uintptr_t)edata - begin;
}

/* In a program at a fixed address the program's stub for a function may be its address. */
static bool is_stub(uintptr_t address)
{
    Dl_info info;
    ElfW(Sym) *symbol = NULL;
    return dladdr1((const void *)address, &info, (void **)&symbol, RTLD_DL_SYMENT) != 0
           && symbol != NULL && symbol->st_shndx == SHN_UNDEF;
}

static bool is_others(uintptr_t function)
{
    return !is_ours(function) && !is_stub(function);
}

static MBI_COLD void decide(void)
{
    const uintptr_t functions[] = {
        (uintptr_t)in_use_malloc,
        (uintptr_t)in_use_free,
        (uintptr_t)in_use_aligned_alloc,
        (uintptr_t)in_use_new,
        (uintptr_t)in_use_new_array,
        (uintptr_t)in_use_new_aligned,
        (uintptr_t)in_use_new_array_aligned,
        (uintptr_t)in_use_delete,
        (uintptr_t)in_use_delete_array,
        (uintptr_t)in_use_delete_aligned,
        (uintptr_t)in_use_delete_array_aligned,
    };
    bool others = false;
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        others = others || is_others(functions[i]);
    }
    if (!others) {
        mbi_operators_serve =
            (struct operators_serve){ .bytes_max = LINEAR_BYTES_MAX, .classes = SIZE_CLASS_COUNT };
    }
    realloc_is_others = is_others((uintptr_t)in_use_realloc);
    decided = true;
}

/* The functions below also call this: a program may allocate in .preinit_array. */
__attribute__((constructor(101))) static void decide_once(void)
{
    if (!decided) {
        decide();
    }
}

bool mbi_operators_are_others(void)
{
    decide_once();
    return mbi_operators_serve.classes == 0;
}

bool mbi_realloc_is_others(void)
{
    decide_once();
    return realloc_is_others;
}

uintptr_t mbi_next_symbol(const char *name)
{
    uintptr_t symbol = (uintptr_t)dlsym(RTLD_NEXT, name);
    if (MBI_UNLIKELY(symbol != 0 && is_ours(symbol))) {
        /* Not by dlopen: that is ours, and asks here for the next one. */
        void *libc = dlmopen(LM_ID_BASE, LIBC_SO, RTLD_LAZY | RTLD_NOLOAD);
        symbol = libc != NULL ? (uintptr_t)dlsym(libc, name) : 0;
    }
    return symbol;
}

uintptr_t mbi_next_symbol_or_abort(const char *name)
{
    uintptr_t symbol = mbi_next_symbol(name);
    if (symbol == 0) {
        mbi_message("no library behind the drop-in has %s", name);
        abort();
    }
    return symbol;
}
