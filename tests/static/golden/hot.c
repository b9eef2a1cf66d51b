/*
 * The hot paths, a thousand calls each, for callgrind to count (run.sh): every magazine that
 * they meet is neither empty nor full.
 *
 * With any argument it only says where they are.
 *
 * The inlined ones are whole functions, so that their counts hold the one instruction of the
 * return, as those of the library's functions do.
 */
#include <memorybucket/inline.h>

#include <stdio.h>
#include <stdlib.h>

enum { CALLS = 1000, OBJECTS = 4 };

__attribute__((noinline)) static void *inlined_alloc_constant(void)
{
    return mb_alloc(64);
}

__attribute__((noinline, noclone)) static void *inlined_alloc(size_t size)
{
    return mb_alloc(size);
}

__attribute__((noinline)) static void inlined_free(void *object)
{
    mb_free(object);
}

__attribute__((noinline)) static void inlined_free_sized_constant(void *object)
{
    mb_free_sized(object, 64);
}

/* callgrind counts only inside: the first calls, before, fill the magazine. */
__attribute__((noinline)) static void measured(void)
{
    void *(*volatile called_alloc)(size_t) = mb_alloc;
    void (*volatile called_free)(void *) = mb_free;
    void *(*volatile dropin_alloc)(size_t) = malloc;
    void (*volatile dropin_free)(void *) = free;
    volatile size_t size = 64;
    for (int i = 0; i < CALLS; i++) {
        called_free(called_alloc(64));
        inlined_free(inlined_alloc(size));
        inlined_free_sized_constant(inlined_alloc_constant());
        dropin_free(dropin_alloc(64));
    }
}

/* For tests/aarch64/golden.sh: where they are in this process. */
static void print_addresses(void)
{
#define PRINT(function) printf(#function " %p\n", (void *)(function))
    PRINT(mb_alloc);
    PRINT(mb_free);
    PRINT(inlined_alloc);
    PRINT(inlined_alloc_constant);
    PRINT(inlined_free);
    PRINT(inlined_free_sized_constant);
    PRINT(malloc);
    PRINT(free);
}

int main(int argument_count, char **arguments __attribute__((unused)))
{
    if (argument_count > 1) {
        print_addresses();
        return 0;
    }
    void *objects[OBJECTS];
    for (int i = 0; i < OBJECTS; i++) {
        objects[i] = mb_alloc(64);
    }
    for (int i = 0; i < OBJECTS; i++) {
        mb_free(objects[i]);
    }
    measured();
    return 0;
}
