/*
 * order: threads on one processor free what they have in an order of their own, so that steps put
 * slots in order while other threads take and free slots of the same pools, and a thread walks all
 * of them. Every object is intact, and in the end every slot is accounted for.
 */
#include "testing.h"

#include "core/order.h"
#include "core/pool.h"

#include <errno.h>
#include <sched.h>

enum { THREADS = 4, TURNS = 6, OBJECTS = TEST_IS_SANITIZED ? 20000 : 60000 };
enum { SMALL = 64, LARGE = 320 };

static _Atomic uint64_t ordered; /* the most that a thread saw */
static _Atomic bool ended;

static void pin_to_one(void)
{
    cpu_set_t all;
    cpu_set_t one;
    size_t first = 0;
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0, "%s", strerror(errno));
    while (!CPU_ISSET(first, &all)) {
        first++;
    }
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0, "%s", strerror(errno));
}

static size_t size_of(size_t i)
{
    return i % 4 != 0 ? SMALL : LARGE;
}

static void note_ordered(void)
{
    uint64_t now = counter_read(&pool_at(SMALL / 8 - 1)->ordered);
    if (now > atomic_load_explicit(&ordered, memory_order_relaxed)) {     /* [TEST] */
        atomic_store_explicit(&ordered, now, memory_order_relaxed);       /* [TEST] */
    }
}

static void shuffle(void **objects, uint64_t *random)
{
    for (size_t i = OBJECTS - 1; i > 0; i--) {
        size_t other = random_below(random, i + 1);
        void *object = objects[i];
        objects[i] = objects[other];
        objects[other] = object;
    }
}

static void *run(void *argument)
{
    unsigned char thread = *(unsigned char *)argument;
    uint64_t random = 3 + thread;
    void **objects = malloc(OBJECTS * sizeof *objects);
    CHECK(objects != NULL, "no memory");
    for (unsigned char turn = 0; turn < TURNS; turn++) {
        unsigned char stamp = (unsigned char)(1 + thread * TURNS + turn);
        for (size_t i = 0; i < OBJECTS; i++) {
            unsigned char *object = mb_alloc(size_of(i));
            CHECK(object != NULL, "no memory");
            memset(object, stamp, SMALL);
            objects[i] = object;
        }
        shuffle(objects, &random);
        for (size_t i = 0; i < OBJECTS; i++) {
            const unsigned char *object = objects[i];
            CHECK(object[0] == stamp && object[SMALL - 1] == stamp, "overwritten");
            mb_free(objects[i]);
        }
        note_ordered();
    }
    free(objects);
    return NULL;
}

static void *walk(void *argument)
{
    static struct mb_stats stats;
    (void)argument;
    while (!atomic_load_explicit(&ended, memory_order_relaxed)) { /* [TEST] */
        CHECK(mb_stats_get(&stats, sizeof stats) == 0, "no statistics");
        note_ordered();
        sched_yield();
    }
    return NULL;
}

int main(void)
{
    setenv("MB_DECAY_MS", "86400000", 1); /* nothing happens because time passes */
    pin_to_one();
    pthread_t threads[THREADS];
    unsigned char numbers[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        numbers[i] = (unsigned char)i;
        threads[i] = start_thread(run, &numbers[i]);
    }
    pthread_t walker = start_thread(walk, NULL);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    atomic_store_explicit(&ended, true, memory_order_relaxed); /* [TEST] */
    pthread_join(walker, NULL);
    check_accounting(0);
    uint64_t most = atomic_load_explicit(&ordered, memory_order_relaxed); /* [TEST] */
    CHECK(most > 0, "nothing was ordered");
    printf("up to %llu slots were ordered\n", (unsigned long long)most);
}
