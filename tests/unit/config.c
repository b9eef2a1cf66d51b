/* config: values, suffixes, and the rule for bad values. */
#include "core/config.h"

#include "core/region.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdlib.h>

static void read_with(const char *name, const char *value)
{
    setenv(name, value, 1);
    mbi_config_read(4096);
    unsetenv(name);
}

static size_t loaded_bytes(void)
{
    size_t bytes = 0;
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        bytes += mbi_config.magazine_rounds[class] * size_class_slot_bytes(class);
    }
    return bytes;
}

Test(config, defaults)
{
    unsetenv("MB_REGION_SIZE");
    mbi_config_read(4096);
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        uint32_t rounds = mbi_config.magazine_rounds[class];
        size_t bytes = rounds * size_class_slot_bytes(class);
        cr_assert(rounds >= 32 && rounds <= 256 && rounds % MAGAZINE_ROUNDS_STEP == 0);
        cr_assert(bytes <= 16384);
    }
    cr_assert_eq(mbi_config.region_bytes, REGION_BYTES_MAX);
    cr_assert_eq(mbi_config.block_bytes, 64 << 10);
    cr_assert_eq(mbi_config.thread_cache_bytes_max, 4 << 20);
    cr_assert_not(mbi_config.stats_at_exit);
    cr_assert_not(mbi_config.verbose);
    cr_assert_not(mbi_config.huge_pages);
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
    } values[] = { { "65536", 65536 }, { "64K", 65536 }, { "64k", 65536 },
                   { "1M", 1 << 20 },  { "4096", 4096 }, { "5000", 8192 },
                   { "100K", 128 << 10 }, { "3M", 4 << 20 } };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        read_with("MB_BLOCK_SIZE", values[i].text);
        cr_assert_eq(mbi_config.block_bytes, values[i].bytes, "%s", values[i].text);
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
    cr_assert(mbi_config.huge_pages);
    cr_assert_eq(mbi_config.block_bytes, HUGE_PAGE_BYTES);
}

/* Each line on stderr names the variable, its value and what is accepted. */
Test(config, bad_values_are_named_and_change_nothing, .init = cr_redirect_stderr)
{
    static const char *const bad[][2] = {
        { "MB_MAGAZINE_SIZE", "" },          { "MB_MAGAZINE_SIZE", "7" },
        { "MB_MAGAZINE_SIZE", "4097" },      { "MB_MAGAZINE_SIZE", "12x" },
        { "MB_MAGAZINE_SIZE", "8-64" },      { "MB_MAGAZINE_SIZE", "8-64:256," },
        { "MB_MAGAZINE_SIZE", "0-64:16" },   { "MB_MAGAZINE_SIZE", "64-8:16" },
        { "MB_MAGAZINE_SIZE", "8-513:16" },  { "MB_MAGAZINE_SIZE", "8-64:256;65-512:64" },
        { "MB_THREAD_CACHE_MAX", "259K" },   { "MB_THREAD_CACHE_MAX", "2G" },
        { "MB_THREAD_CACHE_MAX", "-1" },     { "MB_BLOCK_SIZE", "4095" },
        { "MB_BLOCK_SIZE", "17M" },          { "MB_BLOCK_SIZE", "64KB" },
        { "MB_BLOCK_SIZE", " 64K" },         { "MB_REGION_SIZE", "63M" },
        { "MB_REGION_SIZE", "2053G" },       { "MB_REGION_SIZE", "99999999999999999999" },
        { "MB_REGION_SIZE", "99999999999G" }, { "MB_STATS", "yes" },
        { "MB_STATS", "" },                  { "MB_VERBOSE", "2" },
        { "MB_HUGEPAGE", "yes" },            { "MB_DECAY_MS", "-2" },
        { "MB_DECAY_MS", "1s" },             { "MB_DECAY_MS", "86400001" },
    };
    enum { COUNT = sizeof bad / sizeof bad[0] };
    unsetenv("MB_REGION_SIZE");
    mbi_config_read(4096);
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

Test(config, background_without_decay_is_named, .init = cr_redirect_stderr)
{
    setenv("MB_DECAY_MS", "-1", 1);
    read_with("MB_BACKGROUND", "1");
    fflush(stderr);
    char line[512];
    cr_assert_not_null(fgets(line, sizeof line, cr_get_redirected_stderr()));
    cr_assert_not_null(strstr(line, "MB_BACKGROUND=1 has no effect"), "%s", line);
}

static unsigned check_of(const char *value)
{
    setenv("MB_CHECK", value, 1);
    mbi_config_read(4096);
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
