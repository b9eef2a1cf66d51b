/*
 * library CONFIGURATION: the whole public API while a function fails, and once more afterwards.
 *
 * The runner says which call of which function fails. The second pass is made when the faults have
 * ended, and none of its requests may be refused. What is configured has to be so before the
 * library comes up, so it stands in the table below. MB_BACKGROUND is read before main: whoever
 * wants it sets it.
 */
#include "objects.h"
#include "plan.h"
#include "testing.h"
#include "workload.h"
#include "wrapped.h"

#include "core/config.h"
#include "core/region.h"
#include "tcache/budget.h"

#include <errno.h>
#include <fcntl.h>

struct configuration {
    const char *name;
    const char *variables[2][2];
    size_t block_bytes; /* 0: as in every program */
    bool places_refused; /* so that address space is reserved at once, and made accessible */
    bool keys_taken; /* so that pthread_setspecific allocates (glibc keeps 32 in the thread) */
    void (*parts[5])(void);
};

static const struct configuration configurations[] = {
    { "plain", { { NULL } }, 0, false, false, { workload_sizes, workload_threads, workload_memory } },
    { "limit", { { NULL } }, 16 << 10, false, false, { workload_sizes, workload_limit } },
    { "upper",
      { { "MB_POOL_MAX", "32K" } },
      16 << 10,
      false,
      false,
      { workload_sizes, workload_threads, workload_limit, workload_memory } },
    { "narrow",
      { { "MB_REGION_SIZE", "64M" }, { "MB_CACHE_MAX", "1M" } },
      4 << 10,
      false,
      true,
      { workload_sizes, workload_fill_narrow_pools, workload_threads, workload_memory } },
    { "decay",
      { { "MB_DECAY_MS", "0" } },
      0,
      false,
      false,
      { workload_sizes, workload_threads, workload_memory } },
    { "wide", { { NULL } }, 16 << 20, false, false, { workload_fill_dense_pool } },
    { "checked", /* no guarded pages: too many calls; nothing is kept: all can be counted */
      { { "MB_CHECK", "size,leak" } },
      0,
      false,
      false,
      { workload_sizes, workload_threads, workload_limit, workload_memory } },
    { "guarded", { { "MB_CHECK", "1" } }, 0, false, false, { workload_memory } },
    { "huge", { { "MB_HUGEPAGE", "1" } }, 0, false, false, { workload_memory } },
    { "reserved", { { NULL } }, 0, true, false, { workload_sizes, workload_memory } },
};

static const struct configuration *configuration_named(const char *name)
{
    for (size_t i = 0; i < sizeof configurations / sizeof configurations[0]; i++) {
        if (strcmp(configurations[i].name, name) == 0) {
            return &configurations[i];
        }
    }
    fprintf(stderr, "fault_library: %s: no such configuration\n", name);
    exit(2);
}

static void configure(const struct configuration *configuration)
{
    for (size_t i = 0; i < 2 && configuration->variables[i][0] != NULL; i++) {
        setenv(configuration->variables[i][0], configuration->variables[i][1], 1);
    }
    wrapped_refuse_places(configuration->places_refused);
    for (size_t i = 0; configuration->keys_taken && i < 40; i++) {
        (void)wrapped_key_create(NULL);
    }
}

static void work(const struct configuration *configuration)
{
    for (size_t i = 0; configuration->parts[i] != NULL; i++) {
        configuration->parts[i]();
    }
    (void)objects_check_at_rest();
}

/* What a file descriptor would be: a leaked one moves it. */
static int next_descriptor(void)
{
    int file = open("/dev/null", O_WRONLY | O_CLOEXEC);
    CHECK(file >= 0, "/dev/null: %s", strerror(errno));
    close(file);
    return file;
}

static void come_up(const struct configuration *configuration)
{
    bool places_refused = configuration->places_refused;
    int error = mb_init();
    if (configuration->block_bytes != 0) {
        mbi_config.block_bytes = configuration->block_bytes;
    }
    bool reserved = mbi_region.bytes != 0;
    CHECK(error == (reserved ? 0 : -ENOMEM), "mb_init says %d", error);
    /* Less is asked for until there is no less. */
    uint64_t refusals = mbi_config.region_bytes == REGION_BYTES_MIN ? 1 : 2;
    CHECK(!reserved || !places_refused || mbi_region.reserved_bytes != 0,
          "places were not refused");
    CHECK(reserved || fault_failed_here(FAULT_mmap) >= refusals, "one refusal took all");
    mb_background_stop(); /* MB_BACKGROUND has been obeyed; the checks want no other thread */
}

/* All is free: nothing is held for the thread, and trim finds memory to give back. */
static void check_nothing_is_held(void)
{
    enum { OBJECTS = 500 };
    static struct test_object objects[OBJECTS];
    object_make_batch(objects, 256, OBJECTS);
    object_free_batch(objects, OBJECTS);
    mb_thread_flush();
    size_t given_back = objects_trim(0);
    const struct mb_stats *stats = objects_check_at_rest();
    CHECK(given_back != 0 || mbi_region.bytes == 0 || mbi_config.check != 0,
          "trim gives nothing back");
    CHECK(bounded_taken(&mbi_budget) == 0, "%zu bytes of the budget are taken", bounded_taken(&mbi_budget));
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        const struct mb_pool_stats *pool = &stats->pool[class];
        CHECK(pool->sorted + pool->orphaned + pool->quarantined == pool->carved,
              "pool %zu: %llu of %llu slots are sorted", class, (unsigned long long)pool->sorted,
              (unsigned long long)pool->carved);
    }
}

/* All is free: what the kernel would not take before, it takes now. */
static void check_nothing_is_resident(void)
{
    mb_thread_flush();
    (void)objects_trim(0);
    const struct mb_stats *stats = objects_check_at_rest();
    /* The last page of a span that is used up goes on to where no slot is: two are filled. */
    uint64_t kept_bytes = 2 * (uint64_t)sysconf(_SC_PAGESIZE);
    CHECK(stats->resident_bytes <= kept_bytes || mbi_config.huge_pages == HUGE_IN_ALL_POOLS
              || mbi_config.check != 0,
          "%llu bytes were not given back", (unsigned long long)stats->resident_bytes);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: fault_library CONFIGURATION\n");
        return 2;
    }
    const struct configuration *configuration = configuration_named(argv[1]);
    configure(configuration);
    int descriptor = next_descriptor();

    come_up(configuration);
    CHECK(mbi_config.huge_pages != HUGE_IN_ALL_POOLS || fault_failed_here(FAULT_madvise) == 0,
          "huge pages, refused");
    work(configuration);
    fault_end();
    workload_free_sizes(); /* what was made while calls failed is intact */
    check_nothing_is_resident();

    come_up(configuration);
    work(configuration);
    workload_free_sizes();
    check_nothing_is_held();
    CHECK(next_descriptor() == descriptor, "a file was left open");
    mb_stats_print(NULL);
    return 0;
}
