/* format: three writers over the tables of snapshot.h. */
#include "insight/format.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct output {
    char text[2048];
    size_t used;
    format_sink *sink;
    void *argument;
    int error;
};

static void flush(struct output *out)
{
    if (out->error == 0 && out->used != 0) {
        out->error = out->sink(out->argument, out->text, out->used);
    }
    out->used = 0;
}

__attribute__((format(printf, 2, 3))) static void print(struct output *out, const char *format,
                                                        ...)
{
    enum { PIECE_BYTES_MAX = 512 };
    if (sizeof out->text - out->used < PIECE_BYTES_MAX) {
        flush(out);
    }
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(out->text + out->used, PIECE_BYTES_MAX, format, arguments);
    va_end(arguments);
    if (bytes > 0) {
        out->used += bytes < PIECE_BYTES_MAX ? (size_t)bytes : (size_t)PIECE_BYTES_MAX - 1;
    }
}

/* What the tables say of a word, in arrays that the loader has not to relocate. */
struct figure {
    uint8_t kind;
    char word[24];
    char metric[32];
    char help[72];
};
#define FIGURE(name, kind, metric, help) { FIGURE_##kind, #name, metric, help },
static const struct figure totals[] = { SNAPSHOT_TOTALS(FIGURE) };
static const struct figure pool_figures[] = { SNAPSHOT_POOL(FIGURE) };
static const struct figure thread_figures[] = { SNAPSHOT_THREAD(FIGURE) };

/* ---- Prometheus ---------------------------------------------------------------------------- */

static void print_head(struct output *out, const struct figure *figure)
{
    print(out, "# HELP memorybucket_%s %s.\n# TYPE memorybucket_%s %s\n", figure->metric,
          figure->help, figure->metric, figure->kind == FIGURE_COUNTER ? "counter" : "gauge");
}

static void print_label(struct output *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            print(out, "\\%c", *text);
        } else {
            print(out, "%c", (unsigned char)*text >= ' ' ? *text : '?');
        }
    }
}

/* The samples of one word, or of all words with the same name, which are side by side. */
static void print_pools(struct output *out, const struct snapshot *snapshot, size_t first)
{
    const struct figure *figure = &pool_figures[first];
    print_head(out, figure);
    for (size_t word = first;
         word < POOL_WORDS_SHOWN && strcmp(pool_figures[word].metric, figure->metric) == 0;
         word++) {
        for (size_t row = 0; row < MB_POOL_COUNT; row++) {
            const uint64_t *pool = snapshot->pools[row];
            if (!snapshot_has_pool(pool)) {
                continue;
            }
            print(out, "memorybucket_%s{size=\"%" PRIu64 "\"", figure->metric,
                  pool[POOL_size_bytes]);
            if (figure->kind == FIGURE_SLOTS) {
                print(out, ",state=\"%s\"", pool_figures[word].word);
            }
            print(out, "} %" PRIu64 "\n", pool[word]);
        }
    }
}

static void write_prometheus(struct output *out, const struct snapshot *snapshot,
                             const struct snapshot_owner *owner, uint64_t age_ns)
{
    print(out, "# HELP memorybucket_info The process whose figures these are.\n"
               "# TYPE memorybucket_info gauge\n"
               "memorybucket_info{pid=\"%" PRIu64 "\",name=\"", owner->process);
    print_label(out, owner->name);
    print(out, "\"} 1\n"
               "# HELP memorybucket_age_seconds How old these figures are.\n"
               "# TYPE memorybucket_age_seconds gauge\n"
               "memorybucket_age_seconds %.3f\n", (double)age_ns / 1e9);
    for (size_t word = 0; word < TOTAL_WORDS; word++) {
        const struct figure *figure = &totals[word];
        if (figure->kind == FIGURE_INNER) {
            continue;
        }
        print_head(out, figure);
        if (figure->kind == FIGURE_NS) {
            print(out, "memorybucket_%s %.9f\n", figure->metric,
                  (double)snapshot->totals[word] / 1e9);
        } else {
            print(out, "memorybucket_%s %" PRIu64 "\n", figure->metric, snapshot->totals[word]);
        }
    }
    for (size_t word = 0; word < POOL_WORDS_SHOWN; word++) {
        const struct figure *figure = &pool_figures[word];
        bool is_next = word > 0 && strcmp(figure->metric, pool_figures[word - 1].metric) == 0;
        if (figure->kind != FIGURE_INNER && !is_next) {
            print_pools(out, snapshot, word);
        }
    }
}

/* ---- JSON ---------------------------------------------------------------------------------- */

/* Bytes that are no ASCII become "?": a name may be cut inside a character. */
static void print_string(struct output *out, const char *text)
{
    print(out, "\"");
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            print(out, "\\%c", *text);
        } else if ((unsigned char)*text < ' ') {
            print(out, "\\u%04x", (unsigned)(unsigned char)*text);
        } else {
            print(out, "%c", (unsigned char)*text < 0x7f ? *text : '?');
        }
    }
    print(out, "\"");
}

static void print_members(struct output *out, const struct figure *figures, size_t count,
                          const uint64_t *words)
{
    for (size_t word = 0; word < count; word++) {
        print(out, "%s\"%s\":%" PRIu64, word == 0 ? "{" : ",", figures[word].word, words[word]);
    }
    print(out, "}");
}

static void write_json(struct output *out, const struct snapshot *snapshot,
                       const struct snapshot_owner *owner, uint64_t age_ns)
{
    print(out, "{\"format\":1,\"pid\":%" PRIu64 ",\"name\":", owner->process);
    print_string(out, owner->name);
    print(out, ",\"start_ticks\":%" PRIu64 ",\"age_ns\":%" PRIu64 ",\"totals\":",
          owner->start_ticks, age_ns);
    print_members(out, totals, TOTAL_WORDS, snapshot->totals);
    print(out, ",\"pools\":[");
    const char *comma = "";
    for (size_t row = 0; row < MB_POOL_COUNT; row++) {
        if (snapshot_has_pool(snapshot->pools[row])) {
            print(out, "%s", comma);
            print_members(out, pool_figures, POOL_WORDS_SHOWN, snapshot->pools[row]);
            comma = ",";
        }
    }
    print(out, "],\"threads\":[");
    for (size_t row = 0; row < snapshot->totals[TOTAL_thread_rows]; row++) {
        print(out, "%s", row == 0 ? "" : ",");
        print_members(out, thread_figures, THREAD_WORDS, snapshot->threads[row]);
    }
    print(out, "]}\n");
}

/* ---- text ---------------------------------------------------------------------------------- */

static void write_text(struct output *out, const struct snapshot *snapshot,
                       const struct snapshot_owner *owner, uint64_t age_ns)
{
    const uint64_t *sums = snapshot->totals;
    print(out, "process %" PRIu64 " (%s), figures of %.1f s ago\n", owner->process, owner->name,
          (double)age_ns / 1e9);
    print(out,
          "committed %" PRIu64 " KiB, given back %" PRIu64 " KiB, process resident %" PRIu64 " KiB",
          sums[TOTAL_committed_bytes] >> 10, sums[TOTAL_released_bytes] >> 10,
          sums[TOTAL_process_resident_bytes] >> 10);
    if (sums[TOTAL_memory_limit] != 0) {
        print(out, ", limit %" PRIu64 " KiB", sums[TOTAL_memory_limit] >> 10);
    }
    print(out, "\n");
    print(out,
          "threads %" PRIu64 " (%" PRIu64 " idle), parked caches %" PRIu64
          ", caches hold %" PRIu64,
          sums[TOTAL_threads], sums[TOTAL_threads_idle], sums[TOTAL_parked_caches],
          sums[TOTAL_cache_bytes] >> 10);
    if (sums[TOTAL_cache_bytes_max] != 0) {
        print(out, " of %" PRIu64, sums[TOTAL_cache_bytes_max] >> 10);
    }
    print(out, " KiB%s; large requests %" PRIu64 ", freed %" PRIu64 "\n\n",
          sums[TOTAL_cache_bytes_max] != 0 ? "" : " (no bound)", sums[TOTAL_large_allocs],
          sums[TOTAL_large_frees]);
    print(out, "%6s %9s %9s %9s %9s %9s %4s %9s %9s %8s %8s %6s\n", "size", "live KiB", "cached",
          "central", "sorted", "returned", "use", "refills", "flushes", "retries", "waits",
          "mag.");
    for (size_t row = 0; row < MB_POOL_COUNT; row++) {
        const uint64_t *pool = snapshot->pools[row];
        if (snapshot_has_pool(pool)) {
            uint64_t slot_bytes = pool[POOL_slot_bytes];
            print(out,
                  "%6" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64
                  " %3u%% %9" PRIu64 " %9" PRIu64 " %8" PRIu64 " %8" PRIu64 " %6" PRIu64 "\n",
                  pool[POOL_size_bytes], pool[POOL_live] * slot_bytes >> 10,
                  snapshot_cached_slots(pool) * slot_bytes >> 10,
                  (pool[POOL_central] + pool[POOL_loose]) * slot_bytes >> 10,
                  pool[POOL_sorted] * slot_bytes >> 10, pool[POOL_released_bytes] >> 10,
                  snapshot_occupancy(pool), pool[POOL_refills], pool[POOL_flushes],
                  pool[POOL_cas_retries], pool[POOL_mutex_waits], pool[POOL_magazine_rounds]);
        }
    }
}

int mbi_format_write(const struct snapshot *snapshot, const struct snapshot_owner *owner,
                     uint64_t now_ns, enum mb_stats_format format, format_sink *sink,
                     void *argument)
{
    struct output out = { .sink = sink, .argument = argument };
    uint64_t published_ns = snapshot->totals[TOTAL_published_ns];
    uint64_t age_ns = now_ns > published_ns ? now_ns - published_ns : 0;
    switch (format) {
    case MB_STATS_TEXT: write_text(&out, snapshot, owner, age_ns); break;
    case MB_STATS_JSON: write_json(&out, snapshot, owner, age_ns); break;
    case MB_STATS_PROMETHEUS: write_prometheus(&out, snapshot, owner, age_ns); break;
    }
    flush(&out);
    return out.error;
}
