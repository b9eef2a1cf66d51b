/*
 * batch: what do whole arrays of objects cost?
 * Matrix: 1,000 objects of 64 bytes at a time, one thread; by mb_alloc_batch and mb_free_batch
 * (batch; a loop where the allocator has no such calls), or by a loop for all (loop).
 * Operation: one object's allocation and free.
 */
#include "harness.h"

#include "report.h"

#include <string.h>

enum { COUNT = 1000 };
static void *objects[COUNT];

#ifdef BENCH_MALLOC
static bool take_and_give_back(uint64_t *sum, uint64_t round)
{
    (void)sum;
    (void)round;
    return false;
}
#else
static bool take_and_give_back(uint64_t *sum, uint64_t round)
{
    if (mb_alloc_batch(64, COUNT, objects) != COUNT) {
        report_die("mb_alloc_batch found no memory");
    }
    for (unsigned i = 0; i < COUNT; i++) {
        *(uint64_t *)objects[i] = round * COUNT + i;
    }
    for (unsigned i = 0; i < COUNT; i++) {
        *sum += *(uint64_t *)objects[i];
    }
    mb_free_batch(COUNT, objects);
    return true;
}
#endif

static void loop(uint64_t *sum, uint64_t round)
{
    for (unsigned i = 0; i < COUNT; i++) {
        objects[i] = bench_make(64, round * COUNT + i);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        *sum += bench_unmake_sized(objects[i], 64);
    }
}

static uint64_t run(uint64_t rounds, bool batch)
{
    uint64_t sum = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        if (!batch || !take_and_give_back(&sum, round)) {
            loop(&sum, round);
        }
    }
    return sum;
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 1);
    const bool batch = strcmp(harness.arguments[0], "batch") == 0;
    const uint64_t operations = harness_operations(30000000, COUNT);
    run(operations / COUNT / 10 + 1, batch);
    harness_clock_start();
    uint64_t sum = run(operations / COUNT, batch);
    harness_clock_stop(operations);
    harness_finish(sum, operations * (operations - 1) / 2);
}
