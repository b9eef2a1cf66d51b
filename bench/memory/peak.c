/*
 * memory_peak: what stays in memory after a peak?
 * Matrix: SIZE in bytes, "mixed" (8 to 512 at random), or "mixed-32k" (8 to 32,768, as many in each
 * doubling); MIB of live objects; ORDER of the frees: "fifo" as they were allocated, "random", or
 * "ninety": a random 90 % of them, and the rest only after the last figure. Then everything is asked for that the allocator's purge call gives back.
 *
 * The start is after a purge of nothing, whose code and first bookkeeping are then in memory.
 */
#include "give_back.h"
#include "objects.h"
#include "report.h"

enum order { FIFO, RANDOM, NINETY, ORDERS };
static const char *const order_names[ORDERS] = { "fifo", "random", "ninety" };

static size_t parse_size(const char *text)
{
    if (strcmp(text, "mixed") == 0) {
        return MIXED_SMALL;
    }
    return strcmp(text, "mixed-32k") == 0 ? MIXED_TO_32K
                                          : report_parse_count(text, "SIZE", LIVE_SIZE_MIN, 32768);
}

static enum order parse_order(const char *text)
{
    for (enum order order = 0; order < ORDERS; order++) {
        if (strcmp(text, order_names[order]) == 0) {
            return order;
        }
    }
    report_refuse("ORDER %s: accepted are fifo, random and ninety", text);
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 3);
    const size_t size = parse_size(harness.arguments[0]);
    const enum order order = parse_order(harness.arguments[1]);
    const uint64_t peak_mib = harness_number(2, 1, 65536);
    give_back_start();

    struct memory_objects objects = memory_objects_record(peak_mib << 20, size);
    const uint64_t freed_count = order == NINETY ? objects.count / 10 * 9 : objects.count;
    give_back_purge();
    const struct resident start = resident_now();
    memory_objects_make(&objects, size);
    const struct resident peak = resident_now();

    uint64_t next = 0;
    if (order == FIFO) {
        for (uint64_t i = 0; i < objects.count; i++) {
            memory_objects_free(&objects, i);
        }
    } else {
        next = memory_objects_free_random(&objects, 0, freed_count);
    }
    const struct resident freed = resident_now();
    double began_ns = harness_now_ns();
    const bool can_purge = give_back_purge();
    const double purge_ns = harness_now_ns() - began_ns;
    const struct resident purged = resident_now();
    const double record_bytes = resident_own_bytes();
    memory_objects_free_random(&objects, next, objects.count - freed_count);
    memory_objects_forget(&objects);

    harness_row("objects", "objects", (double)objects.count);
    harness_row("asked_bytes", "bytes", (double)objects.bytes);
    harness_row("record_bytes", "bytes", record_bytes);
    resident_rows("start", start);
    resident_rows("peak", peak);
    resident_rows("freed", freed);
    if (can_purge) {
        resident_rows("purged", purged);
        harness_row("beyond_start_bytes", "bytes", purged.all - start.all);
        harness_row("purge_ns", "ns", purge_ns);
    }
    harness_finish_sums(objects.unmade, objects.made);
}
