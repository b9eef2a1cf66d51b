/* plugin: gives objects to its program and takes its program's (plugins.c). */
#include <stdlib.h>
#include <string.h>

char *plugin_make(size_t size);
char *plugin_move(char *object, size_t size);
void plugin_take(char *object);

char *plugin_make(size_t size)
{
    char *object = malloc(size);
    return object != NULL ? memset(object, 'p', size) : NULL;
}

char *plugin_move(char *object, size_t size)
{
    return realloc(object, size);
}

void plugin_take(char *object)
{
    free(object);
}
