/*
 * options: every MB_ variable, once: its name, its values, and where its value comes from.
 *
 * Ladder: above os. Callers: config, which reads values; the API, which asks for two of them early.
 *
 * A value is a text: the environment's, or else the program's (mb_option_set). The program's texts
 * are written under LOCK_INIT until the library is up; then they are constant.
 */
#ifndef MEMORYBUCKET_CORE_OPTIONS_H
#define MEMORYBUCKET_CORE_OPTIONS_H

#include "core/base.h"

/*
 * X(name, kind, field of struct config, lowest value, highest value,
 *   what is accepted, default,
 *   what it does)
 *
 * Documentation takes all texts from here; messages about bad values what is accepted, and the
 * default.
 */
#define MBI_OPTIONS(X)                                                                             \
    X(MB_MAGAZINE_SIZE, ROUNDS, magazine_rounds, MAGAZINE_ROUNDS_MIN, MAGAZINE_ROUNDS_MAX,         \
      "8 to 4096 objects, or a list such as 8-64:256,65-512:64 (sizes:objects)",                   \
      "16 KiB worth, up to 256; upper 4 to 32",                                                    \
      "how many objects of a size move between a thread and the centre at once")                   \
    X(MB_THREAD_CACHE_MAX, BYTES, thread_cache_bytes_max, THREAD_CACHE_BYTES_MIN, GIB,             \
      "260K to 1G bytes", "4M; 8M with upper pools",                                               \
      "what a thread may cache")                                                                   \
    X(MB_POOL_MAX, SLOT, pool_bytes_max, SMALL_BYTES_MAX, POOL_BYTES_MAX,                          \
      "512 to 32K bytes", "512; 32K in the drop-in",                                               \
      "the largest request that the pools serve; what is larger goes to the system allocator")     \
    X(MB_CACHE_MAX, BYTES, cache_bytes_max, MIB, 1024 * GIB,                                       \
      "1M to 1024G bytes", "an eighth of the memory, at least 16M",                                \
      "what all threads together may cache")                                                       \
    X(MB_DECAY_MS, MILLISECONDS, decay_ms, 0, 86400000,                                            \
      "0 to 86400000 milliseconds, or -1 for never", "1000, or -1 with MB_HUGEPAGE=1",             \
      "how long free memory lies unused before it goes back to the operating system")              \
    X(MB_BACKGROUND, SWITCH, background, 0, 1,                                                     \
      "0 or 1", "0",                                                                               \
      "1: a thread of the library gives memory back, also while the process sleeps")               \
    X(MB_MEMORY_LIMIT, BYTES, memory_limit_bytes, MIB, 1024 * GIB,                                 \
      "1M to 1024G bytes", "none",                                                                 \
      "the most that the pools may commit together")                                               \
    X(MB_REGION_SIZE, BYTES, region_bytes, 64 * MIB, REGION_BYTES_MAX,                             \
      "64M to 4096G bytes", "as much as there is room for",                                        \
      "how much the pools may grow to together; mapped as it is used")                             \
    X(MB_HUGEPAGE, HUGE, huge_pages, 0, HUGE_IN_LARGE_POOLS,                                       \
      "0, 1 or large", "large",                                                                    \
      "large: huge pages in pools of 32 MiB or more; 1: in all, for far more memory; 0: none")     \
    X(MB_STATS, REPORT, stats_at_exit, 0, 1,                                                       \
      "0, 1, or a path from / on, in which %p is the process", "0",                                \
      "1: writes the statistics to stderr at exit; a path: appends them to that file")             \
    X(MB_PROFILE, BYTES, profile_bytes, 1, 1024 * GIB,                                             \
      "1 to 1024G bytes", "none",                                                                  \
      "takes a heap profile: the mean number of bytes between two samples, such as 512K")          \
    X(MB_PROFILE_FILE, PATH, profile_to_file, 0, 1,                                                \
      "a path from / on, in which %p is the process and %n the dump's number",                     \
      "memorybucket.%p.%n.heap",                                                                   \
      "where the heap profile is written, at exit and at each signal")                             \
    X(MB_PROFILE_SIGNAL, SIGNAL, profile_signal, 1, 64,                                            \
      "1 to 64, a signal's number", "none",                                                        \
      "a signal at which the heap profile is written")                                             \
    X(MB_EXPORT, EXPORT, exports, 0, EXPORT_TRIM,                                                  \
      "0, 1 or trim", "0",                                                                         \
      "1: publishes the statistics for mbstat(1); trim: and lets mbstat ask for mb_trim")          \
    X(MB_VERBOSE, SWITCH, verbose, 0, 1,                                                           \
      "0 or 1", "0",                                                                               \
      "1: says at the start what was configured")                                                  \
    X(MB_CHECK, CHECKS, check, 0, CHECK_ALL,                                                       \
      "0, 1, or a list of double_free,overflow,use_after_free,size,leak", "0",                     \
      "1: checks every object; a list: only for these faults")                                     \
    X(MB_CHECK_CONTINUE, SWITCH, check_continue, 0, 1,                                             \
      "0 or 1", "0",                                                                               \
      "1: a report of MB_CHECK does not end the process")

/* Variables of older versions. */
#define MBI_REMOVED_OPTIONS(X)                                                                     \
    X(MB_BLOCK_SIZE)                                                                               \
    X(MB_SANITIZER_POOLS)

enum option {
#define X(name, ...) OPTION_##name,
    MBI_OPTIONS(X)
#undef X
    OPTION_COUNT,
};

/* The longest text that the program may set, with the zero byte. */
enum { OPTION_TEXT_BYTES = 256 };

const char *mbi_option_name(enum option option);

/* OPTION_COUNT when there is none of that name. */
enum option mbi_option_named(const char *name);

/* The environment's text, and the program's; NULL without one. */
const char *mbi_option_given(enum option option);
const char *mbi_option_recorded(enum option option);

/*
 * Writes a line about a name that is no variable's: what became of it, or which one is nearly so.
 * Allocates nothing.
 */
void mbi_option_complain_of_name(const char *name);

/* Sets the program's value, of which it keeps a copy; NULL: none. Under LOCK_INIT. */
void mbi_option_record(enum option option, const char *text);

/*
 * Writes a line for each variable of the environment whose name is nearly one of the library's, or
 * that the library no longer has. Allocates nothing.
 */
void mbi_options_name_unknown(void);

#endif
