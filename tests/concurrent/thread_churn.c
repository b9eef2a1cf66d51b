/*
 * thread_churn: 20,000 short threads leave nothing behind (under a sanitizer or an emulator 3,000).
 *
 * Each allocates objects of all sizes, frees half of them and leaves the rest to the thread that
 * comes after it. Carved slots, caches and resident memory must not grow with the number of
 * threads. The first ones wait for each other, so that as many live at once as ever will.
 */
#include "testing.h"

#include "tcache/registry.h"

enum { THREADS = 20000, WARM_UP = 2000 };
enum { FEWER = TEST_IS_SANITIZED || TEST_IS_EMULATED ? 3000 : THREADS };
enum { AT_ONCE = 16, OBJECTS = 64 };

struct heritage {
    void *objects[OBJECTS];
};
static bool meet; /* written while no thread runs */
static pthread_barrier_t all_at_once;

static void *run(void *argument)
{
    struct heritage *heritage = argument;
    for (size_t i = 0; i < OBJECTS; i++) {
        mb_free(heritage->objects[i]);
        heritage->objects[i] = NULL;
    }
    for (size_t i = 0; i < OBJECTS; i++) {
        size_t size = 1 + i * 8;
        void *object = mb_alloc(size);
        CHECK(object != NULL, "no memory");
        memset(object, 1, size);
        if (i % 2 == 0) {
            mb_free(object);
        } else {
            heritage->objects[i] = object;
        }
    }
    if (meet) {
        pthread_barrier_wait(&all_at_once);
    }
    return NULL;
}

static uint64_t carved_bytes(const struct mb_stats *stats)
{
    uint64_t bytes = 0;
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        bytes += stats->pool[class].carved * stats->pool[class].slot_bytes;
    }
    return bytes;
}

int main(void)
{
    static struct heritage heritages[AT_ONCE];
    uint64_t carved_early = 0;
    uint64_t resident_early = 0;
    size_t count = test_times(THREADS, FEWER);
    mb_free(mb_alloc(1)); /* the main thread has its cache from the start */
    pthread_barrier_init(&all_at_once, NULL, AT_ONCE);

    for (size_t started = 0; started < count; started += AT_ONCE) {
        pthread_t threads[AT_ONCE];
        meet = started < WARM_UP;
        for (size_t i = 0; i < AT_ONCE; i++) {
            threads[i] = start_thread(run, &heritages[i]);
        }
        for (size_t i = 0; i < AT_ONCE; i++) {
            pthread_join(threads[i], NULL);
        }
        if (started + AT_ONCE == WARM_UP) {
            carved_early = carved_bytes(check_accounting(AT_ONCE * OBJECTS / 2));
            resident_early = process_resident_bytes();
        }
    }
    const struct mb_stats *stats = check_accounting(AT_ONCE * OBJECTS / 2);
    CHECK(stats->threads == 1, "%llu threads are registered", (unsigned long long)stats->threads);
    CHECK(stats->vacant_caches <= 2 * RETIRE_BATCH + 2 * AT_ONCE, "%llu caches are kept",
          (unsigned long long)stats->vacant_caches);

    /* Magazines differ in how they happen to be filled: by a few per pool and thread at once. */
    uint64_t carved_late = carved_bytes(stats);
    uint64_t slack = AT_ONCE * UINT64_C(64) * 2 * 8192;
    CHECK(carved_late <= carved_early + slack, "carved %llu bytes after %d threads, %llu after %zu",
          (unsigned long long)carved_early, WARM_UP, (unsigned long long)carved_late, count);
    uint64_t resident_late = process_resident_bytes();
    /* Neither a sanitizer's memory nor qemu's is ours. */
    CHECK(TEST_IS_SANITIZED || TEST_IS_EMULATED || resident_late <= resident_early + (8 << 20),
          "resident %llu bytes after %d threads, %llu after %zu",
          (unsigned long long)resident_early, WARM_UP, (unsigned long long)resident_late, count);

    for (size_t i = 0; i < AT_ONCE; i++) {
        mb_free_batch(OBJECTS, heritages[i].objects);
    }
    check_accounting(0);
    return 0;
}
