/*
 * step_bound WHICH: what one step of decay does, as slots that it sorts and calls that it makes: a
 * step of the background thread, and one that a request waits for. Also where the kernel refuses
 * pages, as it does with those that are locked in memory: `all`, `every_other`, or `none`.
 *
 * madvise is wrapped, and its calls are counted: of one step, and of all of them together.
 */
#include "border.h"
#include "testing.h"

#include "core/config.h"
#include "core/decay.h"
#include "core/os.h"
#include "core/trim.h"

#include <errno.h>
#include <sys/mman.h>

enum { BYTES = 32 << 20, SIZE = 128, UPPER_SIZE = 6144, PAGE = 4096, PAGES = BYTES / PAGE };

static bool short_steps; /* as slow paths do them */
static uint64_t calls;
static uint64_t pages_gone;
static const char *which;

int __real_madvise(void *start, size_t bytes, int advice);
int __wrap_madvise(void *start, size_t bytes, int advice);

static bool is_locked(uintptr_t page)
{
    return strcmp(which, "all") == 0 || (strcmp(which, "every_other") == 0 && page % 2 == 0);
}

int __wrap_madvise(void *start, size_t bytes, int advice)
{
    if (advice != MADV_DONTNEED) {
        return __real_madvise(start, bytes, advice);
    }
    calls++;
    for (size_t page = 0; page < bytes / PAGE; page++) {
        if (is_locked((uintptr_t)start / PAGE + page)) {
            errno = EINVAL;
            return -1;
        }
    }
    pages_gone += bytes / PAGE;
    return __real_madvise(start, bytes, advice);
}

static void free_all(void)
{
    size_t size = small_or_upper(SIZE, UPPER_SIZE); /* with pages that two slots share */
    size_t count = BYTES / size;
    void **objects = calloc(count, sizeof *objects);
    CHECK(objects != NULL, "no memory");
    for (size_t i = 0; i < count; i++) {
        objects[i] = mb_alloc(size);
        CHECK(objects[i] != NULL, "no memory");
        memset(objects[i], 1, size);
    }
    mb_free_batch(count, objects);
    free(objects);
    mb_thread_flush();
}

static uint64_t poll_decay(void)
{
    return short_steps ? mbi_decay_poll_at(mbi_os_coarse_clock_ns()) : mbi_decay_poll();
}

static uint64_t sorted_slots(const struct pool *pool)
{
    return counter_read(&pool->sorted_slots); /* nothing takes any */
}

struct most {
    uint64_t calls;
    uint64_t slots;
};

/* Gives everything back. Returns the most that one step did. */
static struct most go_on_to_the_end(const struct pool *pool)
{
    struct most most = { 0 };
    uint64_t calls_before = calls;
    uint64_t slots_before = sorted_slots(pool);
    while (poll_decay() != UINT64_MAX) {
        most.calls = size_max(calls - calls_before, most.calls);
        most.slots = size_max(sorted_slots(pool) - slots_before, most.slots);
        calls_before = calls;
        slots_before = sorted_slots(pool);
    }
    return most;
}

/* With windows of no length, or so short that all of the work is late. */
static void check_steps(const struct trim_allowance *allowed, int decay_ms)
{
    calls = 0;
    pages_gone = 0;
    mbi_config.decay_ms = -1; /* not until all is free */
    free_all();
    mbi_config.decay_ms = decay_ms;
    mbi_decay_init();

    const struct pool *pool = pool_at(size_class_of(small_or_upper(SIZE, UPPER_SIZE)));
    struct most most = go_on_to_the_end(pool);
    printf("%s locked, %s steps: %llu calls; at most %llu of them in one step, and %llu slots; "
           "%llu pages of %d went\n",
           which, short_steps ? "short" : "whole", (unsigned long long)calls,
           (unsigned long long)most.calls, (unsigned long long)most.slots,
           (unsigned long long)pages_gone, PAGES);
    CHECK(most.calls <= 2 * allowed->calls, "%llu calls", (unsigned long long)most.calls);
    /* The rest of a magazine and, with the last run of pages, that of the last page. */
    CHECK(most.slots < allowed->slots + 2 * pool->rounds, "%llu slots",
          (unsigned long long)most.slots);
    CHECK(most.slots > 0, "no step sorted anything");
    uint64_t possible = is_locked(1) ? 0 : is_locked(0) ? PAGES / 2 : PAGES;
    CHECK(pages_gone + 2 >= possible, "%llu pages of %llu went", (unsigned long long)pages_gone,
          (unsigned long long)possible);
    CHECK(!is_locked(0) || calls > 2 * allowed->calls, "only %llu calls: that shows little",
          (unsigned long long)calls);
}

int main(int argc, char **argv)
{
    which = argc > 1 ? argv[1] : "none";
    setenv("MB_DECAY_MS", "-1", 1);
    mb_init();
    check_steps(&trim_whole_step, 0);
    short_steps = true;
    check_steps(&trim_short_step, 0);
    check_steps(&trim_short_step, 1);

    /* mb_trim tries again what was refused, and what is not locked any more goes. */
    which = "none";
    (void)mb_trim(0);
    CHECK(pages_gone + 2 >= PAGES, "%llu pages of %d went", (unsigned long long)pages_gone, PAGES);
    check_accounting(0);
    return 0;
}
