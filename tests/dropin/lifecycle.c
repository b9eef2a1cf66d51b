/*
 * lifecycle MODE: threads and forks of programs that know nothing of the drop-in under them.
 *
 *   keys    40 keys of thread-specific data exist before the first allocation, so that glibc's
 *           pthread_setspecific allocates for ours: that must not come back to itself
 *   detach threads that never allocate; glibc frees other threads' memory on them as they end, when
 *           no destructor runs any more. They must leave no thread cache behind
 *   fork    a fork handler, registered by a library's constructor, takes a lock under which other
 *           threads allocate
 */
#include "check.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memorybucket/memorybucket.h"

static void take_keys(void)
{
    pthread_key_t key;
    for (int i = 0; i < 40; i++) {
        pthread_key_create(&key, NULL);
    }
}
__attribute__((section(".preinit_array"), used)) static void (*const preinit)(void) = take_keys;

static void *volatile sink;

static void *allocate(void *argument)
{
    for (size_t size = 1; size < 600; size++) {
        sink = malloc(size);
        CHECK(sink != NULL);
        free(sink);
    }
    return argument;
}

static void keys(void)
{
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, allocate, NULL) == 0);
        pthread_join(thread, NULL);
    }
}

static _Atomic int detached;

static void *do_nothing(void *argument)
{
    usleep(1000);
    atomic_fetch_sub(&detached, 1);
    return argument;
}

/* Many at once, so that glibc has more stacks than it keeps and frees those of others. */
static void detach(void)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < 4000; i++) {
        pthread_t thread;
        while (atomic_load(&detached) > 40) {
            usleep(100);
        }
        atomic_fetch_add(&detached, 1);
        CHECK(pthread_create(&thread, &attributes, do_nothing, NULL) == 0);
    }
    while (atomic_load(&detached) > 0) {
        usleep(1000);
    }
    static struct mb_stats stats;
    int (*get_stats)(struct mb_stats *, size_t);
    void *symbol = dlsym(RTLD_DEFAULT, "mb_stats_get");
    CHECK(symbol != NULL);
    memcpy(&get_stats, &symbol, sizeof symbol);
    for (int turn = 0; turn < 5000; turn++) { /* the last ones may still be on their way out */
        CHECK(get_stats(&stats, sizeof stats) == 0);
        if (stats.threads <= 1) {
            return;
        }
        usleep(20000);
    }
    fprintf(stderr, "%llu threads are registered\n", (unsigned long long)stats.threads);
    abort();
}

/* locking_library.c, whose constructor makes both of them fork handlers. */
void lock_library(void);
void unlock_library(void);

static _Atomic int stop;

static void *allocate_under_lock(void *argument)
{
    enum { OBJECTS = 20000 };
    static _Thread_local void *objects[OBJECTS];
    unsigned seed = (unsigned)(uintptr_t)argument;
    while (!atomic_load(&stop)) {
        lock_library();
        for (int i = 0; i < 2000; i++) {
            int at = rand_r(&seed) % OBJECTS;
            free(objects[at]);
            objects[at] = malloc(8 + (size_t)rand_r(&seed) % 500);
        }
        unlock_library();
    }
    for (int i = 0; i < OBJECTS; i++) {
        free(objects[i]);
    }
    return NULL;
}

static void fork_while_others_allocate(void)
{
    pthread_t threads[3];
    for (uintptr_t i = 0; i < 3; i++) {
        CHECK(pthread_create(&threads[i], NULL, allocate_under_lock, (void *)i) == 0);
    }
    for (int i = 0; i < 60; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            allocate(NULL);
            _exit(0);
        }
        int status;
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc == 2 ? argv[1] : "";
    if (strcmp(mode, "keys") == 0) {
        keys();
    } else if (strcmp(mode, "detach") == 0) {
        detach();
    } else if (strcmp(mode, "fork") == 0) {
        fork_while_others_allocate();
    } else {
        fprintf(stderr, "usage: lifecycle keys|detach|fork\n");
        return 2;
    }
    puts("lives");
    return 0;
}
