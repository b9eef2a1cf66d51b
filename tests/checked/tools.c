/*
 * tools: faults that memcheck and AddressSanitizer are to report, for tests/checked/tools.sh.
 *
 * Usage: tools use_after_free|overflow|double_free|leak|nothing
 */
#include "memorybucket/memorybucket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 40, LEAKS = 10 };

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
    }
    puts(read ? "read an x" : "read none");
    return 0;
}
