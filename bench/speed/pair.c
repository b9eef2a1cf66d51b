/*
 * pair: what does an object cost that is freed at once?
 * Matrix: 64 bytes, one thread. Operation: one allocation and one free.
 */
#include "harness.h"

static uint64_t run(uint64_t pairs)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < pairs; i++) {
        sum += bench_unmake_sized(bench_make(64, i), 64);
    }
    return sum;
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 0);
    const uint64_t pairs = harness_operations(40000000, 1);
    run(pairs / 10);
    harness_clock_start();
    uint64_t sum = run(pairs);
    harness_clock_stop(pairs);
    harness_finish(sum, pairs * (pairs - 1) / 2);
}
