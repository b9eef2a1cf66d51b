/* plugin_loader: a library that opens plugins in its own name, and so by its own RUNPATH (plugins.c). */
#include <dlfcn.h>

void *loader_open(const char *name, int mode);

void *loader_open(const char *name, int mode)
{
    void *plugin = dlopen(name, mode);
    __asm__ volatile("" : "+r"(plugin)); /* no tail call: it is this library that calls dlopen */
    return plugin;
}
