/* deepbind_plugin: what deepbind.c opens. */
#include <stdlib.h>

void *plugin_make(size_t size);
void plugin_drop(void *object);

void *plugin_make(size_t size)
{
    return malloc(size);
}

void plugin_drop(void *object)
{
    free(object);
}
