/* config: defaults, the values' parsers, and the rule for bad values. */
#include "core/config.h"

#include "core/region.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

enum { DEFAULT_ROUNDS_MAX = 256, DEFAULT_DECAY_MS = 1000 };
#define DEFAULT_MAGAZINE_BYTES (16 * KIB)
#define BLOCK_BYTES (64 * KIB)

/* Twice 8 rounds in each of the 64 classes: 16 * (8 + 16 + ... + 512) bytes. */
#define THREAD_CACHE_BYTES_MIN (260 * KIB)
_Static_assert((size_t)MAGAZINE_ROUNDS_MIN * SIZE_STEP_BYTES * SIZE_CLASS_COUNT
                       * (SIZE_CLASS_COUNT + 1)
                   == THREAD_CACHE_BYTES_MIN,
               "the smallest bound holds two of the smallest magazines of every class");

enum kind { SWITCH, BYTES, MILLISECONDS, ROUNDS, REPORT, CHECKS };

struct config mbi_config;

static const struct rule {
    size_t low;
    size_t high;
    uint16_t offset; /* of the field in struct config, and its size */
    uint16_t bytes;
    uint8_t kind;
    char accepted[80];
} rules[] = {
#define X(name, kind, field, low, high, accepted, ...)                                             \
    { low, high, offsetof(struct config, field), sizeof mbi_config.field, kind, accepted },
    MBI_OPTIONS(X)
#undef X
};

static const struct config defaults = {
    .thread_cache_bytes_max = 4 * MIB,
    .block_bytes = BLOCK_BYTES,
    .region_bytes = REGION_BYTES_MAX,
    .memory_limit_bytes = SIZE_MAX,
    .decay_ms = DEFAULT_DECAY_MS,
};

/* Written with mbi_config. */
static bool decay_is_given;
static bool read_too_early;

static bool parse_switch(const char *text, bool *value)
{
    *value = text[0] == '1';
    return strcmp(text, "0") == 0 || strcmp(text, "1") == 0;
}

/* A switch, or where to; stats_exit.c reads the path. */
static bool parse_report(const char *text, bool *value)
{
    bool is_path = text[0] == '/';
    return parse_switch(text, value) || (*value = is_path);
}

/* Digits and at most one of K, M, G (or k, m, g). */
static bool parse_bytes(const char *text, const struct rule *rule, size_t *bytes)
{
    size_t unit = 1;
    if (!mbi_read_number(&text, bytes)) {
        return false;
    }
    switch (*text) {
    case 'K': case 'k': unit = KIB; text++; break;
    case 'M': case 'm': unit = MIB; text++; break;
    case 'G': case 'g': unit = GIB; text++; break;
    default: break;
    }
    return *text == '\0' && !__builtin_mul_overflow(*bytes, unit, bytes) && *bytes >= rule->low
           && *bytes <= rule->high;
}

static bool parse_milliseconds(const char *text, const struct rule *rule, int64_t *milliseconds)
{
    uint64_t number;
    if (strcmp(text, "-1") == 0) {
        *milliseconds = -1;
        return true;
    }
    if (!mbi_read_number(&text, &number) || *text != '\0' || number > rule->high) {
        return false;
    }
    *milliseconds = (int64_t)number;
    return true;
}

static bool parse_rounds(const char **text, uint32_t *rounds)
{
    uint64_t number;
    if (!mbi_read_number(text, &number) || number < MAGAZINE_ROUNDS_MIN
        || number > MAGAZINE_ROUNDS_MAX) {
        return false;
    }
    *rounds = (uint32_t)round_up(number, MAGAZINE_ROUNDS_STEP);
    return true;
}

/* "LOW-HIGH:ROUNDS", sizes in bytes; sets every class that serves a size of the range. */
static bool parse_rounds_range(const char **text, uint32_t rounds_of_class[])
{
    uint64_t low;
    uint64_t high;
    uint32_t rounds;
    if (!mbi_read_number(text, &low) || *(*text)++ != '-' || !mbi_read_number(text, &high)
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

/* Either "ROUNDS" for every class, or ranges separated by commas. */
static bool parse_magazine_rounds(const char *text, uint32_t rounds_of_class[])
{
    const char *cursor = text;
    uint32_t rounds;
    if (parse_rounds(&cursor, &rounds) && *cursor == '\0') {
        for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
            rounds_of_class[class] = rounds;
        }
        return true;
    }
    while (parse_rounds_range(&text, rounds_of_class)) {
        if (*text == '\0') {
            return true;
        }
        if (*text++ != ',') {
            return false;
        }
    }
    return false;
}

static const struct check_name {
    char name[16];
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
static bool parse_checks(const char *text, unsigned *checks)
{
    bool all;
    bool known = parse_switch(text, &all);
    *checks = known && all ? CHECK_ALL : 0;
    while (!known) {
        size_t length = strcspn(text, ",");
        unsigned kind = check_of_name(text, length);
        if (kind == 0) {
            return false;
        }
        *checks |= kind;
        text += length;
        known = *text++ == '\0';
    }
    return true;
}

/* Puts the value into its field; false for a bad one, and *config is the same. */
static bool parse_value(enum option option, const char *text, struct config *config)
{
    const struct rule *rule = &rules[option];
    struct config parsed;
    memcpy(&parsed, config, sizeof parsed);
    void *field = (char *)&parsed + rule->offset;
    bool good = false;
    switch ((enum kind)rule->kind) {
    case SWITCH: good = parse_switch(text, field); break;
    case BYTES: good = parse_bytes(text, rule, field); break;
    case MILLISECONDS: good = parse_milliseconds(text, rule, field); break;
    case ROUNDS: good = parse_magazine_rounds(text, field); break;
    case REPORT: good = parse_report(text, field); break;
    case CHECKS: good = parse_checks(text, field); break;
    }
    if (good) {
        memcpy(config, &parsed, sizeof parsed);
    }
    return good;
}

/* Whether the option has a value, and a good one. */
static bool read_option(enum option option)
{
    const char *text = mbi_option_text(option);
    if (text == NULL) {
        return false;
    }
    bool good = parse_value(option, text, &mbi_config);
    if (!good) {
        mbi_message("%s=%.80s is not valid; accepted: %s; using the default",
                    mbi_option_name(option), text, rules[option].accepted);
    }
    return good;
}

static uint32_t default_rounds(size_t class)
{
    size_t rounds = DEFAULT_MAGAZINE_BYTES / size_class_slot_bytes(class);
    return (uint32_t)size_min(round_down(rounds, MAGAZINE_ROUNDS_STEP), DEFAULT_ROUNDS_MAX);
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

void mbi_config_read(void)
{
    bool given[OPTION_COUNT];
    read_too_early = environ == NULL;
    memcpy(&mbi_config, &defaults, sizeof mbi_config);
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        mbi_config.magazine_rounds[class] = default_rounds(class);
    }
    mbi_options_name_unknown();
    for (enum option option = 0; option < OPTION_COUNT; option++) {
        given[option] = read_option(option);
    }

    if (given[OPTION_MB_THREAD_CACHE_MAX]) {
        shrink_magazines_to(mbi_config.thread_cache_bytes_max);
    } else { /* where larger magazines were asked for: room for four of each */
        mbi_config.thread_cache_bytes_max =
            size_max(mbi_config.thread_cache_bytes_max, 2 * pair_bytes());
    }
    mbi_config.extra_bytes_max = mbi_config.thread_cache_bytes_max - pair_bytes();
    decay_is_given = given[OPTION_MB_DECAY_MS];
    if (mbi_config.huge_pages) {
        /* The kernel gives a huge page only where all of it is committed. */
        mbi_config.block_bytes = HUGE_PAGE_BYTES;
        if (!decay_is_given) {
            mbi_config.decay_ms = -1; /* giving single pages back would split the huge ones */
        }
    }
    if (mbi_config.background && mbi_config.decay_ms < 0) {
        mbi_message("MB_BACKGROUND=1 has no effect, as nothing decays (MB_DECAY_MS=-1)");
    }
}

/*
 * Whether the library came up with this value, which makes `changed` of mbi_config. Paths of
 * MB_STATS, of which mbi_config knows only that there is one, are compared as texts.
 */
static bool has_value(enum option option, const char *value, const struct config *changed)
{
    const char *recorded = mbi_option_text(option);
    if (value == NULL || (recorded != NULL && strcmp(value, recorded) == 0)) {
        return value != NULL || recorded == NULL;
    }
    bool has_path = value[0] == '/' || (recorded != NULL && recorded[0] == '/');
    size_t offset = rules[option].offset;
    return !has_path
           && memcmp((const char *)changed + offset, (const char *)&mbi_config + offset,
                     rules[option].bytes) == 0;
}

int mbi_config_set_option(const char *name, const char *value, bool library_is_up)
{
    enum option option = name != NULL ? mbi_option_named(name) : OPTION_COUNT;
    struct config changed;
    memcpy(&changed, &mbi_config, sizeof changed);
    if (option == OPTION_COUNT
        || (value != NULL
            && (strlen(value) >= OPTION_TEXT_BYTES || !parse_value(option, value, &changed)))) {
        return -EINVAL;
    }
    if (mbi_option_is_in_environment(option)) {
        return 0;
    }
    if (!library_is_up) {
        mbi_option_record(option, value);
        return 0;
    }
    return has_value(option, value, &changed) ? 0 : -EBUSY;
}

void mbi_config_no_huge_pages(void)
{
    mbi_config.huge_pages = false;
    mbi_config.block_bytes = BLOCK_BYTES;
    if (!decay_is_given) {
        mbi_config.decay_ms = DEFAULT_DECAY_MS;
    }
}

bool mbi_config_wants_start(void)
{
    const char *background = mbi_option_text(OPTION_MB_BACKGROUND);
    return (background != NULL && strcmp(background, "1") == 0)
           || mbi_option_text(OPTION_MB_CHECK) != NULL;
}

bool mbi_config_wants_report(void)
{
    return mbi_option_text(OPTION_MB_STATS) != NULL;
}

void mbi_config_read_late(void)
{
    if (read_too_early) {
        (void)read_option(OPTION_MB_STATS);
    }
}
