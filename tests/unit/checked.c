/* check: checked mode from inside the process, which goes on after each report. */
#include "memorybucket/memorybucket.h"

#include "check/annotate.h"
#include "core/config.h"
#include "core/os.h"
#include "core/pool.h"
#include "core/region.h"
#include "tcache/checked.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* As many as take all the guarded pages. */
enum { OBJECTS_FOR_GUARDS = 4096 + 16 * 4096 };
static void *for_guards[OBJECTS_FOR_GUARDS];

/* Faults and impossible sizes that no compiler sees. */
static volatile size_t hidden;

static size_t hide(size_t number)
{
    hidden = number;
    return hidden;
}

static void start(const char *checks)
{
    setenv("MB_CHECK", checks, 1);
    setenv("MB_CHECK_CONTINUE", "1", 1);
    cr_assert_eq(mb_init(), 0);
    cr_assert(checked_is_on());
}

/* From now on objects lie in slots. */
static void start_in_pools(const char *checks)
{
    start(checks);
    for (size_t i = 0; i < OBJECTS_FOR_GUARDS; i++) {
        for_guards[i] = mb_alloc(1);
    }
}

/* Without guarded pages and the system allocator's quarantine: the sanitizer sees to both itself. */
static bool is_sanitized(void)
{
    return annotate_sanitizer_is_here();
}

/* What was said since the start: a line that begins so; one report's first line. */
static void expect_line(const char *expected)
{
    char line[512];
    FILE *said = cr_get_redirected_stderr();
    bool found = false;
    fcntl(fileno(said), F_SETFL, O_NONBLOCK);
    while (!found && fgets(line, sizeof line, said) != NULL) {
        found = strncmp(line, expected, strlen(expected)) == 0;
    }
    cr_assert(found, "no line begins with '%s'", expected);
}

static void expect_said(const char *kind)
{
    char expected[64];
    snprintf(expected, sizeof expected, "memorybucket: %s: ", kind);
    expect_line(expected);
}

Test(check, the_heap_is_checked_on_demand_and_each_damage_reported_once,
     .init = cr_redirect_stderr)
{
    if (is_sanitized()) {
        return; /* which reports what is written below */
    }
    start_in_pools("overflow,use_after_free");
    char *live = mb_alloc(37);
    char *freed = mb_alloc(100);
    mb_free(freed);
    cr_assert_eq(mb_check_heap(), 0);
    live[hide(37)] = 1;
    freed[hide(99)] = 1;
    cr_assert_eq(mb_check_heap(), 2);
    cr_assert_eq(mb_check_heap(), 0);
    expect_said("overflow");
    mb_free(live);
}

Test(check, nothing_is_checked_unless_it_is_asked_for)
{
    void *object = mb_alloc(10);
    cr_assert_not(checked_is_on());
    cr_assert_eq(mb_check_heap(), 0);
    mb_free(object);
}

Test(check, the_size_asked_for_is_what_may_be_used)
{
    start("1");
    for (size_t size = 0; size < 3000; size += 13) {
        char *object = mb_alloc(size);
        cr_assert_eq(mb_usable_size(object), size);
        memset(object, 1, size);
        mb_free(object);
    }
    cr_assert_eq(mb_usable_size(NULL), 0);
    cr_assert_eq(mb_check_heap(), 0);
}

Test(check, aligned_zeroed_and_many_at_once)
{
    start("1");
    for (size_t alignment = 1; alignment <= 65536; alignment *= 2) {
        for (size_t size = 0; size < 1500; size += 499) {
            char *object = mb_aligned_alloc(alignment, size);
            cr_assert_eq((uintptr_t)object % alignment, 0);
            memset(object, 1, size);
            mb_free_sized(object, size);
        }
    }
    const char *zeroed = mb_calloc(300, 5);
    for (size_t i = 0; i < 1500; i++) {
        cr_assert_eq(zeroed[i], 0);
    }
    mb_free((void *)(uintptr_t)zeroed);
    void *batch[100];
    cr_assert_eq(mb_alloc_batch(48, 100, batch), 100);
    mb_free_batch(100, batch);
    cr_assert_eq(mb_check_heap(), 0);
}

Test(check, objects_of_the_systems_malloc_pass_through)
{
    start("1");
    char *foreign = malloc(1000);
    cr_assert_geq(mb_usable_size(foreign), 1000);
    foreign = mb_realloc(foreign, 2000);
    memset(foreign, 1, 2000);
    mb_free(foreign);
    mb_free(NULL);
    char *object = mb_realloc(NULL, 20);
    cr_assert_eq(mb_usable_size(object), 20);
    mb_free(object);
}

Test(check, what_cannot_be_had_is_refused)
{
    start("1");
    errno = 0;
    cr_assert_null(mb_alloc(hide(SIZE_MAX - 5)));
    cr_assert_eq(errno, ENOMEM);
    cr_assert_null(mb_aligned_alloc(64, hide(SIZE_MAX / 2)));
    char *object = mb_alloc(30);
    memset(object, 7, 30);
    cr_assert_null(mb_realloc(object, hide(SIZE_MAX - 5)));
    cr_assert_eq(object[29], 7);
    mb_free(object);
}

Test(check, a_freed_object_is_not_reallocated, .init = cr_redirect_stderr)
{
    start("1");
    char *object = mb_alloc(30);
    mb_free(object);
    object = mb_realloc(object, 60);
    cr_assert_eq(mb_usable_size(object), 60);
    expect_said("double free");
    object = mb_realloc(object + 8, 20);
    cr_assert_eq(mb_usable_size(object), 20);
    expect_said("invalid free");
}

Test(check, slots_that_are_nobodys_cannot_be_freed, .init = cr_redirect_stderr)
{
    start_in_pools("1");
    cr_assert_not_null(mb_alloc(200));
    struct pool *pool = pool_at(size_class_of(201));
    mb_free(chain_first(pool->loose)); /* carved with the object's slot */
    expect_said("invalid free");
    mb_free(pool_carved_span(pool)->carve_next);
    expect_said("invalid free");
    mb_free((void *)0x70000000001);
    expect_said("invalid free");
}

/* Without a dense tier every address lies where the caches' own test finds it. */
Test(check, slots_of_the_wide_tier, .init = cr_redirect_stderr)
{
    setenv("MB_REGION_SIZE", "64M", 1);
    start_in_pools("1");
    char *object = mb_alloc(100);
    cr_assert(region_class_of(object) < SIZE_CLASS_COUNT && mbi_region.span_bytes[SPAN_DENSE] == 0);
    cr_assert_eq(mb_usable_size(object), 100);
    object = mb_realloc(object, 200);
    cr_assert_eq(mb_usable_size(object), 200);
    mb_free(object);
    mb_free(object);
    expect_said("double free");
    mb_free((char *)mb_alloc(50) + 8);
    expect_said("invalid free");
}

/* Objects of 500 bytes until there is no more memory. */
enum { OBJECTS_FOR_LIMIT = 20000 };
static char *for_limit[OBJECTS_FOR_LIMIT];
static size_t limited_count;

static void reach_limit(void)
{
    (void)mb_memory_limit_set((size_t)8 << 20);
    while (limited_count < OBJECTS_FOR_LIMIT
           && (for_limit[limited_count] = mb_alloc(500)) != NULL) {
        limited_count++;
    }
    cr_assert(limited_count > 1000 && limited_count < OBJECTS_FOR_LIMIT, "%zu", limited_count);
}

/* Nothing can be had beyond the limit: what waits in quarantine is used before a request fails. */
Test(check, memory_that_waits_is_used_where_there_is_a_limit)
{
    start_in_pools("1");
    reach_limit();
    for (size_t i = 0; i < 100; i++) {
        mb_free(for_limit[i]);
    }
    for (size_t i = 0; i < 100; i++) {
        for_limit[i] = mb_alloc(i % 2 == 0 ? 500 : 100); /* small ones, too */
        cr_assert_not_null(for_limit[i]);
    }
    cr_assert_null(mb_alloc(100));
    cr_assert_eq(mb_check_heap(), 0);
}

static int free_one(size_t size, void *argument)
{
    (void)size;
    size_t *calls = argument;
    ++*calls;
    if (limited_count != 0) {
        mb_free(for_limit[--limited_count]);
    }
    return *calls == 1;
}

Test(check, the_handler_of_a_limit_helps)
{
    size_t calls = 0;
    start_in_pools("1");
    reach_limit();
    mb_out_of_memory_handler_set(free_one, &calls);
    cr_assert_not_null(mb_alloc(100));
    cr_assert(calls == 1 || calls == 2, "%zu", calls);
    mb_out_of_memory_handler_set(NULL, NULL);
}

Test(check, large_objects_wait_too_and_then_go, .init = cr_redirect_stderr)
{
    enum { OBJECTS = 40, BYTES = 900 << 10 };
    if (is_sanitized()) {
        return;
    }
    start("1");
    char *first = mb_alloc(BYTES);
    mb_free(first);
    first[hide(BYTES / 2)] = 1; /* found when it goes */
    for (int i = 0; i < OBJECTS; i++) {
        char *object = mb_alloc(BYTES);
        memset(object, i, BYTES);
        mb_free(object);
    }
    expect_said("use after free");
    struct mb_stats stats;
    mb_stats_get(&stats, sizeof stats);
    cr_assert_eq(stats.large_allocs, stats.large_frees);
}

static sigjmp_buf after_fault;

static void leave(int signal_number)
{
    siglongjmp(after_fault, signal_number);
}

/* A fault that is none of ours goes to the handler that was there first. */
Test(check, other_faults_are_passed_on)
{
    signal(SIGSEGV, leave);
    start("1");
    volatile char *forbidden = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sigsetjmp(after_fault, 1) == 0) {
        forbidden[0] = 1;
        cr_assert_fail("no fault");
    }
}

Test(check, other_faults_end_the_process_where_nobody_takes_them, .signal = SIGSEGV)
{
    signal(SIGSEGV, SIG_DFL);
    start("1");
    volatile char *forbidden = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    forbidden[0] = 1;
}

Test(check, an_access_to_a_guard_is_reported_and_goes_on, .init = cr_redirect_stderr)
{
    if (is_sanitized()) {
        return;
    }
    start("1");
    volatile char *object = mb_alloc(64);
    cr_assert_neq(object[hide(64)], 1);
    expect_said("overflow");
    mb_free((void *)(uintptr_t)object);
    object[hide(0)] = 1;
    expect_said("use after free");
}

/* The guard between two objects: each may have been meant. */
Test(check, far_in_front_of_an_object_both_neighbours_are_named, .init = cr_redirect_stderr)
{
    if (is_sanitized()) {
        return;
    }
    start("1");
    char *behind = mb_alloc(64);
    volatile char *object = mb_alloc(64);
    size_t page_bytes = mbi_os_page_bytes();
    cr_assert_eq((uintptr_t)object - (uintptr_t)behind, 2 * page_bytes, "on the next page");
    cr_assert_neq(object[-(ptrdiff_t)hide(page_bytes)], 1);
    expect_said("overflow");
    expect_line("  or ");
    mb_free((void *)(uintptr_t)object);
    mb_free(behind);
}
