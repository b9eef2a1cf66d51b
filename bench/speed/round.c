/*
 * round: what do objects cost that are allocated in a row and freed in a row?
 * Matrix: 64 bytes, one thread; rounds of COUNT objects, freed first-in-first-out (fifo) or
 * last-in-first-out (lifo). Operation: one allocation and its free.
 */
#include "harness.h"

#include <string.h>

enum { COUNT_MAX = 100000 };
static void *objects[COUNT_MAX];

static uint64_t run(uint64_t rounds, unsigned count, bool fifo)
{
    uint64_t sum = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < count; i++) {
            objects[i] = bench_make(64, round * count + i);
        }
        if (fifo) {
            for (unsigned i = 0; i < count; i++) {
                sum += bench_unmake_sized(objects[i], 64);
            }
        } else {
            for (unsigned i = count; i-- > 0;) {
                sum += bench_unmake_sized(objects[i], 64);
            }
        }
    }
    return sum;
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 2);
    const unsigned count = harness_number(0, 1, COUNT_MAX);
    const bool fifo = strcmp(harness.arguments[1], "fifo") == 0;
    const uint64_t operations = harness_operations(30000000, count);
    run(operations / 10 / count + 1, count, fifo);
    harness_clock_start();
    uint64_t sum = run(operations / count, count, fifo);
    harness_clock_stop(operations);
    harness_finish(sum, operations * (operations - 1) / 2);
}
