/*
 * config: what the MB_ variables of options.h mean, read once.
 *
 * Ladder: above options and rounds. Callers: region, pool, the thread caches, the exit report.
 * Written once, by the thread that initialises the library, before any other can see a pool;
 * constant from then on, so readers need no lock and no atomics.
 */
#ifndef MEMORYBUCKET_CORE_CONFIG_H
#define MEMORYBUCKET_CORE_CONFIG_H

#include "core/options.h"
#include "core/rounds.h"

/* What MB_CHECK turns on, a bit each. */
enum {
    CHECK_DOUBLE_FREE = 1,
    CHECK_OVERFLOW = 2,
    CHECK_USE_AFTER_FREE = 4,
    CHECK_SIZE = 8,
    CHECK_LEAK = 16,
    CHECK_ALL = 31,
};

/* What MB_EXPORT and MB_HUGEPAGE say. */
enum exports { EXPORT_OFF, EXPORT_ON, EXPORT_TRIM };
enum huge_pages { HUGE_NEVER, HUGE_IN_ALL_POOLS, HUGE_IN_LARGE_POOLS };

struct config {
    uint16_t magazine_rounds[SIZE_CLASS_COUNT]; /* MB_MAGAZINE_SIZE */
    size_t thread_cache_bytes_max;              /* MB_THREAD_CACHE_MAX */
    size_t cache_bytes_max;                     /* MB_CACHE_MAX; 0: the default */
    size_t extra_bytes_max; /* a thread's bytes less pairs of small magazines, and less the next */
    size_t upper_bytes_max; /* the share of all upper classes' magazines in a thread's bytes */
    size_t pool_bytes_max;  /* MB_POOL_MAX, rounded up to a slot; SMALL_BYTES_MAX when checked */
    size_t block_bytes;                         /* what a pool commits at once; a power of two */
    size_t region_bytes;                        /* MB_REGION_SIZE */
    size_t memory_limit_bytes;                  /* MB_MEMORY_LIMIT; SIZE_MAX: none */
    int64_t decay_ms;                           /* MB_DECAY_MS; -1: never */
    bool background;                            /* MB_BACKGROUND */
    uint8_t huge_pages;                         /* MB_HUGEPAGE: enum huge_pages */
    bool stats_at_exit;                         /* MB_STATS */
    size_t profile_bytes;                       /* MB_PROFILE; 0: none */
    bool profile_to_file;                       /* MB_PROFILE_FILE has a value */
    unsigned profile_signal;                    /* MB_PROFILE_SIGNAL; 0: none */
    uint8_t exports;                            /* MB_EXPORT: enum exports */
    bool verbose;                               /* MB_VERBOSE */
    unsigned check;                             /* MB_CHECK */
    bool check_continue;                        /* MB_CHECK_CONTINUE */
};

extern MBI_HIDDEN struct config mbi_config;

/* Whether MB_DECAY_MS has a value, and a good one. */
extern MBI_HIDDEN bool mbi_config_decay_is_given;

/* The classes that serve requests are those below. */
static inline size_t config_class_end(void)
{
    return size_class_of(mbi_config.pool_bytes_max) + 1;
}

/* Whether MB_CHECK asks for any of these. */
static inline bool config_checks(unsigned kinds)
{
    return (mbi_config.check & kinds) != 0;
}

/*
 * Fills mbi_config from the environment's values, else the program's, else the defaults. A bad
 * value of the environment gets one line on stderr: name, value, what is accepted and what is used.
 * Allocates nothing.
 */
void mbi_config_read(void);

/*
 * Sets the program's value for an option (mb_option_set), if the library is not up. NULL takes it
 * back. Under LOCK_INIT. Returns
 *   0        the value holds, or a good one of the environment does
 *   -EINVAL  there is no such option, or no such value of it; a line on stderr says what there is
 *   -EBUSY   the library is up, with another value
 */
int mbi_config_set_option(const char *name, const char *value, bool library_is_up);

/* The environment's value where it is accepted, else NULL. Any thread, no lock. */
const char *mbi_config_given(enum option option);

/* The value that holds: mbi_config_given's, else the program's; NULL: the default. */
const char *mbi_config_text(enum option option);

/* Whether MB_BACKGROUND, MB_CHECK, MB_EXPORT or MB_PROFILE want the library up from the start. */
bool mbi_config_wants_start(void);

/* Whether MB_STATS may want a report at exit, also where no configuration was read so far. */
bool mbi_config_wants_report(void);

/*
 * Reads MB_STATS again, if the configuration was read before the C library had an environment: a
 * program may allocate that early (.preinit_array).
 */
void mbi_config_read_late(void);

#endif
