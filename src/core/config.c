/* config: defaults, the parser, and the rule for bad values. */
#include "core/config.h"

#include "core/region.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

enum { DEFAULT_ROUNDS_MAX = 256, DEFAULT_DECAY_MS = 1000, DECAY_MS_MAX = 24 * 60 * 60 * 1000 };
#define DEFAULT_MAGAZINE_BYTES (16 * KIB)
#define DEFAULT_THREAD_CACHE_BYTES_MAX (4 * MIB)
#define DEFAULT_BLOCK_BYTES (64 * KIB)

/* Twice 8 rounds in each of the 64 classes: 16 * (8 + 16 + ... + 512) bytes. */
#define THREAD_CACHE_BYTES_MIN (260 * KIB)
#define THREAD_CACHE_BYTES_MAX (1 * GIB)
#define MEMORY_LIMIT_BYTES_MIN (1 * MIB)
#define MEMORY_LIMIT_BYTES_MAX (MIB * MIB)
#define CACHE_BYTES_MIN (1 * MIB)
#define CACHE_BYTES_MAX (MIB * MIB)
#define BLOCK_BYTES_MIN (4 * KIB)
#define BLOCK_BYTES_MAX (16 * MIB)

_Static_assert((size_t)MAGAZINE_ROUNDS_MIN * SIZE_STEP_BYTES * SIZE_CLASS_COUNT
                       * (SIZE_CLASS_COUNT + 1)
                   == THREAD_CACHE_BYTES_MIN,
               "the smallest bound holds two of the smallest magazines of every class");

struct config mbi_config;

static bool parse_number(const char **text, size_t *value)
{
    const char *cursor = *text;
    size_t number = 0;
    if (*cursor < '0' || *cursor > '9') {
        return false;
    }
    for (; *cursor >= '0' && *cursor <= '9'; cursor++) {
        if (__builtin_mul_overflow(number, (size_t)10, &number)
            || __builtin_add_overflow(number, (size_t)(*cursor - '0'), &number)) {
            return false;
        }
    }
    *text = cursor;
    *value = number;
    return true;
}

/* A number of bytes: digits and at most one of K, M, G (or k, m, g). */
static bool parse_bytes(const char *text, size_t *bytes)
{
    size_t unit = 1;
    if (!parse_number(&text, bytes)) {
        return false;
    }
    switch (*text) {
    case 'K': case 'k': unit = KIB; text++; break;
    case 'M': case 'm': unit = MIB; text++; break;
    case 'G': case 'g': unit = GIB; text++; break;
    default: break;
    }
    return *text == '\0' && !__builtin_mul_overflow(*bytes, unit, bytes);
}

static bool parse_rounds(const char **text, uint32_t *rounds)
{
    size_t number;
    if (!parse_number(text, &number) || number < MAGAZINE_ROUNDS_MIN
        || number > MAGAZINE_ROUNDS_MAX) {
        return false;
    }
    *rounds = (uint32_t)round_up(number, MAGAZINE_ROUNDS_STEP);
    return true;
}

/* "LOW-HIGH:ROUNDS", sizes in bytes; sets every class that serves a size of the range. */
static bool parse_rounds_range(const char **text, uint32_t rounds_of_class[])
{
    size_t low;
    size_t high;
    uint32_t rounds;
    if (!parse_number(text, &low) || *(*text)++ != '-' || !parse_number(text, &high)
        || *(*text)++ != ':' || !parse_rounds(text, &rounds)) {
        return false;
    }
    if (low < 1 || high < low || high > SMALL_BYTES_MAX) {
        return false;
    }
    for (size_t class = size_class_of(low); class <= size_class_of(high); class++) {
        rounds_of_class[class] = rounds;
    }
    return true;
}

/* Either "ROUNDS" for every class, or ranges separated by commas; nothing changes on failure. */
static bool parse_magazine_rounds(const char *text, uint32_t rounds_of_class[])
{
    uint32_t parsed[SIZE_CLASS_COUNT];
    memcpy(parsed, rounds_of_class, sizeof parsed);

    const char *cursor = text;
    uint32_t rounds;
    if (parse_rounds(&cursor, &rounds) && *cursor == '\0') {
        for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
            parsed[class] = rounds;
        }
    } else {
        cursor = text;
        for (;;) {
            if (!parse_rounds_range(&cursor, parsed)) {
                return false;
            }
            if (*cursor == '\0') {
                break;
            }
            if (*cursor++ != ',') {
                return false;
            }
        }
    }
    memcpy(rounds_of_class, parsed, sizeof parsed);
    return true;
}

static void complain(const char *name, const char *value, const char *accepted)
{
    mbi_message("%s=%.80s is not valid; accepted: %s; using the default", name, value, accepted);
}

/* True when the variable was set to a valid value, which is then in *bytes. */
static bool read_bytes(const char *name, size_t low, size_t high, const char *accepted,
                       size_t *bytes)
{
    const char *value = secure_getenv(name);
    size_t parsed;
    if (value == NULL) {
        return false;
    }
    if (!parse_bytes(value, &parsed) || parsed < low || parsed > high) {
        complain(name, value, accepted);
        return false;
    }
    *bytes = parsed;
    return true;
}

static bool read_switch(const char *name)
{
    const char *value = secure_getenv(name);
    if (value == NULL || strcmp(value, "0") == 0) {
        return false;
    }
    if (strcmp(value, "1") != 0) {
        complain(name, value, "0 or 1");
        return false;
    }
    return true;
}

/* A switch, or where to; stats_exit.c reads the path. */
static bool read_stats(void)
{
    const char *value = secure_getenv("MB_STATS");
    bool is_on = value != NULL && (strcmp(value, "1") == 0 || value[0] == '/');
    if (value != NULL && !is_on && strcmp(value, "0") != 0) {
        complain("MB_STATS", value, "0, 1, or a path from / on, in which %p is the process");
    }
    return is_on;
}

static int64_t read_decay_ms(int64_t standard)
{
    const char *value = secure_getenv("MB_DECAY_MS");
    if (value == NULL) {
        return standard;
    }
    if (strcmp(value, "-1") == 0) {
        return -1;
    }
    const char *cursor = value;
    size_t milliseconds;
    if (!parse_number(&cursor, &milliseconds) || *cursor != '\0' || milliseconds > DECAY_MS_MAX) {
        complain("MB_DECAY_MS", value, "0 to 86400000 milliseconds, or -1 for never");
        return standard;
    }
    return (int64_t)milliseconds;
}

static uint32_t default_rounds(size_t class)
{
    size_t rounds = DEFAULT_MAGAZINE_BYTES / size_class_slot_bytes(class);
    rounds = round_down(rounds, MAGAZINE_ROUNDS_STEP);
    return (uint32_t)(rounds < DEFAULT_ROUNDS_MAX ? rounds : DEFAULT_ROUNDS_MAX);
}

/* Bytes of two full magazines of every class, the pair that gives hysteresis. */
static size_t pair_bytes(void)
{
    size_t bytes = 0;
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        bytes += size_class_slot_bytes(class) * 2 * mbi_config.magazine_rounds[class];
    }
    return bytes;
}

/* Makes the magazines small enough for two of each to fit the thread cache's bound. */
static void shrink_magazines_to(size_t bytes_max)
{
    while (pair_bytes() > bytes_max) {
        for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
            uint32_t *rounds = &mbi_config.magazine_rounds[class];
            *rounds = (uint32_t)round_up(*rounds / 2, MAGAZINE_ROUNDS_STEP);
        }
    }
}

static void read_magazine_rounds(void)
{
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        mbi_config.magazine_rounds[class] = default_rounds(class);
    }
    const char *value = secure_getenv("MB_MAGAZINE_SIZE");
    if (value != NULL && !parse_magazine_rounds(value, mbi_config.magazine_rounds)) {
        complain("MB_MAGAZINE_SIZE", value,
                 "8 to 4096 rounds, or a list such as 8-64:256,65-512:64 (bytes:rounds)");
    }
}

bool mbi_config_wants_start(void)
{
    const char *background = secure_getenv("MB_BACKGROUND");
    return (background != NULL && strcmp(background, "1") == 0)
           || secure_getenv("MB_CHECK") != NULL;
}

bool mbi_config_wants_report(void)
{
    return secure_getenv("MB_STATS") != NULL;
}

static const struct check_name {
    const char *name;
    unsigned kind;
} check_names[] = {
    { "double_free", CHECK_DOUBLE_FREE },
    { "overflow", CHECK_OVERFLOW },
    { "use_after_free", CHECK_USE_AFTER_FREE },
    { "size", CHECK_SIZE },
    { "leak", CHECK_LEAK },
};

/* The check whose name is the first `length` characters; 0 when there is none. */
static unsigned check_of_name(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof check_names / sizeof check_names[0]; i++) {
        if (strlen(check_names[i].name) == length
            && strncmp(check_names[i].name, name, length) == 0) {
            return check_names[i].kind;
        }
    }
    return 0;
}

/* "0", "1", or names separated by commas. */
static bool parse_check(const char *text, unsigned *check)
{
    unsigned parsed = 0;
    if (strcmp(text, "0") == 0 || strcmp(text, "1") == 0) {
        *check = text[0] == '1' ? CHECK_ALL : 0;
        return true;
    }
    for (;;) {
        size_t length = strcspn(text, ",");
        unsigned kind = check_of_name(text, length);
        if (kind == 0) {
            return false;
        }
        parsed |= kind;
        text += length;
        if (*text++ == '\0') {
            *check = parsed;
            return true;
        }
    }
}

static unsigned read_check(void)
{
    const char *value = secure_getenv("MB_CHECK");
    unsigned check = 0;
    if (value != NULL && !parse_check(value, &check)) {
        complain("MB_CHECK", value,
                 "0, 1, or a list of double_free,overflow,use_after_free,size,leak");
    }
    return check;
}

void mbi_config_no_huge_pages(void)
{
    mbi_config.huge_pages = false;
    if (secure_getenv("MB_DECAY_MS") == NULL) {
        mbi_config.decay_ms = DEFAULT_DECAY_MS;
    }
}

static bool read_too_early;

void mbi_config_read_late(void)
{
    if (read_too_early) {
        mbi_config.stats_at_exit = read_stats();
    }
}

void mbi_config_read(size_t page_bytes)
{
    read_too_early = environ == NULL;
    mbi_config.block_bytes = DEFAULT_BLOCK_BYTES;
    mbi_config.region_bytes = REGION_BYTES_MAX;
    mbi_config.thread_cache_bytes_max = DEFAULT_THREAD_CACHE_BYTES_MAX;

    read_magazine_rounds();
    if (read_bytes("MB_THREAD_CACHE_MAX", THREAD_CACHE_BYTES_MIN, THREAD_CACHE_BYTES_MAX,
                   "260K to 1G", &mbi_config.thread_cache_bytes_max)) {
        shrink_magazines_to(mbi_config.thread_cache_bytes_max);
    } else if (2 * pair_bytes() > mbi_config.thread_cache_bytes_max) {
        /* Larger magazines were asked for, and no bound: leave room for four of each. */
        mbi_config.thread_cache_bytes_max = 2 * pair_bytes();
    }
    mbi_config.cache_bytes_max = 0;
    read_bytes("MB_CACHE_MAX", CACHE_BYTES_MIN, CACHE_BYTES_MAX, "1M to 1024G",
               &mbi_config.cache_bytes_max);
    mbi_config.extra_bytes_max = mbi_config.thread_cache_bytes_max - pair_bytes();
    read_bytes("MB_BLOCK_SIZE", BLOCK_BYTES_MIN, BLOCK_BYTES_MAX, "4K to 16M",
               &mbi_config.block_bytes);
    mbi_config.huge_pages = read_switch("MB_HUGEPAGE");
    if (mbi_config.huge_pages && mbi_config.block_bytes < HUGE_PAGE_BYTES) {
        /* The kernel gives one only where all of it is committed. */
        mbi_config.block_bytes = HUGE_PAGE_BYTES;
    }
    /* Giving single pages back would split the huge ones. */
    mbi_config.decay_ms = read_decay_ms(mbi_config.huge_pages ? -1 : DEFAULT_DECAY_MS);
    mbi_config.background = read_switch("MB_BACKGROUND");
    if (mbi_config.background && mbi_config.decay_ms < 0) {
        mbi_message("MB_BACKGROUND=1 has no effect, as nothing decays (MB_DECAY_MS=-1)");
    }
    mbi_config.memory_limit_bytes = SIZE_MAX;
    read_bytes("MB_MEMORY_LIMIT", MEMORY_LIMIT_BYTES_MIN, MEMORY_LIMIT_BYTES_MAX, "1M to 1024G",
               &mbi_config.memory_limit_bytes);
    size_t block_bytes = page_bytes;
    while (block_bytes < mbi_config.block_bytes) {
        block_bytes *= 2;
    }
    mbi_config.block_bytes = block_bytes;
    read_bytes("MB_REGION_SIZE", REGION_BYTES_MIN, REGION_BYTES_MAX, "64M to 2052G",
               &mbi_config.region_bytes);
    mbi_config.stats_at_exit = read_stats();
    mbi_config.verbose = read_switch("MB_VERBOSE");
    mbi_config.check = read_check();
    mbi_config.check_continue = read_switch("MB_CHECK_CONTINUE");
    mbi_config.sanitizer_pools = read_switch("MB_SANITIZER_POOLS");
}
