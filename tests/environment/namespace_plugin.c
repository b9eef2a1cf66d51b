/*
 * A plugin with keys of its own, for namespaces.c: opened with dlmopen it has a C library of its
 * own, which counts its keys from 0 as the program's does.
 */
#include <pthread.h>

enum { KEYS = 16 };

static pthread_key_t keys[KEYS];

int plugin_init(void);
void plugin_set_keys(void *value);

int plugin_init(void)
{
    for (int i = 0; i < KEYS; i++) {
        if (pthread_key_create(&keys[i], NULL) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Of the calling thread. */
void plugin_set_keys(void *value)
{
    for (int i = 0; i < KEYS; i++) {
        pthread_setspecific(keys[i], value);
    }
}
