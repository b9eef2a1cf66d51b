/*
 * growing: what does a buffer cost that grows while it is filled?
 * Matrix: one thread, 16 buffers at once. Each begins with 16 bytes. A random one grows by realloc,
 * and what it has more is written; with 32 KiB it is read and freed, and another begins. To read all
 * its bytes would take longer than to grow: it is every 61st, one in each line and all places in it.
 * GROWTH: "steps", as where a program keeps room: a third of the buffers grow by an eighth, a third
 * by half and a third to the double, by 16 bytes at least; "pieces", to what the next piece needs,
 * of 8 to 511 bytes (geometric.h); "bytes", by a byte at a time.
 * Operation: one realloc.
 */
#include "geometric.h"
#include "harness.h"

#include "report.h"

#include <string.h>

enum { BUFFERS = 16, FIRST_BYTES = 16, FULL_BYTES = 32768, LEAST_STEP = 16, READ_EVERY = 61 };

enum growth { BY_STEPS, BY_PIECES, BY_BYTES, GROWTHS };
static const char *const growth_names[GROWTHS] = { "steps", "pieces", "bytes" };

static struct buffer {
    unsigned char *bytes;
    size_t size;
} buffers[BUFFERS];
static uint64_t made;   /* the sum of what was written where it will be read */
static uint64_t unmade; /* the sum of what was read */

/* Notes that bytes from `size` on have been written. */
static inline void note(size_t size, size_t more, unsigned char value)
{
    made += ((size + more + READ_EVERY - 1) / READ_EVERY - (size + READ_EVERY - 1) / READ_EVERY)
            * value;
}

static void begin(struct buffer *buffer, unsigned char value)
{
    buffer->size = FIRST_BYTES;
    buffer->bytes = bench_alloc(FIRST_BYTES);
    memset(buffer->bytes, value, FIRST_BYTES);
    note(0, FIRST_BYTES, value);
}

static inline void end(struct buffer *buffer, size_t size)
{
    for (size_t i = 0; i < size; i += READ_EVERY) {
        unmade += buffer->bytes[i];
    }
    bench_free(buffer->bytes);
}

/* `growth` is a constant where it is called, and so costs nothing. */
static inline __attribute__((always_inline)) size_t more_bytes(const struct buffer *buffer,
                                                               enum growth growth, uint64_t random)
{
    static const unsigned shifts[] = { 3, 1, 0 };
    if (growth == BY_BYTES) {
        return 1;
    }
    size_t more = growth == BY_PIECES ? geometric_size(random)
                                      : buffer->size >> shifts[(buffer - buffers) % 3];
    more = more > LEAST_STEP || growth == BY_PIECES ? more : LEAST_STEP;
    return more < FULL_BYTES - buffer->size ? more : FULL_BYTES - buffer->size;
}

static inline __attribute__((always_inline)) void grow(enum growth growth, uint64_t random)
{
    /* Of bits that do not make a geometric size. */
    struct buffer *buffer = &buffers[(random >> 32) % BUFFERS];
    const unsigned char value = (unsigned char)(random >> 36);
    const size_t more = more_bytes(buffer, growth, random);
    buffer->bytes = bench_realloc(buffer->bytes, buffer->size + more);
    if (growth == BY_BYTES) {
        buffer->bytes[buffer->size] = value;
    } else {
        memset(buffer->bytes + buffer->size, value, more);
    }
    note(buffer->size, more, value);
    buffer->size += more;
    if (buffer->size == FULL_BYTES) {
        end(buffer, FULL_BYTES);
        begin(buffer, value);
    }
}

static void run(enum growth growth, uint64_t *random, uint64_t operations)
{
    switch (growth) {
    case BY_STEPS:
        for (uint64_t i = 0; i < operations; i++) {
            grow(BY_STEPS, bench_random(random));
        }
        break;
    case BY_PIECES:
        for (uint64_t i = 0; i < operations; i++) {
            grow(BY_PIECES, bench_random(random));
        }
        break;
    default:
        for (uint64_t i = 0; i < operations; i++) {
            grow(BY_BYTES, bench_random(random));
        }
    }
}

static enum growth parse_growth(const char *text)
{
    for (enum growth growth = 0; growth < GROWTHS; growth++) {
        if (strcmp(text, growth_names[growth]) == 0) {
            return growth;
        }
    }
    report_refuse("GROWTH %s: accepted are steps, pieces and bytes", text);
}

int main(int argc, char **argv)
{
    BENCH_START(argc, argv, 1);
    const enum growth growth = parse_growth(harness.arguments[0]);
    const uint64_t operations = harness_operations(growth == BY_BYTES ? 10000000 : 2000000, 1);
    uint64_t random = bench_seed(0);
    for (unsigned i = 0; i < BUFFERS; i++) {
        begin(&buffers[i], (unsigned char)i);
    }
    run(growth, &random, operations / 10);
    harness_clock_start();
    run(growth, &random, operations);
    harness_clock_stop(operations);
    for (unsigned i = 0; i < BUFFERS; i++) {
        end(&buffers[i], buffers[i].size);
    }
    harness_finish(unmade, made);
}
