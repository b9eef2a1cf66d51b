/*
 * late_dlopen LIBRARY [MODULE ...]: the shared library comes by dlopen, into a process with threads
 * and with modules that have variables in each thread, and is closed again while it is in use.
 *
 * Its few bytes of static TLS must fit, the main thread, threads that were there before and threads
 * that come later must be able to use it, and their destructors must still be in memory after
 * dlclose. The modules' variables stay what they were.
 */
#include "run_threads.h"

#include <dlfcn.h>
#include <string.h>

enum { THREADS = 8, OBJECTS = 5000, MODULES_MAX = 30 };

static void *(*library_alloc)(size_t);
static void (*library_free)(void *);
static size_t (*module_counts[MODULES_MAX])(void);
static size_t modules;
static pthread_barrier_t opened;
static pthread_barrier_t closed;

static void use(void)
{
    static _Thread_local void *objects[OBJECTS];
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = library_alloc(1 + i % 600);
        CHECK(objects[i] != NULL, "no memory");
        memset(objects[i], 1, 1 + i % 600);
    }
    for (size_t i = 0; i < OBJECTS; i++) {
        library_free(objects[i]);
    }
}

/* Each thread says how often it has been here. */
static void use_modules(size_t times)
{
    for (size_t i = 0; i < modules; i++) {
        CHECK(module_counts[i]() == times, "a module's variables have changed");
    }
}

static void *run(void *argument)
{
    use_modules(1);
    pthread_barrier_wait(&opened);
    use();
    use_modules(2);
    pthread_barrier_wait(&closed);
    pthread_barrier_wait(&closed);
    use(); /* the code is still there, and so is the destructor that runs next */
    return argument;
}

static void *run_later(void *argument)
{
    use();
    use_modules(1);
    return argument;
}

static void *find(void *library, const char *name)
{
    void *symbol = dlsym(library, name);
    CHECK(symbol != NULL, "%s", name);
    return symbol;
}

static void open_module(const char *path)
{
    void *module = dlopen(path, RTLD_NOW);
    CHECK(module != NULL, "%s", dlerror());
    void *symbol = find(module, "tls_module_count");
    memcpy(&module_counts[modules++], &symbol, sizeof symbol);
}

int main(int argc, char **argv)
{
    CHECK(argc >= 2 && argc <= 2 + MODULES_MAX, "usage: late_dlopen LIBRARY [MODULE ...]");
    for (int i = 2; i < argc; i++) {
        open_module(argv[i]);
    }
    use_modules(1);
    pthread_t threads[THREADS];
    pthread_barrier_init(&opened, NULL, THREADS + 1);
    pthread_barrier_init(&closed, NULL, THREADS + 1);
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, run, NULL) == 0, "pthread_create");
    }
    void *library = dlopen(argv[1], RTLD_NOW);
    CHECK(library != NULL, "%s", dlerror());
    void *symbol = find(library, "mb_alloc");
    memcpy(&library_alloc, &symbol, sizeof symbol);
    symbol = find(library, "mb_free");
    memcpy(&library_free, &symbol, sizeof symbol);

    pthread_barrier_wait(&opened);
    use();
    use_modules(2);
    run_threads(THREADS, run_later, NULL);
    pthread_barrier_wait(&closed);
    CHECK(dlclose(library) == 0, "dlclose");
    pthread_barrier_wait(&closed);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    use();
    run_threads(THREADS, run_later, NULL);
    return 0;
}
