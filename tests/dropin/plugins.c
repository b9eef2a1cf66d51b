/*
 * plugins: objects cross between a program and its plugins, however these are loaded, and each
 * plugin is found by the RUNPATH and the $ORIGIN of who asks for it.
 *
 * Built like any program, without the library; mbrun puts the drop-in under it.
 */
#include "check.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define OF_PROGRAM "dropin_plugin_of_program.so"
#define OF_LIBRARY "dropin_plugin_of_library.so"

void *loader_open(const char *name, int mode);

struct plugin {
    char *(*make)(size_t size);
    char *(*move)(char *object, size_t size);
    void (*take)(char *object);
};

static void find(void *handle, const char *name, void *function)
{
    void *symbol = dlsym(handle, name);
    CHECK(symbol != NULL);
    memcpy(function, &symbol, sizeof symbol);
}

static struct plugin functions_of(void *handle)
{
    struct plugin plugin;
    find(handle, "plugin_make", &plugin.make);
    find(handle, "plugin_move", &plugin.move);
    find(handle, "plugin_take", &plugin.take);
    return plugin;
}

static void *opened(void *handle)
{
    if (handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
    }
    CHECK(handle != NULL);
    return handle;
}

static void cross(void *handle)
{
    struct plugin plugin = functions_of(handle);
    for (size_t size = 1; size < 100000; size += size / 2 + 1) {
        free(plugin.make(size));
        plugin.take(malloc(size));
        char *object = realloc(plugin.make(size), 2 * size);
        CHECK(object != NULL && object[0] == 'p' && object[size - 1] == 'p');
        object = plugin.move(object, size / 2 + 1);
        CHECK(object != NULL && object[0] == 'p' && object[size / 2] == 'p');
        free(object);
    }
    CHECK(dlclose(handle) == 0);
}

static void keep_to_itself(void *handle)
{
    struct plugin plugin = functions_of(handle);
    for (size_t size = 1; size < 1000; size += 7) {
        plugin.take(plugin.move(plugin.make(size), 2 * size));
    }
}

int main(void)
{
    static const int modes[] = { RTLD_NOW, RTLD_LAZY | RTLD_GLOBAL, RTLD_NOW | RTLD_DEEPBIND,
                                 RTLD_LAZY | RTLD_GLOBAL | RTLD_DEEPBIND };
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        cross(opened(dlopen(OF_PROGRAM, modes[i])));
        cross(opened(dlopen("$ORIGIN/../lib/plugins_of_program/" OF_PROGRAM, modes[i])));
        cross(opened(loader_open(OF_LIBRARY, modes[i])));
        cross(opened(loader_open("$ORIGIN/plugins_of_library/" OF_LIBRARY, modes[i])));
        /* Neither is found in the other's name. */
        CHECK(dlopen(OF_LIBRARY, modes[i]) == NULL && strstr(dlerror(), OF_LIBRARY) != NULL);
        CHECK(loader_open(OF_PROGRAM, modes[i]) == NULL && dlerror() != NULL && dlerror() == NULL);
    }
    CHECK(dlopen(NULL, RTLD_NOW) != NULL);
    CHECK(dlopen(OF_PROGRAM, RTLD_NOW | RTLD_NOLOAD | RTLD_DEEPBIND) == NULL);
    /* In a namespace of its own a plugin has a C library of its own, too. */
    keep_to_itself(opened(dlmopen(LM_ID_NEWLM, OF_PROGRAM, RTLD_NOW)));
    puts("plugins hold");
    return 0;
}
