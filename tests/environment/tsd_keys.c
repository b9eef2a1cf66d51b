/*
 * tsd_keys: processes that used up keys of thread-specific data before the library came.
 *
 * With 40 keys taken, pthread_setspecific allocates for ours (glibc keeps 32 in the thread itself);
 * under the drop-in that allocation comes back to us (dropin/lifecycle.c). With all keys taken but
 * the one that liburcu cannot do without, threads work without a cache. KEYS_TAKEN is given by the
 * build.
 */
#include "testing.h"

#include "tcache/thread_cache.h"

#include <limits.h>

enum { THREADS = 32, OBJECTS = 500 };

static size_t taken;

static void take_keys(void)
{
    pthread_key_t key;
    while (taken < KEYS_TAKEN && pthread_key_create(&key, NULL) == 0) {
        taken++;
    }
}
__attribute__((section(".preinit_array"), used)) static void (*const preinit)(void) = take_keys;

static void *run(void *argument)
{
    void *objects[OBJECTS];
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = mb_alloc(1 + i);
        CHECK(objects[i] != NULL, "no memory");
    }
    bool cached = mbi_thread_cache->active;
    bool keys_left = KEYS_TAKEN < PTHREAD_KEYS_MAX - 1;
    CHECK(cached == keys_left, "a thread has %s cache", cached ? "a" : "no");
    mb_free_batch(OBJECTS, objects);
    return argument;
}

int main(void)
{
    CHECK(taken >= 40, "only %zu keys could be taken", taken);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] = start_thread(run, NULL);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    check_accounting(0);
    return 0;
}
