/*
 * deepbind: objects cross between a program and a plugin that it opens with RTLD_DEEPBIND. The plugin lies
 * where only this program's RUNPATH leads to: whoever stands in for dlopen must not search its own.
 */
#include "check.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void *make_function(size_t);
typedef void drop_function(void *);

static void *symbol_of(void *plugin, const char *name)
{
    void *symbol = dlsym(plugin, name);
    CHECK(symbol != NULL);
    return symbol;
}

int main(void)
{
    void *plugin = dlopen("libdropin_deepbind_plugin.so", RTLD_NOW | RTLD_DEEPBIND);
    if (plugin == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    void *make_symbol = symbol_of(plugin, "plugin_make");
    void *drop_symbol = symbol_of(plugin, "plugin_drop");
    make_function *make;
    drop_function *drop;
    memcpy(&make, &make_symbol, sizeof make);
    memcpy(&drop, &drop_symbol, sizeof drop);
    for (size_t size = 1; size < 2000; size++) {
        free(realloc(make(size), 2 * size));
        drop(malloc(size));
    }
    CHECK(dlopen("/nonexistent/library.so", RTLD_NOW | RTLD_DEEPBIND) == NULL);
    CHECK(strstr(dlerror(), "/nonexistent/library.so") != NULL);
    CHECK(dlopen(NULL, RTLD_NOW) != NULL);
    puts("objects cross");
    return 0;
}
