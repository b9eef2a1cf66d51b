/*
 * tsd_destructors: allocation works in every pass of thread-specific data's destructors.
 *
 * Keys made before and after the library's own have destructors that allocate, free and re-arm
 * themselves for as long as pthread asks. Our own destructor has given the cache up by the last
 * passes: then requests go straight to the pools. A thread that first allocates in a destructor
 * is tried as well.
 */
#include "testing.h"

#include "tcache/thread_cache.h"

#include <limits.h>

enum { KEYS = 6, OBJECTS = 300, THREADS = 200 };

/*
 * ThreadSanitizer takes a thread's state down in the last pass, and must see nothing after that.
 */
#ifdef MBI_THREAD_SANITIZED
enum { TSD_PASSES = PTHREAD_DESTRUCTOR_ITERATIONS - 1 };
#else
enum { TSD_PASSES = PTHREAD_DESTRUCTOR_ITERATIONS };
#endif

static pthread_key_t keys[KEYS];
static _Atomic unsigned destructor_calls;
static _Atomic unsigned calls_without_cache;

struct per_key {
    size_t index;
    int passes;
    bool allocated_before;
    void *kept[OBJECTS];
};

static void allocate_and_free(struct per_key *data)
{
    for (size_t i = 0; i < OBJECTS; i++) {
        mb_free(data->kept[i]);
        data->kept[i] = mb_alloc(1 + (i * 37 + data->index) % 600);
        CHECK(data->kept[i] != NULL, "no memory");
        memset(data->kept[i], 0x5A, 1);
    }
}

static void destructor(void *argument)
{
    struct per_key *data = argument;
    atomic_fetch_add_explicit(&destructor_calls, 1, memory_order_relaxed); /* [TEST] */
    /* Our destructor re-arms itself: in the first pass all others still find a cache. */
    CHECK(mbi_thread_cache->active || !data->allocated_before || data->passes > 0,
          "key %zu finds no cache in the first pass", data->index);
    if (!mbi_thread_cache->active && data->passes > 0) {
        atomic_fetch_add_explicit(&calls_without_cache, 1, memory_order_relaxed); /* [TEST] */
    }
    allocate_and_free(data);
    if (++data->passes < TSD_PASSES) {
        pthread_setspecific(keys[data->index], data);
        return;
    }
    mb_free_batch(OBJECTS, data->kept);
    free(data);
}

static void *run(void *argument)
{
    bool allocate_before_exit = argument != NULL;
    for (size_t i = 0; i < KEYS; i++) {
        struct per_key *data = calloc(1, sizeof *data);
        CHECK(data != NULL, "no memory");
        data->index = i;
        data->allocated_before = allocate_before_exit;
        if (allocate_before_exit) {
            allocate_and_free(data);
        }
        pthread_setspecific(keys[i], data);
    }
    return NULL;
}

/* Before the library's constructor: these keys come first in each pass. */
static void create_first_keys(void)
{
    for (size_t i = 0; i < KEYS / 2; i++) {
        pthread_key_create(&keys[i], destructor);
    }
}
__attribute__((section(".preinit_array"), used)) static void (*const preinit)(void) =
    create_first_keys;

int main(void)
{
    mb_free(mb_alloc(1)); /* the library's key comes here */
    for (size_t i = KEYS / 2; i < KEYS; i++) {
        pthread_key_create(&keys[i], destructor);
    }
    for (uintptr_t i = 0; i < THREADS; i++) {
        pthread_join(start_thread(run, (void *)(i % 2)), NULL);
    }
    unsigned expected = THREADS * KEYS * TSD_PASSES;
    CHECK(destructor_calls == expected, "%u destructors ran, not %u", destructor_calls, expected);
    CHECK(calls_without_cache > 0, "no destructor ran after the library's own");
    const struct mb_stats *stats = check_accounting(0);
    CHECK(stats->threads == 1, "%llu threads are registered", (unsigned long long)stats->threads);
    return 0;
}
