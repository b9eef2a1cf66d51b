/*
 * late_dlopen LIBRARY: the shared library comes by dlopen, into a process with threads, and is
 * closed again while they still use it.
 *
 * Its few bytes of static TLS must fit, threads that were there before must be able to use it, and
 * their destructors must still be in memory after dlclose.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition, message)                                                                  \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: failed: %s: %s\n", __FILE__, __LINE__, #condition, message);   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { THREADS = 8, OBJECTS = 5000 };

static void *(*library_alloc)(size_t);
static void (*library_free)(void *);
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

static void *run(void *argument)
{
    pthread_barrier_wait(&opened);
    use();
    pthread_barrier_wait(&closed);
    pthread_barrier_wait(&closed);
    use(); /* the code is still there, and so is the destructor that runs next */
    return argument;
}

int main(int argc, char **argv)
{
    CHECK(argc == 2, "usage: late_dlopen LIBRARY");
    pthread_t threads[THREADS];
    pthread_barrier_init(&opened, NULL, THREADS + 1);
    pthread_barrier_init(&closed, NULL, THREADS + 1);
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, run, NULL) == 0, "pthread_create");
    }
    void *library = dlopen(argv[1], RTLD_NOW);
    CHECK(library != NULL, dlerror());
    void *symbol = dlsym(library, "mb_alloc");
    CHECK(symbol != NULL, "mb_alloc");
    memcpy(&library_alloc, &symbol, sizeof symbol);
    symbol = dlsym(library, "mb_free");
    CHECK(symbol != NULL, "mb_free");
    memcpy(&library_free, &symbol, sizeof symbol);

    pthread_barrier_wait(&opened);
    pthread_barrier_wait(&closed);
    CHECK(dlclose(library) == 0, "dlclose");
    pthread_barrier_wait(&closed);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    return 0;
}
