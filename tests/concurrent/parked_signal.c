/*
 * parked_signal WHEN: a signal handler that does not return, as crash handlers do, interrupts a
 * thread that has a pool's lock, and allocates. Another thread has the registry's lock and waits
 * for that pool's, to give back what is parked. The handler must not wait for the registry's: not
 * before it commits memory and at a window's end (window), not where the thread has no cache yet
 * (first), and not where the limit is reached and other threads are asked for memory (last).
 */
#include "testing.h"

#include "core/decay.h"
#include "core/free_map.h"
#include "core/lock.h"

#include <unistd.h>

enum { SIZE = 48, OTHER_SIZE = 400, OBJECTS = 100, AWAITED = 2, DEADLINE_SECONDS = 60 };

static const char *when;
static const unsigned name = LOCK_POOLS + POOL_INDEX((SIZE - 1) / 8);
static volatile bool may_interrupt;

static void *use_and_end(void *argument)
{
    static void *objects[OBJECTS];
    use_objects(objects, OBJECTS, SIZE);
    return argument;
}

static void *trim(void *argument)
{
    (void)mb_trim(0);
    return argument;
}

static void allocate_and_end(void)
{
    (void)start_thread(trim, NULL);
    while (atomic_load_explicit(&mbi_locks[name].word, memory_order_acquire)
           != AWAITED) { /* [TEST] */
        usleep(1000);
    }
    if (strcmp(when, "last") == 0) {
        (void)mb_memory_limit_set(1); /* the system allocator serves it: no lock is to be had */
    }
    CHECK(mb_alloc(OTHER_SIZE) != NULL, "no memory");
    _exit(0);
}

void __real_mbi_free_map_count_occupancy(const struct free_map *map, size_t carved, size_t begin,
                                         size_t end, uint64_t bins[OCCUPANCY_BINS]);
void __wrap_mbi_free_map_count_occupancy(const struct free_map *map, size_t carved, size_t begin,
                                         size_t end, uint64_t bins[OCCUPANCY_BINS]);
void __wrap_mbi_free_map_count_occupancy(const struct free_map *map, size_t carved, size_t begin,
                                         size_t end, uint64_t bins[OCCUPANCY_BINS])
{
    if (may_interrupt && map == &pool_at((SIZE - 1) / 8)->spans[0].map) {
        allocate_and_end();
    }
    __real_mbi_free_map_count_occupancy(map, carved, begin, end, bins);
}

int main(int argc, char **argv)
{
    static struct mb_stats stats;
    CHECK(argc == 2, "usage: parked_signal window|first|last");
    when = argv[1];
    alarm(DEADLINE_SECONDS);
    if (strcmp(when, "first") != 0) {
        mb_free(mb_alloc(SIZE));
    }
    pthread_join(start_thread(use_and_end, NULL), NULL);
    atomic_fetch_add_explicit(&mbi_decay_hints.windows, 1, memory_order_relaxed); /* [TEST] */
    may_interrupt = true;
    CHECK(mb_stats_get(&stats, sizeof stats) == 0, "no statistics");
    CHECK(false, "the pool was not looked at");
    return 1;
}
