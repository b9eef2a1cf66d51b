/*
 * watcher: counts what a program allocates, and passes it on to the malloc behind it, as profilers
 * that are preloaded do.
 */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_ulong allocations;

void *malloc(size_t size)
{
    void *(*next)(size_t) = (void *(*)(size_t))(uintptr_t)dlsym(RTLD_NEXT, "malloc");
    allocations++;
    return next(size);
}

void free(void *pointer)
{
    void (*next)(void *) = (void (*)(void *))(uintptr_t)dlsym(RTLD_NEXT, "free");
    next(pointer);
}

__attribute__((destructor)) static void tell(void)
{
    fprintf(stderr, "watcher: %lu allocations\n", (unsigned long)allocations);
}
