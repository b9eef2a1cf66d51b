/* startup: what the library says when it comes up, and that it does when it has no address space. */
#include "tcache/startup.h"

#include "core/config.h"
#include "core/limit.h"
#include "testing.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <sys/resource.h>

/* Each test is a process of its own, and comes up once. */
static bool says(const char *text)
{
    fflush(stderr);
    char line[512];
    FILE *messages = cr_get_redirected_stderr();
    while (fgets(line, sizeof line, messages) != NULL) {
        if (strstr(line, text) != NULL) {
            return true;
        }
    }
    return false;
}

Test(startup, says_what_was_configured, .init = cr_redirect_stderr)
{
    setenv("MB_VERBOSE", "1", 1);
    setenv("MB_REGION_SIZE", "16G", 1);
    setenv("MB_STATS", "no", 1);
    cr_assert_eq(mb_option_set("MB_STATS", "/nowhere/at/all"), 0);
    cr_assert_eq(mb_option_set("MB_DECAY_MS", "5"), 0);
    cr_assert_eq(mbi_startup(), 0);
    char line[256]; /* one page, the place's, is there already */
    snprintf(line, sizeof line,
             "memorybucket: reserved %ld KiB, spans of 64 + 64 MiB a pool, mapped as they are used; "
             "pools of up to 512 bytes; magazines of 256 (8 bytes) to 32 (512 bytes) rounds; "
             "thread caches up to 4096 KiB\n",
             (long)mbi_os_page_bytes() >> 10);
    cr_assert(says(line), "not %s", line);
    static const char *const set[] = { "MB_DECAY_MS=5", "MB_REGION_SIZE=16G", "MB_STATS=/nowhere/at/all",
                                       "MB_VERBOSE=1" };
    for (size_t i = 0; i < sizeof set / sizeof set[0]; i++) {
        snprintf(line, sizeof line, "memorybucket: %s\n", set[i]);
        cr_assert(says(line), "not %s", set[i]);
    }
    cr_assert_not(says("MB_"), "more than what was set");
}

Test(startup, is_silent_unless_asked, .init = cr_redirect_stderr)
{
    unsetenv("MB_VERBOSE");
    cr_assert_eq(mbi_startup(), 0);
    cr_assert_not(says("memorybucket"));
}

/* Huge pages come with decay off; without them it is as it would have been. */
Test(startup, huge_pages_need_the_dense_tier, .init = cr_redirect_stderr)
{
    setenv("MB_HUGEPAGE", "1", 1);
    setenv("MB_REGION_SIZE", "64M", 1);
    unsetenv("MB_DECAY_MS");
    cr_assert_eq(mbi_startup(), 0);
    cr_assert(says("MB_HUGEPAGE=1: no huge pages, as the address space has no room for them"));
    cr_assert_eq(mbi_config.huge_pages, HUGE_NEVER);
    cr_assert_eq(mbi_config.decay_ms, 1000);
}

Test(startup, huge_pages_do_not_decay_unless_asked)
{
    setenv("MB_HUGEPAGE", "1", 1);
    unsetenv("MB_DECAY_MS");
    cr_assert_eq(mbi_startup(), 0);
    cr_assert_eq(mbi_config.decay_ms, mbi_config.huge_pages != HUGE_NEVER ? -1 : 1000); /* as the kernel has them */
}

/* The kernel gives a huge page only where all of it is committed. */
Test(startup, a_block_is_a_huge_page_where_they_are_asked_for)
{
    setenv("MB_HUGEPAGE", "1", 1);
    cr_assert_not_null(mb_alloc(64));
    cr_assert_eq(bounded_taken(&mbi_committed), mbi_config.huge_pages != HUGE_NEVER ? 2 << 20 : 64 << 10);
}

Test(startup, huge_pages_decay_when_asked)
{
    setenv("MB_HUGEPAGE", "1", 1);
    setenv("MB_DECAY_MS", "7", 1);
    cr_assert_eq(mbi_startup(), 0);
    cr_assert_eq(mbi_config.decay_ms, 7);
}

Test(startup, background_without_decay_is_named, .init = cr_redirect_stderr)
{
    setenv("MB_DECAY_MS", "-1", 1);
    setenv("MB_BACKGROUND", "1", 1);
    cr_assert_eq(mbi_startup(), 0);
    cr_assert(says("MB_BACKGROUND=1 has no effect, as nothing decays (MB_DECAY_MS=-1)"));
}

Test(startup, without_address_space_the_system_allocator_serves, .init = cr_redirect_stderr)
{
    if (TEST_IS_SANITIZED || TEST_IS_EMULATED) {
        return; /* their shadows are larger than any limit */
    }
    setenv("MB_VERBOSE", "1", 1);
    free(malloc(1000)); /* the system allocator has some */
    struct rlimit limit = { .rlim_cur = 1, .rlim_max = RLIM_INFINITY };
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    cr_assert_eq(mbi_startup(), -ENOMEM);
    void *object = mb_alloc(64);
    limit.rlim_cur = RLIM_INFINITY;
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    cr_assert_not_null(object);
    cr_assert_geq(mb_usable_size(object), 64);
    mb_free(object);
    cr_assert(says("memorybucket: no address space for the pools"));
}
