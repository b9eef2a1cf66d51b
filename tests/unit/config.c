/* config: values, suffixes, and the rule for bad values. */
#include "core/config.h"

#include "core/limit.h"
#include "core/region.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <stdlib.h>

static void read_with(const char *name, const char *value)
{
    setenv(name, value, 1);
    mbi_config_read();
    unsetenv(name);
}

static size_t loaded_bytes(void)
{
    size_t bytes = 0;
    for (size_t class = 0; class < SMALL_CLASS_COUNT; class++) {
        bytes += mbi_config.magazine_rounds[class] * size_class_slot_bytes(class);
    }
    return bytes;
}

Test(config, defaults)
{
    unsetenv("MB_REGION_SIZE");
    mbi_config_read();
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        uint32_t rounds = mbi_config.magazine_rounds[class];
        size_t bytes = rounds * size_class_slot_bytes(class);
        bool small = class < SMALL_CLASS_COUNT;
        cr_assert(rounds >= (small ? 32 : 4) && rounds <= (small ? 256 : 32));
        cr_assert(class >= LINEAR_CLASS_COUNT || rounds % MAGAZINE_ROUNDS_STEP == 0);
        cr_assert(bytes <= (small ? 16384 : 65536) || rounds == 4);
    }
    cr_assert_eq(mbi_config.pool_bytes_max, SMALL_BYTES_MAX);
    cr_assert_eq(mbi_config.upper_bytes_max, 0);
    cr_assert_eq(mbi_config.region_bytes, REGION_BYTES_MAX);
    cr_assert_eq(mbi_config.block_bytes, 64 << 10);
    cr_assert_eq(mbi_config.thread_cache_bytes_max, 4 << 20);
    cr_assert_not(mbi_config.stats_at_exit);
    cr_assert_not(mbi_config.verbose);
    cr_assert_eq(mbi_config.huge_pages, HUGE_IN_LARGE_POOLS);
}

Test(config, one_magazine_size_for_all)
{
    read_with("MB_MAGAZINE_SIZE", "40");
    cr_assert_eq(mbi_config.magazine_rounds[0], 40);
    cr_assert_eq(mbi_config.magazine_rounds[63], 40);
    read_with("MB_MAGAZINE_SIZE", "41");
    cr_assert_eq(mbi_config.magazine_rounds[0], 48, "rounded up to whole cache lines");
}

Test(config, magazine_sizes_by_range)
{
    read_with("MB_MAGAZINE_SIZE", "8-64:256,65-512:64");
    cr_assert_eq(mbi_config.magazine_rounds[0], 256);
    cr_assert_eq(mbi_config.magazine_rounds[7], 256);
    cr_assert_eq(mbi_config.magazine_rounds[8], 64);
    cr_assert_eq(mbi_config.magazine_rounds[63], 64);
    read_with("MB_MAGAZINE_SIZE", "64-64:8");
    cr_assert_eq(mbi_config.magazine_rounds[7], 8);
    cr_assert_eq(mbi_config.magazine_rounds[8], 224, "the others keep their default");
}

Test(config, thread_cache_bound_holds_two_magazines_of_each_class)
{
    read_with("MB_THREAD_CACHE_MAX", "500K");
    cr_assert_eq(mbi_config.thread_cache_bytes_max, 500 << 10);
    cr_assert_leq(2 * loaded_bytes(), 500 << 10);
    cr_assert_eq(mbi_config.extra_bytes_max, (500 << 10) - 2 * loaded_bytes());
    read_with("MB_THREAD_CACHE_MAX", "260K");
    cr_assert_eq(2 * loaded_bytes(), 260 << 10);
    cr_assert_eq(mbi_config.magazine_rounds[0], 8);
    cr_assert_eq(mbi_config.extra_bytes_max, 0);
}

Test(config, larger_magazines_raise_the_default_bound)
{
    read_with("MB_MAGAZINE_SIZE", "4096");
    cr_assert_eq(mbi_config.thread_cache_bytes_max, 4 * loaded_bytes());
}

Test(config, sizes_take_suffixes)
{
    static const struct {
        const char *text;
        size_t bytes;
    } values[] = { { "1048576", 1 << 20 }, { "1024K", 1 << 20 }, { "1024k", 1 << 20 },
                   { "1M", 1 << 20 },      { "3m", 3 << 20 },    { "1073741825", (1 << 30) + 1 },
                   { "1g", 1 << 30 },      { "0001M", 1 << 20 } };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        read_with("MB_MEMORY_LIMIT", values[i].text);
        cr_assert_eq(mbi_config.memory_limit_bytes, values[i].bytes, "%s", values[i].text);
    }
    read_with("MB_REGION_SIZE", "8G");
    cr_assert_eq(mbi_config.region_bytes, (size_t)8 << 30);
}

Test(config, switches)
{
    read_with("MB_STATS", "1");
    cr_assert(mbi_config.stats_at_exit);
    read_with("MB_STATS", "0");
    cr_assert_not(mbi_config.stats_at_exit);
    read_with("MB_VERBOSE", "1");
    cr_assert(mbi_config.verbose);
    read_with("MB_HUGEPAGE", "1");
    cr_assert_eq(mbi_config.huge_pages, HUGE_IN_ALL_POOLS);
    read_with("MB_HUGEPAGE", "0");
    cr_assert_eq(mbi_config.huge_pages, HUGE_NEVER);
    read_with("MB_HUGEPAGE", "large");
    cr_assert_eq(mbi_config.huge_pages, HUGE_IN_LARGE_POOLS);
}

/* Each line on stderr names the variable, its value and what is accepted. */
/* What pools serve up to is a slot's size, and one that malloc's requests have. */
Test(config, the_border_is_rounded_up_to_a_slot)
{
    static const size_t borders[][2] = { { 512, 512 },   { 513, 528 },     { 520, 528 },
                                         { 528, 528 },   { 700, 704 },     { 1024, 1024 },
                                         { 1025, 1152 }, { 1153, 1280 },   { 1537, 1792 },
                                         { 4096, 4096 }, { 4097, 4608 },   { 28673, 32768 },
                                         { 32768, 32768 } };
    for (size_t i = 0; i < sizeof borders / sizeof borders[0]; i++) {
        char value[16];
        snprintf(value, sizeof value, "%zu", borders[i][0]);
        read_with("MB_POOL_MAX", value);
        cr_assert_eq(mbi_config.pool_bytes_max, borders[i][1], "%s gives %zu", value,
                     mbi_config.pool_bytes_max);
        cr_assert_eq(config_class_end(), size_class_of(borders[i][1]) + 1);
        size_t spare = mbi_config.extra_bytes_max + mbi_config.upper_bytes_max;
        cr_assert_eq(mbi_config.upper_bytes_max, borders[i][1] > 512 ? spare / 3 * 2 : 0);
    }
}

Test(config, bad_values_are_named_and_change_nothing, .init = cr_redirect_stderr)
{
    static const char *const bad[][2] = {
        { "MB_MAGAZINE_SIZE", "" },          { "MB_MAGAZINE_SIZE", "7" },
        { "MB_MAGAZINE_SIZE", "4097" },      { "MB_MAGAZINE_SIZE", "12x" },
        { "MB_MAGAZINE_SIZE", "8-64" },      { "MB_MAGAZINE_SIZE", "8-64:256," },
        { "MB_MAGAZINE_SIZE", "0-64:16" },   { "MB_MAGAZINE_SIZE", "64-8:16" },
        { "MB_MAGAZINE_SIZE", "8-32769:16" },  { "MB_MAGAZINE_SIZE", "8-64:256;65-512:64" },
        { "MB_THREAD_CACHE_MAX", "259K" },   { "MB_THREAD_CACHE_MAX", "2G" },
        { "MB_THREAD_CACHE_MAX", "-1" },     { "MB_CACHE_MAX", "1025G" },
        { "MB_CACHE_MAX", "1023K" },         { "MB_MEMORY_LIMIT", "64MB" },
        { "MB_MEMORY_LIMIT", " 64M" },       { "MB_REGION_SIZE", "63M" },
        { "MB_REGION_SIZE", "4097G" },       { "MB_REGION_SIZE", "99999999999999999999" },
        { "MB_REGION_SIZE", "99999999999G" }, { "MB_STATS", "yes" },
        { "MB_STATS", "" },                  { "MB_VERBOSE", "2" },
        { "MB_HUGEPAGE", "yes" },            { "MB_HUGEPAGE", "2" },
        { "MB_HUGEPAGE", "larger" },         { "MB_DECAY_MS", "-2" },
        { "MB_DECAY_MS", "1s" },             { "MB_DECAY_MS", "86400001" },
        { "MB_POOL_MAX", "" },               { "MB_POOL_MAX", "511" },
        { "MB_POOL_MAX", "32769" },          { "MB_POOL_MAX", "33K" },
        { "MB_POOL_MAX", "0" },              { "MB_POOL_MAX", "-1" },
        { "MB_POOL_MAX", "abc" },            { "MB_POOL_MAX", "32KB" },
    };
    enum { COUNT = sizeof bad / sizeof bad[0] };
    unsetenv("MB_REGION_SIZE");
    mbi_config_read();
    struct config defaults = mbi_config;
    for (size_t i = 0; i < COUNT; i++) {
        read_with(bad[i][0], bad[i][1]);
        cr_assert_arr_eq(&mbi_config, &defaults, sizeof defaults, "%s=%s", bad[i][0], bad[i][1]);
    }
    fflush(stderr);
    FILE *messages = cr_get_redirected_stderr();
    char line[512];
    for (size_t i = 0; i < COUNT; i++) {
        char expected[128];
        snprintf(expected, sizeof expected, "memorybucket: %s=%s is not valid; accepted: ",
                 bad[i][0], bad[i][1]);
        cr_assert_not_null(fgets(line, sizeof line, messages), "no line for %s", expected);
        cr_assert_eq(strncmp(line, expected, strlen(expected)), 0, "%s", line);
    }
}

static unsigned check_of(const char *value)
{
    setenv("MB_CHECK", value, 1);
    mbi_config_read();
    return mbi_config.check;
}

Test(config, checks_are_all_some_or_none)
{
    cr_assert_eq(check_of("0"), 0);
    cr_assert_eq(check_of("1"), CHECK_ALL);
    cr_assert_eq(check_of("leak"), CHECK_LEAK);
    cr_assert_eq(check_of("double_free,size"), CHECK_DOUBLE_FREE | CHECK_SIZE);
    cr_assert_eq(check_of("size,size,use_after_free,overflow"),
                 CHECK_SIZE | CHECK_USE_AFTER_FREE | CHECK_OVERFLOW);
}

Test(config, bad_checks_are_refused_whole)
{
    static const char *const bad[] = { "", "2", ",", "leak,", ",leak", "leak,,size", "leaks",
                                       "lea", "LEAK", "leak size", "1,leak" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(check_of(bad[i]), 0, "%s", bad[i]);
    }
}

Test(config, a_value_with_line_breaks_makes_one_line, .init = cr_redirect_stderr)
{
    char line[512];
    read_with("MB_STATS", "1\nmemorybucket: all is well\n");
    fflush(stderr);
    FILE *messages = cr_get_redirected_stderr();
    cr_assert_not_null(fgets(line, sizeof line, messages));
    cr_assert_not_null(strstr(line, "MB_STATS=1?memorybucket: all is well? is not valid"));
}

/* Each line that was written to stderr, and whether there is another one. */
static bool next_line(char line[512])
{
    return fgets(line, 512, cr_get_redirected_stderr()) != NULL;
}

/* One good value of every option, none of them the default. */
static const char *const values[][2] = {
    { "MB_MAGAZINE_SIZE", "8-64:512" }, { "MB_THREAD_CACHE_MAX", "500K" },
    { "MB_POOL_MAX", "4K" },            { "MB_CACHE_MAX", "3M" },
    { "MB_DECAY_MS", "250" },
    { "MB_BACKGROUND", "1" },           { "MB_MEMORY_LIMIT", "1G" },
    { "MB_REGION_SIZE", "64M" },        { "MB_HUGEPAGE", "1" },
    { "MB_STATS", "/tmp/statistics" },  { "MB_EXPORT", "trim" },
    { "MB_VERBOSE", "1" },
    { "MB_CHECK", "leak,size" },        { "MB_CHECK_CONTINUE", "1" },
    { "MB_PROFILE", "512K" },           { "MB_PROFILE_FILE", "/tmp/%p" },
    { "MB_PROFILE_SIGNAL", "12" },
};
_Static_assert(sizeof values / sizeof values[0] == OPTION_COUNT, "every option");

static void forget_environment(void)
{
    for (enum option option = 0; option < OPTION_COUNT; option++) {
        unsetenv(mbi_option_name(option));
    }
}

static struct config read_now(void)
{
    mbi_config_read();
    return mbi_config;
}

Test(config, a_call_is_as_good_as_the_environment, .init = forget_environment)
{
    struct config standard = read_now();
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *name = values[i][0];
        char value[64];
        cr_assert_str_eq(mbi_option_name(mbi_option_named(name)), name);
        read_with(name, values[i][1]);
        struct config by_environment = mbi_config;
        cr_assert_arr_neq(&by_environment, &standard, sizeof standard, "%s", name);

        snprintf(value, sizeof value, "%s", values[i][1]);
        cr_assert_eq(mbi_config_set_option(name, value, false), 0);
        memset(value, 'x', sizeof value - 1); /* it was copied */
        struct config by_call = read_now();
        cr_assert_arr_eq(&by_call, &by_environment, sizeof by_call, "%s", name);

        cr_assert_eq(mbi_config_set_option(name, NULL, false), 0);
        struct config taken_back = read_now();
        cr_assert_arr_eq(&taken_back, &standard, sizeof standard, "%s", name);
    }
}

Test(config, the_environment_wins_over_a_call, .init = forget_environment)
{
    setenv("MB_DECAY_MS", "7", 1);
    cr_assert_eq(mbi_config_set_option("MB_DECAY_MS", "8", false), 0);
    cr_assert_eq(read_now().decay_ms, 7);
    cr_assert_eq(mbi_config_set_option("MB_DECAY_MS", "9", true), 0, "also later");
    setenv("MB_DECAY_MS", "", 1);
    cr_assert_eq(read_now().decay_ms, 8, "but a bad value of it does not");
    cr_assert_eq(mbi_config_set_option("MB_DECAY_MS", "8", true), 0);
    cr_assert_eq(mbi_config_set_option("MB_DECAY_MS", "9", true), -EBUSY);
    unsetenv("MB_DECAY_MS");
    cr_assert_eq(read_now().decay_ms, 8, "what came late was not recorded");
    setenv("MB_DECAY_MS", "7", 1);
    cr_assert_eq(read_now().decay_ms, 7, "also where it comes later");
}

Test(config, calls_with_bad_names_and_values_change_nothing, .init = forget_environment)
{
    static char long_path[OPTION_TEXT_BYTES + 1];
    static const char *const bad[][2] = {
        { NULL, "1" },           { "", "1" },           { "MB_", "1" },
        { "MB_MAGAZIN_SIZE", "8" }, { "mb_stats", "1" }, { "STATS", "1" },
        { "MB_BLOCK_SIZE", "4K" }, { "MB_STATS ", "1" }, { "MB_STATS", "" },
        { "MB_STATS", "2" },     { "MB_STATS", long_path }, { "MB_DECAY_MS", "soon" },
        { "MB_DECAY_MS", "86400001" }, { "MB_CHECK", "leaks" }, { "MB_CACHE_MAX", "-1" },
        { "MB_MAGAZINE_SIZE", "8-64:256," }, { "MB_BLOCK_SIZE", NULL }, { NULL, NULL },
        { "MB_POOL_MAX", "511" }, { "MB_POOL_MAX", "33K" }, { "MB_POOL_MAX", "" },
        { "MB_PROFILE", "0" }, { "MB_PROFILE_FILE", "heap" }, { "MB_PROFILE_SIGNAL", "0" },
        { "MB_PROFILE_SIGNAL", "65" }, { "MB_PROFILE_SIGNAL", "USR1" },
    };
    struct config standard = read_now();
    memset(long_path, '/', OPTION_TEXT_BYTES);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (unsigned is_up = 0; is_up < 2; is_up++) {
            cr_assert_eq(mbi_config_set_option(bad[i][0], bad[i][1], is_up), -EINVAL, "%s=%s",
                         bad[i][0], bad[i][1]);
        }
    }
    struct config now = read_now();
    cr_assert_arr_eq(&now, &standard, sizeof standard);
    long_path[OPTION_TEXT_BYTES - 1] = '\0';
    cr_assert_eq(mbi_config_set_option("MB_STATS", long_path, false), 0, "the longest");
    cr_assert_str_eq(mbi_option_recorded(OPTION_MB_STATS), long_path);
}

/* One line each, which says what is accepted; none about a NULL. */
Test(config, calls_that_are_refused_are_explained, .init = cr_redirect_stderr)
{
    static char long_path[OPTION_TEXT_BYTES + 1];
    static const char *const refused[][3] = {
        { "MB_POOL_MAX", "511",
          "MB_POOL_MAX=511 is not valid; accepted: 512 to 32K bytes; mb_option_set changes nothing" },
        { "MB_POOL_MAX", "33K",
          "MB_POOL_MAX=33K is not valid; accepted: 512 to 32K bytes; mb_option_set changes nothing" },
        { "MB_VERBOSE", "yes", "MB_VERBOSE=yes is not valid; accepted: 0 or 1; mb_option_set changes nothing" },
        { "MB_STATS", long_path, "... is not valid; accepted: up to 255 characters; mb_option_set changes nothing" },
        { "MB_POOL_MX", "1K", "MB_POOL_MX has no effect; did you mean MB_POOL_MAX?" },
        { "MB_BLOCK_SIZE", NULL, "MB_BLOCK_SIZE was removed and has no effect" },
        { "MB_NUMBER_OF_POOLS_THAT_THERE_ARE", "64", "there is no option MB_NUMBER_OF_POOLS_THAT_THERE_ARE" },
        { "pools", "64", "there is no option pools" }, { "", "64", "there is no option " },
    };
    char line[512];
    forget_environment();
    memset(long_path, '/', OPTION_TEXT_BYTES);
    cr_assert_eq(mbi_config_set_option(NULL, "1", false), -EINVAL);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        for (unsigned is_up = 0; is_up < 2; is_up++) {
            cr_assert_eq(mbi_config_set_option(refused[i][0], refused[i][1], is_up), -EINVAL);
            fflush(stderr);
            cr_assert(next_line(line));
            line[strcspn(line, "\n")] = '\0';
            size_t length = strlen(line);
            size_t end = strlen(refused[i][2]);
            cr_assert_eq(strncmp(line, "memorybucket: ", 14), 0, "%s", line);
            cr_assert(length >= end && strcmp(line + length - end, refused[i][2]) == 0, "%s", line);
        }
    }
}

Test(config, later_calls_are_told_what_holds, .init = forget_environment)
{
    static const struct {
        const char *name;
        const char *value;
        int result;
    } later[] = {
        { "MB_DECAY_MS", "1000", 0 },      { "MB_DECAY_MS", "01000", 0 },
        { "MB_DECAY_MS", "999", -EBUSY },  { "MB_DECAY_MS", NULL, 0 },
        { "MB_REGION_SIZE", "4096G", 0 },  { "MB_REGION_SIZE", "1G", -EBUSY },
        { "MB_MEMORY_LIMIT", "2M", 0 },    { "MB_MEMORY_LIMIT", "2048K", 0 },
        { "MB_MEMORY_LIMIT", "3M", -EBUSY }, { "MB_MEMORY_LIMIT", NULL, -EBUSY },
        { "MB_MAGAZINE_SIZE", "8-8:256", 0 }, { "MB_MAGAZINE_SIZE", "8-8:248", -EBUSY },
        { "MB_STATS", "/a", 0 },           { "MB_STATS", "/b", -EBUSY },
        { "MB_STATS", "1", -EBUSY },       { "MB_STATS", "0", -EBUSY },
        { "MB_CHECK", "0", 0 },            { "MB_CHECK", "1", -EBUSY },
        { "MB_POOL_MAX", "2100", 0 },      { "MB_POOL_MAX", "2304", 0 },
        { "MB_POOL_MAX", "2049", 0 },      { "MB_POOL_MAX", "2K", -EBUSY },
        { "MB_POOL_MAX", "2305", -EBUSY }, { "MB_POOL_MAX", NULL, -EBUSY },
    };
    cr_assert_eq(mbi_config_set_option("MB_MEMORY_LIMIT", "2M", false), 0);
    cr_assert_eq(mbi_config_set_option("MB_POOL_MAX", "2100", false), 0);
    cr_assert_eq(mbi_config_set_option("MB_STATS", "/a", false), 0);
    struct config before = read_now();
    (void)bounded_set_most(&mbi_committed, before.memory_limit_bytes); /* as startup does */
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
        cr_assert_eq(mbi_config_set_option(later[i].name, later[i].value, true), later[i].result,
                     "%s=%s", later[i].name, later[i].value);
    }
    cr_assert_arr_eq(&mbi_config, &before, sizeof before);
}

Test(config, the_memory_limit_in_force_answers, .init = forget_environment)
{
    static const struct {
        size_t bytes;
        const char *value;
        int result;
    } later[] = {
        { 3 << 20, "3M", 0 },     { 3 << 20, "2M", -EBUSY },     { 3 << 20, NULL, -EBUSY },
        { 12345, "1M", -EBUSY },  { BOUNDED_NONE, "2M", -EBUSY },  { BOUNDED_NONE, NULL, 0 },
        { 2 << 20, "2M", 0 },     { 2 << 20, "3M", -EBUSY },
    };
    for (unsigned by_environment = 0; by_environment < 2; by_environment++) {
        if (by_environment) {
            setenv("MB_MEMORY_LIMIT", "2M", 1);
        }
        cr_assert_eq(mbi_config_set_option("MB_MEMORY_LIMIT", "2M", false), 0);
        mbi_config_read();
        for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
            (void)bounded_set_most(&mbi_committed, later[i].bytes);
            bool wins = by_environment && later[i].bytes == 2 << 20;
            cr_assert_eq(mbi_config_set_option("MB_MEMORY_LIMIT", later[i].value, true),
                         wins ? 0 : later[i].result, "%zu bytes, %s", later[i].bytes,
                         later[i].value);
        }
    }
}

/* A bad value is replaced by the program's, or the default, and the message names that one. */
Test(config, what_is_used_for_a_bad_value_is_named, .init = cr_redirect_stderr)
{
    static const char *const said[][2] = {
        { "MB_DECAY_MS", "0 to 86400000 milliseconds, or -1 for never; using the default, 1000, "
                         "or -1 with MB_HUGEPAGE=1" },
        { "MB_CACHE_MAX", "1M to 1024G bytes; using the default, an eighth of the memory, at least 16M" },
        { "MB_POOL_MAX", "512 to 32K bytes; using the default, 512" },
        { "MB_MAGAZINE_SIZE", "8 to 4096 objects, or a list such as 8-64:256,65-512:64 "
                              "(sizes:objects); using the default, 16 KiB worth, up to 256; upper 4 to 32" },
    };
    char line[512];
    char expected[256];
    char value[80];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    forget_environment();
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        read_with(said[i][0], value);
        fflush(stderr);
        cr_assert(next_line(line));
        snprintf(expected, sizeof expected, "memorybucket: %s=%.60s is not valid; accepted: %s\n",
                 said[i][0], value, said[i][1]);
        cr_assert_str_eq(line, expected);
    }
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        cr_assert_eq(mbi_config_set_option(values[i][0], values[i][1], false), 0);
        struct config by_call = read_now();
        read_with(values[i][0], "bad");
        cr_assert_arr_eq(&mbi_config, &by_call, sizeof by_call, "%s", values[i][0]);
        fflush(stderr);
        cr_assert(next_line(line));
        snprintf(expected, sizeof expected, "; using %s\n", values[i][1]);
        cr_assert_not_null(strstr(line, expected), "%s", line);
        cr_assert_eq(mbi_config_set_option(values[i][0], NULL, false), 0);
    }
}

/* Of those that have a number as default, also with an exception, or "LOW to HIGH" as their range. */
Test(config, the_table_says_what_the_parser_does, .init = forget_environment)
{
    static const struct {
        const char *name;
        const char *accepted;
        const char *standard;
        unsigned long long low;
        unsigned long long high;
    } table[] = {
#define X(name, kind, field, low, high, accepted, standard, explanation)                           \
    { #name, accepted, standard, low, high },
        MBI_OPTIONS(X)
#undef X
    };
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        char low[32];
        char high[32];
        char outside[32];
        char number[32];
        bool is_range = sscanf(table[i].accepted, "%31[0-9KMG] to %31[0-9KMG]", low, high) == 2;
        if (is_range) {
            cr_assert_eq(mbi_config_set_option(table[i].name, low, false), 0, "%s", table[i].name);
            cr_assert_eq(mbi_config_set_option(table[i].name, high, false), 0, "%s", table[i].name);
            snprintf(outside, sizeof outside, "%llu", table[i].high + 1);
            cr_assert_eq(mbi_config_set_option(table[i].name, outside, false), -EINVAL, "%s",
                         table[i].name);
            snprintf(outside, sizeof outside, "%lld", (long long)table[i].low - 1);
            cr_assert_eq(mbi_config_set_option(table[i].name, outside, false),
                         strcmp(outside, "-1") == 0 ? 0 : -EINVAL, "%s", table[i].name);
        }
        cr_assert_eq(mbi_config_set_option(table[i].name, NULL, false), 0);
        struct config standard = read_now();
        size_t digits = strspn(table[i].standard, "0123456789KMG");
        if (digits != 0 && strchr(",;", table[i].standard[digits]) != NULL) { /* or the end */
            snprintf(number, sizeof number, "%.*s", (int)digits, table[i].standard);
            cr_assert_eq(mbi_config_set_option(table[i].name, number, false), 0);
            struct config as_said = read_now();
            cr_assert_arr_eq(&as_said, &standard, sizeof standard, "%s", table[i].name);
            cr_assert_eq(mbi_config_set_option(table[i].name, NULL, false), 0);
        }
    }
}

Test(config, names_that_are_nearly_right_are_named, .init = cr_redirect_stderr)
{
    static const char *const near[][2] = {
        { "MB_MAGAZIN_SIZE", "MB_MAGAZINE_SIZE" },
        { "MB_MAGASINE_SIZE", "MB_MAGAZINE_SIZE" },
        { "MB_MAGAZINE_SIZES", "MB_MAGAZINE_SIZE" },
        { "MB_MAGAZIEN_SIZE", "MB_MAGAZINE_SIZE" },
        { "MB_MAGAZINESIZE", "MB_MAGAZINE_SIZE" },
        { "MB_magazine_size", "MB_MAGAZINE_SIZE" },
        { "MB_THREADCACHE_MAX", "MB_THREAD_CACHE_MAX" },
        { "MB_THREAD_CACHE", "MB_THREAD_CACHE_MAX" },
        { "MB_THREAD", "MB_THREAD_CACHE_MAX" },
        { "MB_DECAY", "MB_DECAY_MS" },
        { "MB_CACHE", "MB_CACHE_MAX" },
        { "MB_MEMORY", "MB_MEMORY_LIMIT" },
        { "MB_MAGAZINE", "MB_MAGAZINE_SIZE" },
        { "MB_REGION", "MB_REGION_SIZE" },
        { "MB_CHECKS", "MB_CHECK" },
        { "MB_check", "MB_CHECK" },
        { "MB_STATSS", "MB_STATS" },
        { "MB_MAGAZINE_XSIZE", "MB_MAGAZINE_SIZE" },
        { "MB_THREAD_CACHES_MAX", "MB_THREAD_CACHE_MAX" },
        { "MB_CACHEMAX", "MB_CACHE_MAX" },
        { "MB_CAHCE_MAX", "MB_CACHE_MAX" },
        { "MB_DECAYMS", "MB_DECAY_MS" },
        { "MB_DECAY_S", "MB_DECAY_MS" },
        { "MB_BACKGROUD", "MB_BACKGROUND" },
        { "MB_MEMORY_LIMITS", "MB_MEMORY_LIMIT" },
        { "MB_MEMROY_LIMIT", "MB_MEMORY_LIMIT" },
        { "MB_REGION_SIZ", "MB_REGION_SIZE" },
        { "MB_HUGEPAGES", "MB_HUGEPAGE" },
        { "MB_HUGE_PAGE", "MB_HUGEPAGE" },
        { "MB_HUGE_PAGES", "MB_HUGEPAGE" },
        { "MB_STAT", "MB_STATS" },
        { "MB_STAST", "MB_STATS" },
        { "MB_Stats", "MB_STATS" },
        { "MB_VERBOS", "MB_VERBOSE" },
        { "MB_CHEKC", "MB_CHECK" },
        { "MB_CHECKCONTINUE", "MB_CHECK_CONTINUE" },
    };
    for (size_t i = 0; i < sizeof near / sizeof near[0]; i++) {
        read_with(near[i][0], "1");
        fflush(stderr);
        char line[512];
        char expected[128];
        cr_assert(next_line(line), "nothing about %s", near[i][0]);
        snprintf(expected, sizeof expected, "memorybucket: %s has no effect; did you mean %s?\n",
                 near[i][0], near[i][1]);
        cr_assert_str_eq(line, expected);
    }
    char line[512];
    cr_assert_not(next_line(line), "%s", line);
}

/* Of what other programs may call theirs: their initials, or what they are made of. */
Test(config, other_programs_variables_are_left_alone, .init = cr_redirect_stderr)
{
    static const char *const foreign[] = {
        "MB_",         "MB_A",         "MB_SIZE",       "MB_HOME",        "MB_DEBUG",
        "MB_DATA",     "MB_USER",      "MB_HOST",       "MB_PORT",        "MB_PATH",
        "MB_STATUS",   "MB_STATE",     "MB_STATES",     "MB_START",       "MB_STATIC",
        "MB_CACHES",   "MB_CACHE_DIR", "MB_CACHE_TTL",  "MB_CACHE_MIN",   "MB_CACHE_SIZE",
        "MB_MEMOR",    "MB_LIMIT",     "MB_REGIONS",    "MB_ZONE",        "MB_MAX_SIZE",
        "MB_CHECKED",  "MB_CHECKSUM",  "MB_CHUNK_SIZE", "MB_VERSION",     "MB_VERB",
        "MB_DELAY_MS", "MB_DECA",      "MB_LOG_LEVEL",  "MB_SERVER_PORT", "MB_SERVER_HOST",
        "MB_DB_HOST",  "MB_DB_TYPE",   "MB_DB_FILE",    "MB_JETTY_PORT",  "MB_JETTY_HOST",
        "MB_THREADS",  "MB_TIMEOUT",   "MB_URL",        "MB_TOKEN",       "MB_API_KEY",
        "MB_PASSWORD", "MB_PAGE",      "MB_HUGE",       "MB_BATCH_SIZE",  "MB_BUFFER_SIZE",
        "MB_CONFIG",   "MB_CONTINUE",  "MB_BACKEND",    "MB_FOREGROUND",  "MB_PAGE_SIZE",
        "MB_POOL_SIZE", "MB_IMAGE_SIZE", "MB_LEN_MAX",  "MB_CUR_MAX",     "MB_MESSAGE_SIZE",
        "MB_ENCRYPTION_SECRET_KEY", "MB_EMBEDDING_SECRET_KEY", "MB_A_NAME_LONGER_THAN_ANY_OF_OURS",
        "MBX_STATS",   "MB",           "MBSTATS",       "AMB_STAT",
    };
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        read_with(foreign[i], "1");
    }
    fflush(stderr);
    char line[512];
    cr_assert_not(next_line(line), "%s", line);
}

Test(config, removed_variables_are_named, .init = cr_redirect_stderr)
{
    read_with("MB_BLOCK_SIZE", "128K");
    cr_assert_eq(mbi_config.block_bytes, 64 << 10);
    read_with("MB_SANITIZER_POOLS", "1");
    fflush(stderr);
    char line[512];
    cr_assert(next_line(line));
    cr_assert_str_eq(line, "memorybucket: MB_BLOCK_SIZE was removed and has no effect\n");
    cr_assert(next_line(line));
    cr_assert_str_eq(line, "memorybucket: MB_SANITIZER_POOLS was removed and has no effect\n");
    cr_assert_not(next_line(line), "%s", line);
}
