/*
 * spread: how many central stacks there are, by the processors that the process's threads may use.
 *
 * pinned     the second thread may use one processor, the first one two: there are two stacks
 * one-by-one each thread may use another one: a stack is added when the second processor is seen
 * alone      a process with one thread asks for no processors; and nobody does, once all is known
 *
 * The linker puts __wrap_sched_getaffinity, which counts, before the C library's function.
 */
#include "testing.h"

#include <errno.h>
#include <sched.h>

int __real_sched_getaffinity(pid_t thread, size_t bytes, cpu_set_t *set);
int __wrap_sched_getaffinity(pid_t thread, size_t bytes, cpu_set_t *set);

static _Atomic unsigned looks; /* relaxed: threads are joined before it is read */

int __wrap_sched_getaffinity(pid_t thread, size_t bytes, cpu_set_t *set)
{
    atomic_fetch_add_explicit(&looks, 1, memory_order_relaxed);
    return __real_sched_getaffinity(thread, bytes, set);
}

/* The lowest processors that the process may use. */
static size_t first;
static size_t second;

static void pin_to(size_t processor)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0, "%s", strerror(errno));
}

static void *allocate_on(void *processor)
{
    if (processor != NULL) {
        pin_to(*(const size_t *)processor);
    }
    mb_free(mb_alloc(40));
    return NULL;
}

/* A thread that may run on *processor, or where its maker may, comes and goes: how many looks. */
static unsigned one_thread(size_t *processor)
{
    atomic_store_explicit(&looks, 0, memory_order_relaxed);
    pthread_join(start_thread(allocate_on, processor), NULL);
    return atomic_load_explicit(&looks, memory_order_relaxed);
}

static void expect_stacks(unsigned expected)
{
    unsigned stacks = central_mask() + 1;
    CHECK(stacks == expected, "%u central stacks instead of %u", stacks, expected);
}

static void pinned(void)
{
    cpu_set_t two;
    CPU_ZERO(&two);
    CPU_SET(first, &two);
    CPU_SET(second, &two);
    CHECK(sched_setaffinity(0, sizeof two, &two) == 0, "%s", strerror(errno));
    mb_free(mb_alloc(40));
    one_thread(&second);
    expect_stacks(2);
}

static void one_by_one(void)
{
    pin_to(first);
    mb_free(mb_alloc(40));
    one_thread(NULL);
    expect_stacks(1);
    unsigned looked = one_thread(&second);
    expect_stacks(2);
    CHECK(looked == 1, "%u looks", looked);
    looked = one_thread(&first);
    expect_stacks(2);
    CHECK(looked <= 1, "%u looks", looked);
}

static void alone(void)
{
    for (size_t i = 0; i < 1000; i++) {
        mb_free(mb_alloc(1 + i % 1000));
    }
    (void)mb_trim(0);
    unsigned looked = atomic_load_explicit(&looks, memory_order_relaxed);
    CHECK(looked == 0, "%u looks by a process with one thread", looked);
    one_thread(NULL);
    cpu_set_t allowed;
    CHECK(__real_sched_getaffinity(0, sizeof allowed, &allowed) == 0, "%s", strerror(errno));
    if (CPU_COUNT(&allowed) == sysconf(_SC_NPROCESSORS_ONLN)) {
        looked = one_thread(&second);
        CHECK(looked == 0, "%u looks, though all processors are known", looked);
    }
    mbi_pools_spread(CENTRAL_STACKS);
    looked = one_thread(NULL);
    CHECK(looked == 0, "%u looks, though all stacks are in use", looked);
}

int main(int argc, char **argv)
{
    cpu_set_t allowed;
    CHECK(argc == 2 && __real_sched_getaffinity(0, sizeof allowed, &allowed) == 0, "usage");
    if (CPU_COUNT(&allowed) < 2) {
        puts("skipped: takes two processors");
        return SKIPPED;
    }
    while (!CPU_ISSET(first, &allowed)) {
        first++;
    }
    second = first + 1;
    while (!CPU_ISSET(second, &allowed)) {
        second++;
    }
    if (strcmp(argv[1], "pinned") == 0) {
        pinned();
    } else if (strcmp(argv[1], "one-by-one") == 0) {
        one_by_one();
    } else {
        alone();
    }
    return 0;
}
