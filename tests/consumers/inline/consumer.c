/*
 * What inline.h promises, as C and as C++, on the shared and on the static library. Exit status 0.
 * The hot_ functions are looked at from outside: hot paths must hold no call.
 */
#include <memorybucket/inline.h>

#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct mb_stats stats;
static struct mb_stats at_start; /* on the drop-in the C library's objects count as well */

static uint64_t live_of(size_t size)
{
    mb_stats_get(&stats, sizeof stats);
    return stats.pool[(size - 1) / 8].live - at_start.pool[(size - 1) / 8].live;
}

static void every_size(void)
{
    for (size_t size = 1; size <= 600; size++) {
        void *object = mb_alloc(size);
        CHECK(object != NULL && mb_usable_size(object) >= size);
        memset(object, 0x5a, size);
        if (size % 3 == 0) {
            mb_free_sized(object, size);
        } else {
            mb_free(object);
        }
    }
    for (size_t size = 8; size <= MB_SMALL_MAX; size += 8) {
        CHECK(live_of(size) == 0);
    }
}

/* Constant sizes, right and wrong: the size is a hint. */
static void constant_sizes(void)
{
    void *object = mb_alloc(64);
    CHECK(live_of(64) == 1);
    mb_free_sized(object, 64);
    CHECK(live_of(64) == 0);

    object = mb_alloc(64);
    mb_free_sized(object, 128);
    CHECK(live_of(64) == 0 && live_of(128) == 0);

    object = mb_alloc(64);
    mb_free_sized(object, 4096);
    CHECK(live_of(64) == 0);

    object = mb_alloc(5000);
    CHECK(object != NULL);
    mb_free_sized(object, 64);

    object = mb_alloc(0);
    CHECK(object != NULL);
    mb_free_sized(object, 0);
}

static void rare_arguments(void)
{
    errno = 77;
    mb_free(NULL);
    mb_free_sized(NULL, 64);
    CHECK(errno == 77);
    void *foreign = malloc(100);
    mb_free(foreign);
    void *impossible = mb_alloc(SIZE_MAX / 2);
    CHECK(impossible == NULL && errno == ENOMEM);
}

/* More than a magazine in both directions, and inlined and called uses on the same objects. */
static void mixed_with_calls(void)
{
    enum { COUNT = 5000 };
    static void *objects[COUNT];
    void *(*volatile called_alloc)(size_t) = mb_alloc;
    void (*volatile called_free)(void *) = mb_free;
    for (unsigned i = 0; i < COUNT; i++) {
        objects[i] = i % 2 != 0 ? mb_alloc(64) : called_alloc(64);
        *(unsigned *)objects[i] = i;
    }
    CHECK(live_of(64) == COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        CHECK(*(unsigned *)objects[i] == i);
        if (i % 3 != 0) {
            mb_free(objects[i]);
        } else {
            called_free(objects[i]);
        }
    }
    CHECK(live_of(64) == 0);
}

static void *in_a_thread(void *object)
{
    mb_free(object); /* the thread's first act */
    void *mine = mb_alloc(64);
    *(uint64_t *)mine = 1;
    return mine;
}

static void across_threads(void)
{
    for (unsigned i = 0; i < 200; i++) {
        pthread_t thread;
        void *object = mb_alloc(64);
        CHECK(pthread_create(&thread, NULL, in_a_thread, object) == 0);
        CHECK(pthread_join(thread, &object) == 0);
        CHECK(*(uint64_t *)object == 1);
        mb_free_sized(object, 64);
    }
    CHECK(live_of(64) == 0);
}

#ifdef __cplusplus
extern "C" {
#endif
__attribute__((noinline, used)) void *hot_alloc(void);
__attribute__((noinline, used)) void hot_free(void *object);
__attribute__((noinline, used)) void hot_free_sized(void *object);

void *hot_alloc(void)
{
    return mb_alloc(64);
}

void hot_free(void *object)
{
    mb_free(object);
}

void hot_free_sized(void *object)
{
    mb_free_sized(object, 64);
}
#ifdef __cplusplus
}
#endif

int main(void)
{
    CHECK(mb_stats_get(&at_start, sizeof at_start) == 0);
    every_size();
    constant_sizes();
    rare_arguments();
    mixed_with_calls();
    across_threads();
    hot_free(hot_alloc());
    hot_free_sized(hot_alloc());
    puts("ok");
    return 0;
}
