/*
 * tls_module: a shared object with a variable in each thread, one of 30 beside late_dlopen.c. Half
 * of them are compiled so that it takes of the static room that the library needs too; that of the
 * others is found through each thread's table of modules, which grows.
 */
#include <stddef.h>

size_t tls_module_count(void);

/* How often the calling thread has called it. */
size_t tls_module_count(void)
{
    static _Thread_local size_t calls = 100;
    return ++calls - 100;
}
