/*
 * usable_size_counter: a part of the C library's malloc in a library of its own, behind the drop-in: free,
 * malloc_usable_size, mallopt and malloc_trim. It passes them on, and counts how often the size of an object was asked
 * for.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

unsigned long sizes_asked_for(void);

static atomic_ulong asked;

unsigned long sizes_asked_for(void)
{
    return asked;
}

void free(void *pointer)
{
    void (*next)(void *) = (void (*)(void *))(uintptr_t)dlsym(RTLD_NEXT, "free");
    next(pointer);
}

size_t malloc_usable_size(void *pointer)
{
    size_t (*next)(void *) = (size_t (*)(void *))(uintptr_t)dlsym(RTLD_NEXT, "malloc_usable_size");
    asked++;
    return next(pointer);
}

int mallopt(int parameter, int value)
{
    int (*next)(int, int) = (int (*)(int, int))(uintptr_t)dlsym(RTLD_NEXT, "mallopt");
    return next(parameter, value);
}

int malloc_trim(size_t pad)
{
    int (*next)(size_t) = (int (*)(size_t))(uintptr_t)dlsym(RTLD_NEXT, "malloc_trim");
    return next(pad);
}
