/*
 * tools: faults that memcheck and AddressSanitizer are to report, for tests/checked/tools.sh.
 *
 * Usage: tools use_after_free|overflow|double_free|leak|nothing|many
 */
#include "memorybucket/memorybucket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 40, LEAKS = 10, MANY = 6000 };

static void *volatile hidden;

static char *hide(void *pointer)
{
    hidden = pointer;
    return hidden;
}

/* Several, as the last ones may still be in a register or on the stack. */
__attribute__((noinline)) static void lose(void)
{
    for (volatile int i = 0; i < LEAKS; i++) {
        memset(hide(mb_alloc(SIZE)), 'x', SIZE);
    }
    hidden = NULL;
}

/* More than the pools for them have room for, in a small region. */
static void use_many(void)
{
    static void *objects[MANY];
    size_t done = mb_alloc_batch(500, MANY, objects);
    mb_free_batch(done, objects);
}

__attribute__((noinline)) static int planted_read(const char *object, int at)
{
    return object[at] == 'x';
}

int main(int count, char **words)
{
    const char *fault = count > 1 ? words[1] : "";
    char *object = hide(mb_alloc(SIZE));
    int read = 0;
    memset(object, 'x', SIZE);
    if (strcmp(fault, "overflow") == 0) {
        read = planted_read(hide(object), SIZE);
    }
    mb_free(object);
    mb_free(hide(malloc(SIZE))); /* the system allocator's */
    if (strcmp(fault, "use_after_free") == 0) {
        read = planted_read(hide(object), 3);
    } else if (strcmp(fault, "double_free") == 0) {
        mb_free(hide(object));
    } else if (strcmp(fault, "leak") == 0) {
        lose();
    } else if (strcmp(fault, "many") == 0) {
        use_many();
    }
    puts(read ? "read an x" : "read none");
    return 0;
}
