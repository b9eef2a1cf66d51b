/*
 * namespaces LIBRARY PLUGIN: copies of the library in namespaces that dlmopen makes, and a plugin
 * with keys of its own in another one. The program itself may run on the drop-in.
 *
 * Each namespace has a C library that counts its keys for thread-specific data from 0, and all of
 * them keep the values in the same place. The library must take no value of somebody else's for its
 * own, and, from another namespace, must not change the program's. With the drop-in below the
 * program a thread's cache must be given back whatever value its key had at the end.
 */
#include "memorybucket/memorybucket.h"
#include "run_threads.h"

#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

enum { COPIES = 2, KEYS = 4, ROUNDS = 20, THREADS = 4, OBJECTS = 3000 };

static struct {
    void *(*alloc)(size_t size);
    void (*free)(void *pointer);
} copies[COPIES];
static void (*plugin_set_keys)(void *value);
static pthread_key_t keys[KEYS];

static void *open_namespace(const char *path)
{
    void *library = dlmopen(LM_ID_NEWLM, path, RTLD_NOW);
    CHECK(library != NULL, "%s", dlerror());
    return library;
}

static void *find(void *library, const char *name)
{
    void *symbol = dlsym(library, name);
    CHECK(symbol != NULL, "%s", name);
    return symbol;
}

/* The program's own values, which must be what the thread has set. */
static void destroy(void *value)
{
    CHECK(*(int *)value == 7, "a key's destructor gets a value of another namespace");
    free(value);
}

static void set_keys(void)
{
    for (int i = 0; i < KEYS; i++) {
        int *value = malloc(sizeof *value);
        CHECK(value != NULL && pthread_setspecific(keys[i], value) == 0, "no memory");
        *value = 7;
    }
}

static void use(size_t copy)
{
    void *objects[OBJECTS];
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = copies[copy].alloc(1 + i % 700);
        CHECK(objects[i] != NULL, "no memory");
        memset(objects[i], (int)copy + 1, 1 + i % 700);
    }
    for (size_t i = 0; i < OBJECTS; i++) {
        CHECK(*(char *)objects[i] == (char)copy + 1, "two owners");
        copies[copy].free(objects[i]);
    }
}

static void *run_copies(void *argument)
{
    set_keys();
    for (size_t i = 0; i < COPIES; i++) {
        use(i);
    }
    for (int i = 0; i < KEYS; i++) {
        CHECK(*(int *)pthread_getspecific(keys[i]) == 7, "a key's value is not the program's");
    }
    return argument;
}

/* The plugin overwrites the value of the drop-in's key, if there is one. */
static void *run_plugin(void *argument)
{
    free(malloc(40));
    plugin_set_keys(argument);
    return NULL;
}

/* Of the allocator below the program; 0 on the C library. Last: it loads liburcu, which has a key, too. */
static uint64_t threads_active(void)
{
    static struct mb_stats stats;
    int (*get)(struct mb_stats *, size_t) = NULL;
    *(void **)&get = dlsym(RTLD_DEFAULT, "mb_stats_get");
    return get != NULL && get(&stats, sizeof stats) == 0 ? stats.threads : 0;
}

int main(int argc, char **argv)
{
    CHECK(argc == 3, "usage: namespaces LIBRARY PLUGIN");
    free(malloc(40)); /* the drop-in has its key */
    void *plugin = open_namespace(argv[2]);
    int (*init)(void);
    *(void **)&init = find(plugin, "plugin_init");
    *(void **)&plugin_set_keys = find(plugin, "plugin_set_keys");
    CHECK(init() == 0, "no keys");
    static int value;
    for (int round = 0; round < ROUNDS; round++) {
        run_threads(THREADS, run_plugin, round % 2 == 0 ? (void *)77 : &value);
    }

    for (int i = 0; i < KEYS; i++) {
        CHECK(pthread_key_create(&keys[i], destroy) == 0, "no key");
    }
    for (size_t i = 0; i < COPIES; i++) {
        void *library = open_namespace(argv[1]);
        *(void **)&copies[i].alloc = find(library, "mb_alloc");
        *(void **)&copies[i].free = find(library, "mb_free");
    }
    for (int round = 0; round < ROUNDS; round++) {
        run_threads(THREADS, run_copies, NULL);
    }
    CHECK(threads_active() <= 1, "threads have left caches behind");
    puts("each namespace keeps to its own");
    return 0;
}
