/* export_read: what a file of export_layout.h says. It calls nothing of the library. */
#include "insight/export_layout.h"

#include <string.h>

enum { TRIES_MAX = 1000 };

/* Whether a table of rows lies within the file. */
static bool table_fits(const _Atomic uint64_t *file, enum export_header at, uint64_t rows,
                       uint64_t words_max)
{
    uint64_t first = export_header_word(file, at);
    uint64_t row_words = export_header_word(file, at + 1);
    return first >= EXPORT_HEADER_WORDS && first <= words_max && row_words != 0
           && row_words <= words_max && rows <= (words_max - first) / row_words;
}

const char *mbi_export_flaw(const _Atomic uint64_t *file, size_t bytes)
{
    if (bytes < EXPORT_HEADER_WORDS * sizeof(uint64_t) || !export_has_magic(file)) {
        return "holds no statistics of MemoryBucket";
    }
    uint64_t version = export_header_word(file, EXPORT_AT_VERSION);
    if (version != EXPORT_VERSION) {
        return version > EXPORT_VERSION ? "was written by a newer MemoryBucket than this mbstat"
                                        : "was written by an older MemoryBucket than this mbstat";
    }
    uint64_t total_bytes = export_header_word(file, EXPORT_AT_TOTAL_BYTES);
    if (total_bytes > bytes) {
        return "is truncated";
    }
    uint64_t words = total_bytes / sizeof(uint64_t);
    uint64_t pools = export_header_word(file, EXPORT_AT_POOLS_ROWS);
    uint64_t threads = export_header_word(file, EXPORT_AT_THREADS_ROWS);
    bool fits = table_fits(file, EXPORT_AT_TOTALS, 1, words)
                && table_fits(file, EXPORT_AT_POOLS, pools, words)
                && table_fits(file, EXPORT_AT_THREADS, threads, words);
    return fits ? NULL : "is damaged: a table lies outside of it";
}

/* A name that another one chose does nothing to the terminal that shows it. */
static void hide_controls(char *name)
{
    for (; *name != '\0'; name++) {
        unsigned char byte = (unsigned char)*name;
        bool is_c1 = byte == 0xc2 && ((unsigned char)name[1] & 0xe0) == 0x80; /* in UTF-8 */
        if (is_c1) {
            *name++ = '?';
        }
        if (is_c1 || byte < ' ' || byte == 0x7f) {
            *name = '?';
        }
    }
}

void mbi_export_owner(const _Atomic uint64_t *file, struct snapshot_owner *owner)
{
    owner->process = export_header_word(file, EXPORT_AT_PROCESS);
    owner->start_ticks = export_header_word(file, EXPORT_AT_START_TICKS);
    _Static_assert(sizeof owner->name == EXPORT_NAME_WORDS * sizeof(uint64_t), "all of it");
    for (size_t i = 0; i < EXPORT_NAME_WORDS; i++) {
        uint64_t word = export_header_word(file, (enum export_header)(EXPORT_AT_NAME + i));
        memcpy(owner->name + i * sizeof word, &word, sizeof word);
    }
    owner->name[sizeof owner->name - 1] = '\0';
    hide_controls(owner->name);
}

/* The first `rows` rows of a table, each as far as both sides know it. */
static void read_table(const _Atomic uint64_t *file, enum export_header at, uint64_t rows,
                       uint64_t *out, size_t out_words)
{
    const _Atomic uint64_t *row = file + export_header_word(file, at);
    size_t row_words = export_header_word(file, at + 1);
    size_t words = row_words < out_words ? row_words : out_words;
    for (uint64_t i = 0; i < rows; i++, row += row_words, out += out_words) {
        for (size_t word = 0; word < words; word++) {
            out[word] = export_load(&row[word]);
        }
    }
}

static uint64_t at_most(uint64_t number, uint64_t most)
{
    return number < most ? number : most;
}

static void read_all(const _Atomic uint64_t *file, struct snapshot *out)
{
    uint64_t pools = at_most(export_header_word(file, EXPORT_AT_POOLS_ROWS), MB_POOL_COUNT);
    uint64_t rows_max =
        at_most(export_header_word(file, EXPORT_AT_THREADS_ROWS), SNAPSHOT_THREADS_MAX);
    read_table(file, EXPORT_AT_TOTALS, 1, out->totals, TOTAL_WORDS);
    read_table(file, EXPORT_AT_POOLS, pools, out->pools[0], POOL_WORDS_SHOWN);
    out->totals[TOTAL_thread_rows] = at_most(out->totals[TOTAL_thread_rows], rows_max);
    read_table(file, EXPORT_AT_THREADS, out->totals[TOTAL_thread_rows], out->threads[0],
               THREAD_WORDS);
}

bool mbi_export_read(const _Atomic uint64_t *file, struct snapshot *out)
{
    for (int i = 0; i < TRIES_MAX; i++) {
        uint64_t sequence = export_sequence(file);
        if (sequence == 0) {
            return false;
        }
        if (sequence % 2 == 0) {
            memset(out, 0, offsetof(struct snapshot, threads));
            read_all(file, out);
            if (export_is_still(file, sequence)) {
                return true;
            }
        }
    }
    return false;
}
