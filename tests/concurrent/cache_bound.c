/*
 * cache_bound: many threads that each use all classes once, and stay, keep within MB_CACHE_MAX
 * together; and a thread that comes when all is taken still works.
 *
 * Argument: the number of threads.
 */
#include "border.h"
#include "testing.h"

#include "core/config.h"

#include <limits.h>

enum { BOUND_MIB = 8 };

static pthread_barrier_t used;
static pthread_barrier_t leave;

static void *use_every_class(void *argument)
{
    void *objects[MB_POOL_COUNT];
    size_t classes = config_class_end();
    for (size_t class = 0; class < classes; class++) {
        size_t size = size_class_slot_bytes(class);
        objects[class] = mb_alloc(size);
        CHECK(objects[class] != NULL, "no memory");
        memset(objects[class], 1, size);
    }
    mb_free_batch(classes, objects);
    pthread_barrier_wait(&used);
    pthread_barrier_wait(&leave);
    return argument;
}

static uint64_t cached_bytes(const struct mb_stats *stats)
{
    uint64_t bytes = 0;
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        bytes += stats->pool[class].magazines * stats->pool[class].slot_bytes;
    }
    return bytes;
}

int main(int argc, char **argv)
{
    unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 100;
    setenv("MB_CACHE_MAX", "8M", 1);
    (void)mb_init();
    pthread_t *threads = calloc(count, sizeof *threads);
    CHECK(threads != NULL && count > 0, "no memory");
    pthread_barrier_init(&used, NULL, count + 1);
    pthread_barrier_init(&leave, NULL, count + 1);
    pthread_attr_t small;
    pthread_attr_init(&small);
    if (!TEST_IS_SANITIZED) {
        pthread_attr_setstacksize(&small, (size_t)PTHREAD_STACK_MIN + 16384);
    }
    for (unsigned i = 0; i < count; i++) {
        int error = pthread_create(&threads[i], &small, use_every_class, NULL);
        CHECK(error == 0, "thread %u of %u: %s", i, count, strerror(error));
    }
    pthread_barrier_wait(&used);

    const struct mb_stats *stats = check_accounting(0);
    CHECK(stats->cache_bytes_max == BOUND_MIB << 20, "the bound is %llu",
          (unsigned long long)stats->cache_bytes_max);
    CHECK(stats->cache_bytes <= stats->cache_bytes_max, "%llu bytes may be cached",
          (unsigned long long)stats->cache_bytes);
    CHECK(cached_bytes(stats) <= stats->cache_bytes, "%llu bytes are cached",
          (unsigned long long)cached_bytes(stats));
    printf("%u threads cache %llu KiB, of %llu they took\n", count,
           (unsigned long long)cached_bytes(stats) >> 10,
           (unsigned long long)stats->cache_bytes >> 10);

    pthread_barrier_wait(&leave);
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    stats = check_accounting(0);
    CHECK(stats->cache_bytes <= stats->cache_bytes_max / 4, "%llu bytes were not given back",
          (unsigned long long)stats->cache_bytes);
    free(threads);
    return 0;
}
