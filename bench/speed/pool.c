/*
 * pool: what does memory cost where tasks run on threads that come and go together?
 * Matrix: a pool of THREADS that is started, runs 512 tasks, each on the thread that is free, and
 * is stopped; again and again. A task frees what others have handed to it, and then makes 500
 * objects of 8 to 512 bytes: 256 of its own need, which it frees before its end, 180 in place of
 * random ones of the 32 that it keeps from one pool to the next, and 64 for other tasks. So about
 * a fifth of what it frees is from other threads, some of which have ended.
 * Operation: one allocation and one free.
 *
 * A pool runs each task once, so a task's objects belong to one thread at a time.
 */
#include "live_set.h"

#include <stdatomic.h>

enum {
    TASKS = 512,
    KEPT = 32,
    PLACES = 8, /* of a task, for what others hand to it */
    ROUNDS = 4,
    /* in each round of a task: */
    TEMPORARY = 64,
    REPLACED = 45,
    HANDED = 16,
    TASK_OPERATIONS = ROUNDS * (TEMPORARY + REPLACED + HANDED),
};

struct task {
    struct live_set set;
    void *kept[KEPT];
    _Alignas(128) _Atomic(void *) handed[PLACES]; /* by others; NULL: nothing */
};
static struct task tasks[TASKS];

static void free_handed(struct task *task)
{
    for (unsigned i = 0; i < PLACES; i++) {
        /* acquire: what the object holds comes with it. */
        void *object = atomic_exchange_explicit(&task->handed[i], NULL, memory_order_acquire);
        if (object != NULL) {
            task->set.unmade += bench_unmake(object);
        }
    }
}

/* What nobody has fetched from the place yet is freed here. */
static void hand_over(struct live_set *set)
{
    struct task *other = &tasks[bench_random_below(&set->random, TASKS)];
    uint64_t place = bench_random_below(&set->random, PLACES);
    void *mine = live_set_make(set);
    /* acq_rel: what the object holds comes with it, in both directions. */
    void *before = atomic_exchange_explicit(&other->handed[place], mine, memory_order_acq_rel);
    if (before != NULL) {
        set->unmade += bench_unmake(before);
    }
}

static void run_task(struct task *task)
{
    struct live_set *set = &task->set;
    void *temporary[TEMPORARY];
    free_handed(task);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < TEMPORARY; i++) {
            temporary[i] = live_set_make(set);
        }
        for (unsigned i = 0; i < REPLACED; i++) {
            live_set_replace(set);
        }
        for (unsigned i = 0; i < HANDED; i++) {
            hand_over(set);
        }
        for (unsigned i = 0; i < TEMPORARY; i++) {
            set->unmade += bench_unmake(temporary[i]);
        }
    }
}

static void *run(void *argument)
{
    _Atomic unsigned *next_task = argument;
    unsigned task;
    /* relaxed: only one thread gets each number; starts and joins of threads order the rest. */
    while ((task = atomic_fetch_add_explicit(next_task, 1, memory_order_relaxed)) < TASKS) {
        run_task(&tasks[task]);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 0);
    enum { POOL_OPERATIONS = TASKS * TASK_OPERATIONS };
    const uint64_t pools = harness_operations(40 * POOL_OPERATIONS, POOL_OPERATIONS)
                           / POOL_OPERATIONS;
    for (unsigned i = 0; i < TASKS; i++) {
        live_set_fill(&tasks[i].set, tasks[i].kept, KEPT, LIVE_SIZE_SMALL_MAX, i);
    }
    harness_clock_start();
    for (uint64_t i = 0; i < pools; i++) {
        _Atomic unsigned next_task = 0;
        harness_run_threads(run, &next_task, 0);
    }
    harness_clock_stop(pools * POOL_OPERATIONS);
    uint64_t made = 0;
    uint64_t unmade = 0;
    for (unsigned i = 0; i < TASKS; i++) {
        free_handed(&tasks[i]);
        live_set_clear(&tasks[i].set);
        made += tasks[i].set.made;
        unmade += tasks[i].set.unmade;
    }
    harness_finish(unmade, made);
}
