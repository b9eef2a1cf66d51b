/* config: defaults, the values' parsers, and the rule for bad values. */
#include "core/config.h"

#include "core/large.h"
#include "core/limit.h"
#include "core/region.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { DEFAULT_DECAY_MS = 1000 };

enum kind { SWITCH, BYTES, SLOT, MILLISECONDS, ROUNDS, REPORT, PATH, SIGNAL, EXPORT, HUGE, CHECKS };

struct config mbi_config;
bool mbi_config_decay_is_given;

static const struct rule {
    size_t low;
    size_t high;
    uint16_t offset; /* of the field in struct config, and its size */
    uint16_t bytes;
    uint8_t kind;
    char accepted[80];
    char standard[40];
} rules[] = {
#define X(name, kind, field, low, high, accepted, standard, what)                                  \
    { low, high, offsetof(struct config, field), sizeof mbi_config.field,                          \
      kind, accepted, standard },
    MBI_OPTIONS(X)
#undef X
};

static const struct config defaults = {
    .thread_cache_bytes_max = THREAD_CACHE_BYTES_STANDARD,
    .block_bytes = 64 * KIB,
    .region_bytes = REGION_BYTES_MAX,
    .pool_bytes_max = LARGE_IS_ALL_OURS ? POOL_BYTES_MAX : SMALL_BYTES_MAX,
    .memory_limit_bytes = SIZE_MAX,
    .decay_ms = DEFAULT_DECAY_MS,
    .huge_pages = HUGE_IN_LARGE_POOLS,
};

/* Written with mbi_config. */
static bool read_too_early;

static bool parse_switch(const char *text, bool *value)
{
    *value = text[0] == '1';
    return strcmp(text, "0") == 0 || strcmp(text, "1") == 0;
}

/* A switch, or a path, which stats_exit.c reads. */
static bool parse_report(const char *text, bool *value)
{
    bool is_path = text[0] == '/';
    return parse_switch(text, value) || (*value = is_path);
}

/* profile_write.c reads the path itself. */
static bool parse_path(const char *text, bool *value)
{
    *value = text[0] == '/';
    return *value;
}

static bool parse_signal(const char *text, const struct rule *rule, unsigned *signal_number)
{
    uint64_t number;
    bool good = mbi_read_number(&text, &number) && *text == '\0' && number >= rule->low
                && number <= rule->high;
    *signal_number = good ? (unsigned)number : 0;
    return good;
}

/* "0", "1", or a word, which stands for 2. */
static MBI_SELDOM bool parse_switch_or(const char *word, const char *text, uint8_t *value)
{
    bool on;
    bool is_word = strcmp(text, word) == 0;
    bool good = parse_switch(text, &on) || is_word;
    *value = is_word ? 2 : on;
    return good;
}
_Static_assert(EXPORT_TRIM == 2 && HUGE_IN_LARGE_POOLS == 2, "as parse_switch_or has them");

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

/* The same for the size of a slot of malloc's: what is between two becomes the larger one. */
static bool parse_slot_bytes(const char *text, const struct rule *rule, size_t *bytes)
{
    bool good = parse_bytes(text, rule, bytes);
    *bytes = good ? size_class_slot_bytes(size_class_of(*bytes)) : *bytes;
    return good;
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

static bool parse_rounds(const char **text, uint16_t *rounds)
{
    uint64_t number;
    if (!mbi_read_number(text, &number) || number < MAGAZINE_ROUNDS_MIN
        || number > MAGAZINE_ROUNDS_MAX) {
        return false;
    }
    *rounds = (uint16_t)round_up(number, MAGAZINE_ROUNDS_STEP);
    return true;
}

/* The last class that serves requests of a size: in the drop-in malloc's, whose classes are odd. */
static size_t last_class_of(size_t size_bytes)
{
    size_t class = size_class_of(size_bytes);
    return LARGE_IS_ALL_OURS && class < LINEAR_CLASS_COUNT ? class | 1 : class;
}

/* "LOW-HIGH:ROUNDS", sizes in bytes; sets every class that serves a size of the range. */
static bool parse_rounds_range(const char **text, uint16_t rounds_of_class[])
{
    uint64_t low;
    uint64_t high;
    uint16_t rounds;
    if (!mbi_read_number(text, &low) || *(*text)++ != '-' || !mbi_read_number(text, &high)
        || *(*text)++ != ':' || !parse_rounds(text, &rounds)) {
        return false;
    }
    if (low < 1 || high < low || high > POOL_BYTES_MAX) {
        return false;
    }
    for (size_t class = size_class_of(low); class <= last_class_of(high); class++) {
        rounds_of_class[class] = rounds;
    }
    return true;
}

/* Either "ROUNDS" for every small class, or ranges separated by commas. */
static bool parse_magazine_rounds(const char *text, uint16_t rounds_of_class[])
{
    const char *cursor = text;
    uint16_t rounds;
    if (parse_rounds(&cursor, &rounds) && *cursor == '\0') {
        for (size_t class = 0; class < SMALL_CLASS_COUNT; class++) {
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

/* Puts the value into its field; false, and *config unchanged, for a bad one. */
static MBI_SELDOM bool parse_value(enum option option, const char *text, struct config *config)
{
    const struct rule *rule = &rules[option];
    struct config parsed;
    memcpy(&parsed, config, sizeof parsed);
    void *field = (char *)&parsed + rule->offset;
    bool good = false;
    switch ((enum kind)rule->kind) {
    case SWITCH: good = parse_switch(text, field); break;
    case BYTES: good = parse_bytes(text, rule, field); break;
    case SLOT: good = parse_slot_bytes(text, rule, field); break;
    case MILLISECONDS: good = parse_milliseconds(text, rule, field); break;
    case ROUNDS: good = parse_magazine_rounds(text, field); break;
    case REPORT: good = parse_report(text, field); break;
    case PATH: good = parse_path(text, field); break;
    case SIGNAL: good = parse_signal(text, rule, field); break;
    case EXPORT: good = parse_switch_or("trim", text, field); break;
    case HUGE: good = parse_switch_or("large", text, field); break;
    case CHECKS: good = parse_checks(text, field); break;
    }
    if (good) {
        memcpy(config, &parsed, sizeof parsed);
    }
    return good;
}

const char *mbi_config_given(enum option option)
{
    const char *text = mbi_option_given(option);
    if (text != NULL) {
        struct config ignored; /* not of mbi_config, which the start may be writing */
        memcpy(&ignored, &defaults, sizeof ignored);
        text = parse_value(option, text, &ignored) ? text : NULL;
    }
    return text;
}

const char *mbi_config_text(enum option option)
{
    const char *text = mbi_config_given(option);
    return text != NULL ? text : mbi_option_recorded(option);
}

/* What messages call the default: MB_POOL_MAX has one in the library and one in the drop-in. */
static const char *standard_of(enum option option)
{
    const char *border = LARGE_IS_ALL_OURS ? "32K" : "512";
    return option == OPTION_MB_POOL_MAX ? border : rules[option].standard;
}

/* Reads the option; whether it has a good value. A recorded one is good. */
static bool read_option(enum option option)
{
    const char *given = mbi_option_given(option);
    if (given != NULL && parse_value(option, given, &mbi_config)) {
        return true;
    }
    const char *recorded = mbi_option_recorded(option);
    if (given != NULL) {
        mbi_message("%s=%.60s is not valid; accepted: %s; using %s%.40s", mbi_option_name(option),
                    given, rules[option].accepted, recorded != NULL ? "" : "the default, ",
                    recorded != NULL ? recorded : standard_of(option));
    }
    return recorded != NULL && parse_value(option, recorded, &mbi_config);
}

void mbi_config_read(void)
{
    bool given[OPTION_COUNT];
    read_too_early = environ == NULL;
    memcpy(&mbi_config, &defaults, sizeof mbi_config);
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        mbi_config.magazine_rounds[class] = rounds_standard(class);
    }
    mbi_options_name_unknown();
    for (enum option option = 0; option < OPTION_COUNT; option++) {
        given[option] = read_option(option);
    }

    struct cache_bounds bounds = rounds_settle(
        mbi_config.magazine_rounds,
        given[OPTION_MB_THREAD_CACHE_MAX] ? mbi_config.thread_cache_bytes_max : 0,
        mbi_config.pool_bytes_max);
    mbi_config.thread_cache_bytes_max = bounds.thread_bytes;
    mbi_config.extra_bytes_max = bounds.extra_bytes;
    mbi_config.upper_bytes_max = bounds.upper_bytes;
    mbi_config_decay_is_given = given[OPTION_MB_DECAY_MS];
}

/*
 * Whether the value holds: the library came up with it, or mb_memory_limit_set set it. `changed` is
 * mbi_config with the value. Paths of MB_STATS are compared as texts, as mbi_config does not have
 * them.
 */
static bool has_value(enum option option, const char *value, const struct config *changed)
{
    if (option == OPTION_MB_MEMORY_LIMIT
        && bounded_most(&mbi_committed) != mbi_config.memory_limit_bytes) {
        return bounded_most(&mbi_committed)
               == (value != NULL ? changed->memory_limit_bytes : BOUNDED_NONE);
    }
    if (mbi_config_given(option) != NULL) {
        return true; /* the environment's value does */
    }
    const char *recorded = mbi_option_recorded(option);
    if (value == NULL || (recorded != NULL && strcmp(value, recorded) == 0)) {
        return value != NULL || recorded == NULL;
    }
    bool has_path = value[0] == '/' || (recorded != NULL && recorded[0] == '/');
    size_t offset = rules[option].offset;
    return !has_path
           && memcmp((const char *)changed + offset, (const char *)&mbi_config + offset,
                     rules[option].bytes) == 0;
}

/* Whether the option takes the value, which is in *changed then; else a line says what it takes. */
static bool takes_value(enum option option, const char *value, struct config *changed)
{
    if (strlen(value) >= OPTION_TEXT_BYTES) {
        mbi_message("%s=%.60s... is not valid; accepted: up to %d characters; "
                    "mb_option_set changes nothing",
                    mbi_option_name(option), value, OPTION_TEXT_BYTES - 1);
        return false;
    }
    if (!parse_value(option, value, changed)) {
        mbi_message("%s=%.60s is not valid; accepted: %s; mb_option_set changes nothing",
                    mbi_option_name(option), value, rules[option].accepted);
        return false;
    }
    return true;
}

MBI_SELDOM int mbi_config_set_option(const char *name, const char *value, bool library_is_up)
{
    enum option option = name != NULL ? mbi_option_named(name) : OPTION_COUNT;
    struct config changed;
    memcpy(&changed, &mbi_config, sizeof changed);
    if (name != NULL && option == OPTION_COUNT) {
        mbi_option_complain_of_name(name);
    }
    if (option == OPTION_COUNT || (value != NULL && !takes_value(option, value, &changed))) {
        return -EINVAL;
    }
    if (!library_is_up) {
        mbi_option_record(option, value);
        return 0;
    }
    return has_value(option, value, &changed) ? 0 : -EBUSY;
}

/* Also to a bad value, which the start then reports. */
static bool is_set(enum option option)
{
    return mbi_option_given(option) != NULL || mbi_option_recorded(option) != NULL;
}

bool mbi_config_wants_start(void)
{
    const char *background = mbi_config_text(OPTION_MB_BACKGROUND);
    const char *exports = mbi_config_text(OPTION_MB_EXPORT);
    return (background != NULL && strcmp(background, "1") == 0)
           || (exports != NULL && strcmp(exports, "0") != 0) || is_set(OPTION_MB_CHECK)
           || is_set(OPTION_MB_PROFILE);
}

bool mbi_config_wants_report(void)
{
    return is_set(OPTION_MB_STATS);
}

void mbi_config_read_late(void)
{
    if (read_too_early) {
        (void)read_option(OPTION_MB_STATS);
    }
}
