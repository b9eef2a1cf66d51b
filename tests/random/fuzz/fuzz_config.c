/*
 * fuzz_config: for libFuzzer: bytes are an environment, which mbi_config_read reads.
 *
 * An input is a list of settings, each ended by a zero byte: the first byte chooses the variable,
 * the others are its value. What the library made of it is compared with a second reading of the
 * same text, written from the README's table: either the value is accepted, within its range, or
 * there is one line of complaint that names it, and the default.
 */
#include "core/config.h"
#include "core/region.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VARIABLES = 19, VALUE_BYTES_MAX = 4096, SAID_BYTES_MAX = 1 << 14 };

enum variable {
    MAGAZINE_SIZE, THREAD_CACHE_MAX, CACHE_MAX, BLOCK_SIZE, DECAY_MS, BACKGROUND,
    MEMORY_LIMIT, REGION_SIZE, HUGEPAGE, STATS, VERBOSE, CHECK, CHECK_CONTINUE, SANITIZER_POOLS,
    POOL_MAX, PROFILE, PROFILE_FILE, PROFILE_SIGNAL, EXPORT,
};

/* In the order of the enumeration, sizes with their range. Two were removed, and are named so. */
static const struct {
    const char *name;
    size_t low;
    size_t high;
} variables[VARIABLES] = {
    { "MB_MAGAZINE_SIZE", 0, 0 },
    { "MB_THREAD_CACHE_MAX", 260 << 10, 1 << 30 },
    { "MB_CACHE_MAX", 1 << 20, (size_t)1024 << 30 },
    { "MB_BLOCK_SIZE", 0, 0 },
    { "MB_DECAY_MS", 0, 86400000 },
    { "MB_BACKGROUND", 0, 1 },
    { "MB_MEMORY_LIMIT", 1 << 20, (size_t)1024 << 30 },
    { "MB_REGION_SIZE", 64 << 20, (size_t)4096 << 30 },
    { "MB_HUGEPAGE", 0, HUGE_IN_LARGE_POOLS },
    { "MB_STATS", 0, 1 },
    { "MB_VERBOSE", 0, 1 },
    { "MB_CHECK", 0, CHECK_ALL },
    { "MB_CHECK_CONTINUE", 0, 1 },
    { "MB_SANITIZER_POOLS", 0, 0 },
    { "MB_POOL_MAX", 512, 32 << 10 },
    { "MB_PROFILE", 1, (size_t)1024 << 30 },
    { "MB_PROFILE_FILE", 0, 0 },
    { "MB_PROFILE_SIGNAL", 1, 64 },
    { "MB_EXPORT", 0, EXPORT_TRIM },
};

/* What the library wrote to stderr while it read. */
static char said[SAID_BYTES_MAX];
static size_t said_bytes;
static size_t said_writes;
static bool listening;

long __real_mbi_os_write(int file, const void *bytes, size_t count);
long __wrap_mbi_os_write(int file, const void *bytes, size_t count);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* In front of the library's write only: a sanitizer's report still reaches the terminal. */
long __wrap_mbi_os_write(int file, const void *bytes, size_t count)
{
    if (!listening || file != STDERR_FILENO || count >= sizeof said - said_bytes) {
        return __real_mbi_os_write(file, bytes, count);
    }
    memcpy(said + said_bytes, bytes, count);
    said_bytes += count;
    said_writes++;
    return (ssize_t)count;
}

#define EXPECT(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s does not hold: ", __FILE__, __LINE__, #condition);          \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fprintf(stderr, "; said: %.*s\n", (int)said_bytes, said);                              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void environment_set(const uint8_t *bytes, size_t count)
{
    char value[VALUE_BYTES_MAX];
    for (size_t i = 0; i < VARIABLES; i++) {
        unsetenv(variables[i].name);
    }
    while (count > 0) {
        size_t length = strnlen((const char *)bytes, count);
        if (length > 0 && length < sizeof value) {
            memcpy(value, bytes + 1, length - 1);
            value[length - 1] = '\0';
            setenv(variables[bytes[0] % VARIABLES].name, value, 1);
        }
        length += length < count;
        bytes += length;
        count -= length;
    }
}

/* Digits that make a number below 2^63; returns how many characters, 0 for none. */
static size_t digits_read(const char *text, size_t *number)
{
    size_t length = strspn(text, "0123456789");
    size_t zeros = strspn(text, "0");
    if (length - (zeros < length ? zeros : length) > 18) {
        *number = SIZE_MAX; /* out of every range */
        return length;
    }
    *number = length != 0 ? strtoull(text, NULL, 10) : 0;
    return length;
}

/* Digits, for sizes with at most one of K, M, G behind; within the variable's range. */
static bool number_read(enum variable variable, bool is_size, size_t *number)
{
    const char *value = getenv(variables[variable].name);
    size_t length = value != NULL ? digits_read(value, number) : 0;
    unsigned shift = 0;
    if (length == 0) {
        return false;
    }
    if (is_size && value[length] != '\0') {
        const char *unit = strchr("KMG", toupper((unsigned char)value[length]));
        if (unit == NULL) {
            return false;
        }
        shift = unit[0] == 'K' ? 10 : unit[0] == 'M' ? 20 : 30;
        length++;
    }
    if (value[length] != '\0' || *number > SIZE_MAX >> shift) {
        return false;
    }
    *number <<= shift;
    return *number >= variables[variable].low && *number <= variables[variable].high;
}

static bool is_set(enum variable variable)
{
    return getenv(variables[variable].name) != NULL;
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* As often as the variable's value was refused. */
static unsigned complaints_about(enum variable variable)
{
    char start[80];
    unsigned count = 0;
    snprintf(start, sizeof start, "memorybucket: %s=", variables[variable].name);
    for (const char *line = said; line < said + said_bytes; line = strchr(line, '\n') + 1) {
        count += starts_with(line, start);
    }
    return count;
}

static void expect_complaint(enum variable variable, bool expected)
{
    unsigned complaints = complaints_about(variable);
    EXPECT(complaints == expected, "%u complaints about %s=%s", complaints,
           variables[variable].name, getenv(variables[variable].name));
}

/* The value that a size has: that of the environment where it is good, else the default. */
static size_t size_expected(enum variable variable, size_t standard)
{
    size_t number;
    bool good = number_read(variable, true, &number);
    expect_complaint(variable, is_set(variable) && !good);
    return good ? number : standard;
}

static bool switch_expected(enum variable variable)
{
    const char *value = getenv(variables[variable].name);
    bool good = value == NULL || strcmp(value, "0") == 0 || strcmp(value, "1") == 0;
    expect_complaint(variable, !good);
    return good && value != NULL && value[0] == '1';
}

static bool stats_expected(void)
{
    const char *value = getenv(variables[STATS].name);
    if (value != NULL && value[0] == '/') {
        expect_complaint(STATS, false);
        return true;
    }
    return switch_expected(STATS);
}

static void check_decay(void)
{
    int64_t expected = 1000;
    size_t number = 0;
    const char *value = getenv("MB_DECAY_MS");
    bool good = value == NULL || strcmp(value, "-1") == 0 || number_read(DECAY_MS, false, &number);
    if (good && value != NULL) {
        expected = value[0] == '-' ? -1 : (int64_t)number;
    }
    expect_complaint(DECAY_MS, !good);
    EXPECT(mbi_config.decay_ms == expected, "%lld, not %lld", (long long)mbi_config.decay_ms,
           (long long)expected);
}

/* Of slots of 8, 16, ... 1,024 bytes, and then of 9, 10, 12, 14 and 16 eighths of each power of two. */
static size_t class_of(size_t bytes)
{
    size_t class = 128;
    size_t power = 1024;
    if (bytes <= power) {
        return (bytes + 7) / 8 - 1;
    }
    while (bytes > 2 * power) {
        class += 5;
        power *= 2;
    }
    size_t eighths = (bytes - power - 1) / (power / 8) + 1;
    return class + (eighths == 1 ? 0 : (eighths + 1) / 2);
}

static size_t slot_of(size_t bytes)
{
    while (class_of(bytes) == class_of(bytes + 1)) {
        bytes++;
    }
    return bytes;
}

/*
 * One entry "LOW-HIGH:ROUNDS" or, where `alone`, "ROUNDS", which is for all small sizes; returns
 * its end, NULL for a bad one.
 */
static const char *rounds_read(const char *text, bool alone, uint16_t rounds[])
{
    size_t low = 1;
    size_t high = 512;
    size_t number;
    size_t length;
    if (!alone) {
        length = digits_read(text, &low);
        if (length == 0 || text[length] != '-') {
            return NULL;
        }
        text += length + 1;
        length = digits_read(text, &high);
        if (length == 0 || text[length] != ':') {
            return NULL;
        }
        text += length + 1;
    }
    length = digits_read(text, &number);
    if (length == 0 || number < 8 || number > 4096 || low < 1 || low > high
        || high > 32 << 10) {
        return NULL;
    }
    for (size_t class = class_of(low); class <= class_of(high); class++) {
        rounds[class] = (uint16_t)((number + 7) / 8 * 8);
    }
    return text + length;
}

static bool magazine_sizes_read(const char *value, uint16_t rounds[])
{
    const char *end;
    if (value[strspn(value, "0123456789")] == '\0') {
        return rounds_read(value, true, rounds) != NULL;
    }
    do {
        end = rounds_read(value, false, rounds);
        value = end != NULL ? end + 1 : NULL;
    } while (end != NULL && *end == ',');
    return end != NULL && *end == '\0';
}

/* The bytes of two magazines of each small size. */
static size_t check_magazines(const uint16_t standard[])
{
    uint16_t expected[SIZE_CLASS_COUNT];
    const char *value = getenv("MB_MAGAZINE_SIZE");
    size_t pair_bytes = 0;
    memcpy(expected, standard, sizeof expected);
    bool good = value == NULL || magazine_sizes_read(value, expected);
    expect_complaint(MAGAZINE_SIZE, !good);
    if (!good) {
        memcpy(expected, standard, sizeof expected);
    }
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        unsigned rounds = mbi_config.magazine_rounds[class];
        bool small = class < 64;
        bool linear = class < 128;
        pair_bytes += small ? 2 * (size_t)rounds * (class + 1) * 8 : 0;
        EXPECT(rounds >= (linear ? 8 : 2) && rounds <= 4096 && (rounds % 8 == 0 || !linear),
               "class %zu: %u", class, rounds);
        /* A bound for threads' caches makes small magazines smaller. */
        EXPECT(rounds == expected[class]
                   || (small && rounds < expected[class] && is_set(THREAD_CACHE_MAX)),
               "class %zu: %u, not %u", class, rounds, expected[class]);
    }
    return pair_bytes;
}

static void check_removed(enum variable variable)
{
    char line[80];
    snprintf(line, sizeof line, "memorybucket: %s was removed and has no effect\n",
             variables[variable].name);
    EXPECT((strstr(said, line) != NULL) == is_set(variable), "%s", variables[variable].name);
}

/* Names separated by commas; false when one is unknown, empty ones included. */
static bool checks_read(const char *value, unsigned *checks)
{
    static const char *const names[] = { "double_free", "overflow", "use_after_free", "size",
                                         "leak" };
    enum { NAMES = sizeof names / sizeof names[0] };
    *checks = 0;
    if (strcmp(value, "0") == 0 || strcmp(value, "1") == 0) {
        *checks = value[0] == '1' ? CHECK_ALL : 0;
        return true;
    }
    for (;;) {
        size_t i = 0;
        size_t length = strcspn(value, ",");
        while (i < NAMES && (strlen(names[i]) != length || !starts_with(value, names[i]))) {
            i++;
        }
        if (i == NAMES) {
            return false;
        }
        *checks |= 1U << i;
        if (value[length] == '\0') {
            return true;
        }
        value += length + 1;
    }
}

static void check_checks(void)
{
    unsigned expected = 0;
    const char *value = getenv("MB_CHECK");
    bool good = value == NULL || checks_read(value, &expected);
    expect_complaint(CHECK, !good);
    EXPECT(mbi_config.check == (good ? expected : 0), "%u, not %u", mbi_config.check, expected);
    EXPECT(mbi_config.check_continue == switch_expected(CHECK_CONTINUE), "MB_CHECK_CONTINUE");
}

static void check_export(void)
{
    const char *value = getenv("MB_EXPORT");
    bool trims = value != NULL && strcmp(value, "trim") == 0;
    bool on = value != NULL && strcmp(value, "1") == 0;
    expect_complaint(EXPORT, value != NULL && !trims && !on && strcmp(value, "0") != 0);
    EXPECT(mbi_config.exports == (trims ? EXPORT_TRIM : on), "MB_EXPORT");
}

static void check_huge_pages(void)
{
    const char *value = getenv("MB_HUGEPAGE");
    bool all = value != NULL && strcmp(value, "1") == 0;
    bool never = value != NULL && strcmp(value, "0") == 0;
    expect_complaint(HUGEPAGE, value != NULL && !all && !never && strcmp(value, "large") != 0);
    EXPECT(mbi_config.huge_pages == (all ? HUGE_IN_ALL_POOLS : never ? HUGE_NEVER : HUGE_IN_LARGE_POOLS),
           "MB_HUGEPAGE");
}

/* The border, up to which pools serve, and what their share of a thread's cache leaves. */
static void check_border(size_t border, size_t spare_bytes)
{
    size_t upper_bytes = border > 512 ? spare_bytes / 3 * 2 : 0;
    EXPECT(mbi_config.pool_bytes_max == border, "%zu, not %zu", mbi_config.pool_bytes_max, border);
    EXPECT(mbi_config.upper_bytes_max == upper_bytes, "%zu of %zu", mbi_config.upper_bytes_max,
           spare_bytes);
    EXPECT(mbi_config.extra_bytes_max == spare_bytes - upper_bytes, "%zu of %zu",
           mbi_config.extra_bytes_max, spare_bytes);
}

static void check_profile(void)
{
    size_t number = 0;
    const char *path = getenv("MB_PROFILE_FILE");
    bool has_path = path != NULL && path[0] == '/';
    bool good = number_read(PROFILE_SIGNAL, false, &number);
    EXPECT(mbi_config.profile_bytes == size_expected(PROFILE, 0), "MB_PROFILE");
    EXPECT(mbi_config.profile_to_file == has_path, "MB_PROFILE_FILE");
    expect_complaint(PROFILE_FILE, path != NULL && !has_path);
    EXPECT(mbi_config.profile_signal == (good ? number : 0), "MB_PROFILE_SIGNAL");
    expect_complaint(PROFILE_SIGNAL, is_set(PROFILE_SIGNAL) && !good);
}

static void check_config(const uint16_t standard_rounds[])
{
    size_t pair_bytes = check_magazines(standard_rounds);
    size_t border = size_expected(POOL_MAX, 512);
    border = slot_of((border + 15) / 16 * 16); /* malloc's slots are multiples of 16 */
    size_t bound = size_expected(THREAD_CACHE_MAX, 4 << 20);
    size_t number;
    if (!number_read(THREAD_CACHE_MAX, true, &number)) {
        bound = 2 * pair_bytes > bound ? 2 * pair_bytes : bound;
        bound *= border > 512 ? 2 : 1;
    }
    EXPECT(mbi_config.thread_cache_bytes_max == bound, "%zu, not %zu",
           mbi_config.thread_cache_bytes_max, bound);
    EXPECT(pair_bytes <= bound, "%zu bytes in two magazines of each class, bound %zu", pair_bytes,
           bound);
    check_border(border, bound - pair_bytes);
    EXPECT(mbi_config.cache_bytes_max == size_expected(CACHE_MAX, 0), "MB_CACHE_MAX");
    check_huge_pages();
    EXPECT(mbi_config.block_bytes == 64 << 10, "block");
    check_removed(BLOCK_SIZE);
    check_removed(SANITIZER_POOLS);
    check_decay();
    EXPECT(mbi_config.background == switch_expected(BACKGROUND), "MB_BACKGROUND");
    bool exports = mbi_config.exports != EXPORT_OFF;
    EXPECT(mbi_config_wants_start()
               == (mbi_config.background || exports || is_set(CHECK) || is_set(PROFILE)),
           "read early");
    EXPECT(mbi_config.memory_limit_bytes == size_expected(MEMORY_LIMIT, SIZE_MAX), "limit");
    EXPECT(mbi_config.region_bytes == size_expected(REGION_SIZE, REGION_BYTES_MAX), "region");
    EXPECT(mbi_config.stats_at_exit == stats_expected(), "MB_STATS");
    EXPECT(mbi_config.verbose == switch_expected(VERBOSE), "MB_VERBOSE");
    check_checks();
    check_profile();
    check_export();
}

/* Each message is one line: a value with line breaks in it must not make more. */
static void check_lines(void)
{
    size_t lines = 0;
    for (size_t i = 0; i < said_bytes; i++) {
        lines += said[i] == '\n';
    }
    EXPECT(lines == said_writes, "%zu lines in %zu messages", lines, said_writes);
    EXPECT(said_bytes == 0 || said[said_bytes - 1] == '\n', "the last line has no end");
}

static void config_read(void)
{
    said_bytes = 0;
    said_writes = 0;
    listening = true;
    mbi_config_read();
    listening = false;
    said[said_bytes] = '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static uint16_t standard_rounds[SIZE_CLASS_COUNT];
    if (standard_rounds[0] == 0) {
        environment_set(NULL, 0);
        config_read();
        memcpy(standard_rounds, mbi_config.magazine_rounds, sizeof standard_rounds);
    }
    environment_set(bytes, count);
    config_read();
    check_lines();
    check_config(standard_rounds);
    return 0;
}
