/*
 * burst: what do objects cost, and how much memory stays, where a program's sizes change?
 * Matrix: one thread; phases that follow each other at once. Each needs 48 MB, for objects of
 * another range of 42 sizes within 8 to 511 bytes and for their pointers. At its end all but every
 * 500th object are freed in the order of their allocation; the others stay until the last phase is
 * over. Twelve phases pass through all ranges. Operation: one allocation and, mostly, its free.
 */
#include "harness.h"

#include "report.h"

#include <sys/mman.h>

enum {
    PHASES = 48,
    PHASE_BYTES = 48000000,
    SIZES = 42,
    RANGES = 12,
    RANGE_STEP = 5, /* has no divisor in common with RANGES: large and small ones alternate */
    KEEP_ONE_IN = 500,
};

struct burst {
    uint64_t random;
    uint64_t made;
    uint64_t unmade;
    uint64_t operations;
    void **kept;
    uint64_t kept_count;
};

static unsigned smallest_of(uint64_t phase)
{
    return 8 + SIZES * (unsigned)(phase * RANGE_STEP % RANGES);
}

static uint64_t objects_of(uint64_t phase)
{
    return PHASE_BYTES / (smallest_of(phase) + SIZES / 2 + sizeof(void *));
}

/* From the kernel, so that the pointers lie in no allocator and their memory goes at once. */
static void **map_pointers(uint64_t count)
{
    void *map = mmap(NULL, count * sizeof(void *), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        report_die("no memory for %llu pointers", (unsigned long long)count);
    }
    return map;
}

static void unmap_pointers(void **pointers, uint64_t count)
{
    munmap(pointers, count * sizeof(void *));
}

static void run_phase(struct burst *burst, uint64_t phase)
{
    const uint64_t count = objects_of(phase);
    const unsigned smallest = smallest_of(phase);
    void **objects = map_pointers(count);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t value = bench_random(&burst->random);
        burst->made += value;
        objects[i] = bench_make(smallest + (size_t)((value >> 32) * SIZES >> 32), value);
    }
    for (uint64_t i = 0; i < count; i++) {
        if (i % KEEP_ONE_IN == 0) {
            burst->kept[burst->kept_count++] = objects[i];
        } else {
            burst->unmade += bench_unmake(objects[i]);
        }
    }
    unmap_pointers(objects, count);
    burst->operations += count;
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 0);
    const uint64_t phases = harness_operations((uint64_t)PHASES * PHASE_BYTES, PHASE_BYTES)
                            / PHASE_BYTES;
    uint64_t kept_max = 0;
    for (uint64_t phase = 0; phase < phases; phase++) {
        kept_max += objects_of(phase) / KEEP_ONE_IN + 1;
    }
    struct burst burst = { .random = bench_seed(0), .kept = map_pointers(kept_max) };
    harness_clock_start();
    for (uint64_t phase = 0; phase < phases; phase++) {
        run_phase(&burst, phase);
    }
    harness_clock_stop(burst.operations);
    for (uint64_t i = 0; i < burst.kept_count; i++) {
        burst.unmade += bench_unmake(burst.kept[i]);
    }
    unmap_pointers(burst.kept, kept_max);
    harness_finish(burst.unmade, burst.made);
}
