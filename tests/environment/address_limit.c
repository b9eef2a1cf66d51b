/*
 * address_limit BYTES: starts and works under RLIMIT_AS, also where that is used up by objects of
 * one size.
 *
 * The limit must stand before the library comes up: the program sets it and becomes itself again.
 */
#include "testing.h"

#include <sys/resource.h>
#include <unistd.h>

enum { THREADS = 4, OBJECTS = 20000, LEFT_BYTES = 64 << 20 };

static void *run(void *argument)
{
    static _Thread_local void *objects[OBJECTS];
    use_objects(objects, OBJECTS, 512);
    return argument;
}

int main(int argc, char **argv)
{
    CHECK(argc == 2, "usage: address_limit BYTES");
    struct rlimit limit;
    rlim_t bytes = strtoull(argv[1], NULL, 10);
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0, "getrlimit");
    if (limit.rlim_cur != bytes) {
        limit = (struct rlimit){ bytes, bytes };
        CHECK(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
        execv("/proc/self/exe", argv);
        CHECK(false, "execv");
    }
    CHECK(mb_init() == 0, "no region under this limit");
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] = start_thread(run, NULL);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    const struct mb_stats *stats = check_accounting(0);
    CHECK(stats->reserved_bytes <= stats->committed_bytes + stats->committed_bytes / 2 + (1 << 20),
          "%llu bytes are claimed, %llu committed", (unsigned long long)stats->reserved_bytes,
          (unsigned long long)stats->committed_bytes);

    /* What is not used is left to the program. */
    void *own = malloc(bytes / 4);
    CHECK(own != NULL, "the program cannot have a quarter of its limit");
    free(own);

    /* One pool takes nearly all that is left: then its requests spill over, and all comes back. */
    uint64_t resident;
    limit.rlim_cur = process_virtual_bytes(&resident) + LEFT_BYTES;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
    size_t count = 0;
    void *first = NULL;
    for (void **object; (object = mb_alloc(8)) != NULL; count++) {
        *object = first;
        first = object;
        if (mb_usable_size(object) != 8) {
            break;
        }
    }
    CHECK(count * 8 >= LEFT_BYTES / 4 * 3, "only %zu slots of 8 bytes", count);
    CHECK(mb_usable_size(first) == 16, "the pool of 8 bytes spilled into one of %zu",
          mb_usable_size(first));
    check_accounting(count + 1);
    while (first != NULL) {
        void *next = *(void **)first;
        mb_free(first);
        first = next;
    }
    check_accounting(0);
    return 0;
}
