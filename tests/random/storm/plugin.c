/*
 * plugin: what the storm loads and unloads: it allocates as it comes and as it goes. It has no fork
 * handlers: glibc 2.36 may run those of a library that another thread has just unloaded.
 */
#include <stdlib.h>
#include <string.h>

void storm_plugin(void);

static char *kept;

__attribute__((constructor)) static void come(void)
{
    kept = malloc(300);
}

__attribute__((destructor)) static void go(void)
{
    free(kept);
}

void storm_plugin(void)
{
    for (size_t i = 1; i < 200; i++) {
        char *volatile text = malloc(i * 3);
        memset(text, 1, i * 3);
        free(text);
    }
}
