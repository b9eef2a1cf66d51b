/*
 * dropin/interposed: finds out which functions somebody else has in front of ours.
 *
 * Ladder: implements interposed.h.
 */
#include "dropin/interposed.h"

#include "core/size_class.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

/* Where this library begins and its code ends; from the linker. */
extern const char __ehdr_start[] MBI_HIDDEN; /* NOLINT(bugprone-reserved-identifier): its name */
extern const char etext[] MBI_HIDDEN;

struct operators_serve mbi_operators_serve;

/* Written like that. */
static bool decided;
static bool realloc_is_others;

/* A program at a fixed address may mean a stub of its own by a function's address, which calls ours. */
static bool is_stub(uintptr_t address)
{
    Dl_info info;
    ElfW(Sym) *symbol = NULL;
    return dladdr1((const void *)address, &info, (void **)&symbol, RTLD_DL_SYMENT) != 0
           && symbol != NULL && symbol->st_shndx == SHN_UNDEF;
}

static bool is_others(uintptr_t address)
{
    uintptr_t begin = (uintptr_t)__ehdr_start;
    return address - begin >= (uintptr_t)etext - begin && !is_stub(address);
}

static MBI_COLD void decide(void)
{
    const uintptr_t addresses[] = {
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
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        others = others || is_others(addresses[i]);
    }
    if (!others) {
        mbi_operators_serve =
            (struct operators_serve){ .bytes_max = SMALL_BYTES_MAX, .classes = SIZE_CLASS_COUNT };
    }
    realloc_is_others = is_others((uintptr_t)in_use_realloc);
    decided = true;
}

/* A program may call from .preinit_array, before this. */
__attribute__((constructor(101))) static void decide_early(void)
{
    if (!decided) {
        decide();
    }
}

bool mbi_operators_are_others(void)
{
    decide_early();
    return mbi_operators_serve.classes == 0;
}

bool mbi_realloc_is_others(void)
{
    decide_early();
    return realloc_is_others;
}
