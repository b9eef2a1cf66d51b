/* mbreplay_summary: one walk over the trace, and a table by size. */
#include "cli/mbreplay_summary.h"

#include "cli/mbreplay_base.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Sizes up to 8 bytes, up to 16, ... up to 32K, and above. */
enum { FIRST_SHIFT = 3, LAST_SHIFT = 15, ROWS = LAST_SHIFT - FIRST_SHIFT + 2, LIFETIMES = 64 };

struct row {
    uint64_t allocations;
    uint64_t bytes;
    uint64_t freed;
    uint64_t freed_elsewhere;
    uint64_t live;
    uint64_t live_max;
    uint64_t lifetimes[LIFETIMES]; /* by the logarithm of the ns */
};

struct known_object {
    uint64_t size;
    uint64_t born_ns;
    uint32_t life; /* that allocated it */
    bool is_live;
};

struct summary {
    struct mb_trace *trace;
    const struct mb_trace_header *header;
    struct known_object *objects;
    uint32_t *life_of; /* of each thread's number, how many lives there were before */
    uint32_t lives;
    uint64_t resizes;
    uint64_t zeroed;
    uint64_t aligned;
    uint64_t live_bytes;
    uint64_t live_bytes_max;
    struct row rows[ROWS];
    struct row all;
};

static unsigned shift_of(uint64_t value)
{
    return value > 1 ? 64 - (unsigned)__builtin_clzll(value - 1) : 0;
}

static struct row *row_of(struct summary *summary, uint64_t size)
{
    unsigned shift = shift_of(size);
    shift = shift < FIRST_SHIFT ? FIRST_SHIFT : shift;
    shift = shift > LAST_SHIFT ? LAST_SHIFT + 1 : shift;
    return &summary->rows[shift - FIRST_SHIFT];
}

static void note_born(struct row *row, uint64_t size)
{
    row->allocations++;
    row->bytes += size;
    row->live++;
    row->live_max = row->live > row->live_max ? row->live : row->live_max;
}

static void note_died(struct row *row, uint64_t ns, bool elsewhere)
{
    row->freed++;
    row->freed_elsewhere += elsewhere;
    row->live--;
    row->lifetimes[shift_of(ns + 1) % LIFETIMES]++;
}

static void begin(struct summary *summary, const struct mb_trace_event *event)
{
    struct known_object *object = &summary->objects[event->object];
    *object = (struct known_object){ event->size, event->time_ns, summary->life_of[event->thread],
                                     true };
    note_born(row_of(summary, event->size), event->size);
    note_born(&summary->all, event->size);
    summary->live_bytes += event->size;
    if (summary->live_bytes > summary->live_bytes_max) {
        summary->live_bytes_max = summary->live_bytes;
    }
}

static void end(struct summary *summary, const struct mb_trace_event *event)
{
    struct known_object *object = &summary->objects[event->object];
    uint64_t ns = event->time_ns - object->born_ns;
    bool elsewhere = summary->life_of[event->thread] != object->life;
    note_died(row_of(summary, object->size), ns, elsewhere);
    note_died(&summary->all, ns, elsewhere);
    summary->live_bytes -= object->size;
    object->is_live = false;
}

static void take_event(struct summary *summary, const struct mb_trace_event *event)
{
    switch (event->kind) {
    case MB_TRACE_ALLOCATE:
        begin(summary, event);
        summary->zeroed += event->zeroed;
        summary->aligned += event->alignment != 0;
        break;
    case MB_TRACE_FREE: end(summary, event); break;
    case MB_TRACE_RESIZE: /* another object */
        end(summary, event);
        begin(summary, event);
        summary->resizes++;
        break;
    case MB_TRACE_THREAD_START: summary->life_of[event->thread] = ++summary->lives; break;
    case MB_TRACE_THREAD_EXIT: break;
    }
}

/* ---- printing ------------------------------------------------------------------------------- */

/* Half of the objects that were freed lived no longer than this. */
static double median_us(const struct row *row)
{
    uint64_t seen = 0;
    unsigned shift = 0;
    while (shift < LIFETIMES - 1 && (seen += row->lifetimes[shift]) * 2 < row->freed) {
        shift++;
    }
    return (double)(UINT64_C(1) << shift) / 1e3;
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole != 0 ? 100.0 * (double)part / (double)whole : 0;
}

static void print_row(const char *name, const struct row *row, const struct row *all)
{
    if (row->allocations == 0) {
        return;
    }
    printf("%-9s %12" PRIu64 " %6.1f %11.1f %12" PRIu64, name, row->allocations,
           percent(row->allocations, all->allocations), (double)row->bytes / (1 << 20),
           row->live_max);
    if (row->freed == 0) {
        printf(" %12s %10s\n", "-", "-");
    } else {
        printf(" %12.1f %10.1f\n", median_us(row), percent(row->freed_elsewhere, row->freed));
    }
}

static void print_table(const struct summary *summary)
{
    printf("\n%-9s %12s %6s %11s %12s %12s %10s\n", "bytes to", "allocations", "%", "MiB",
           "live at most", "us to live", "freed by");
    printf("%-9s %12s %6s %11s %12s %12s %10s\n", "", "", "", "", "", "(median)", "others, %");
    for (unsigned i = 0; i < ROWS; i++) {
        char name[16];
        snprintf(name, sizeof name, i + 1 == ROWS ? "above" : "%u", 1U << (i + FIRST_SHIFT));
        print_row(name, &summary->rows[i], &summary->all);
    }
    print_row("all", &summary->all, &summary->all);
}

static void print_head(const char *path, const struct summary *summary)
{
    const struct mb_trace_header *header = summary->header;
    char when[32];
    time_t start = (time_t)(header->start_ns / 1000000000U);
    struct tm local;
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", localtime_r(&start, &local));
    printf("%s: %s\n", path, header->program);
    printf("recorded %s, %.1f s%s\n", when, (double)header->duration_ns / 1e9,
           header->truncated ? ", and cut off: the program went on" : "");
    printf("%" PRIu32 " thread%s, at most %" PRIu32 " at once\n", summary->lives,
           summary->lives == 1 ? "" : "s", header->threads);
    printf("%" PRIu64 " allocations (%" PRIu64 " zeroed, %" PRIu64 " aligned), %" PRIu64
           " frees, %" PRIu64 " resizes\n",
           summary->all.allocations - summary->resizes, summary->zeroed, summary->aligned,
           summary->all.freed - summary->resizes, summary->resizes);
    printf("live: at most %" PRIu64 " objects, and %.1f MiB; at the end %" PRIu64
           " objects of %.1f MiB\n",
           summary->all.live_max, (double)summary->live_bytes_max / (1 << 20), summary->all.live,
           (double)summary->live_bytes / (1 << 20));
}

void mbreplay_summary(const char *path, struct mb_trace *trace)
{
    struct summary *summary = mbreplay_zeroed(1, sizeof *summary);
    summary->trace = trace;
    summary->header = mb_trace_header(trace);
    summary->objects = mbreplay_zeroed(summary->header->objects, sizeof *summary->objects);
    summary->life_of = mbreplay_zeroed(summary->header->threads, sizeof *summary->life_of);
    struct mb_trace_event event;
    int got;
    while ((got = mb_trace_next(trace, &event)) == 1) {
        take_event(summary, &event);
    }
    if (got < 0) {
        mbreplay_die("%s", mb_trace_error(trace));
    }
    print_head(path, summary);
    print_table(summary);
    free(summary->objects);
    free(summary->life_of);
    free(summary);
}
