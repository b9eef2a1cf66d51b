/*
 * step_bound WHICH: what one step of decay asks of the kernel, also where that refuses pages, as it
 * does with those that are locked in memory: `all`, `every_other`, or `none`.
 *
 * madvise is wrapped, and its calls are counted: of one step, and of all of them together.
 */
#include "border.h"
#include "testing.h"

#include "core/config.h"
#include "core/decay.h"
#include "core/trim.h"

#include <errno.h>
#include <sys/mman.h>

enum { BYTES = 32 << 20, SIZE = 128, UPPER_SIZE = 6144, PAGE = 4096, PAGES = BYTES / PAGE };
enum { CALLS_MAX = 2 * TRIM_PAGES_MAX };

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

int main(int argc, char **argv)
{
    which = argc > 1 ? argv[1] : "none";
    setenv("MB_DECAY_MS", "-1", 1); /* not until all is free */
    mb_init();
    free_all();
    mbi_config.decay_ms = 0;
    mbi_decay_init();

    uint64_t calls_before = 0;
    uint64_t most = 0;
    while (mbi_decay_poll() != UINT64_MAX) {
        most = calls - calls_before > most ? calls - calls_before : most;
        calls_before = calls;
    }
    printf("%s locked: %llu calls in %llu steps, at most %llu in one; %llu pages of %d went\n",
           which, (unsigned long long)calls,
           (unsigned long long)counter_read(&mbi_decay_counts.decay_steps),
           (unsigned long long)most, (unsigned long long)pages_gone, PAGES);
    CHECK(most <= CALLS_MAX, "%llu calls in one step", (unsigned long long)most);
    uint64_t possible = is_locked(1) ? 0 : is_locked(0) ? PAGES / 2 : PAGES;
    CHECK(pages_gone + 2 >= possible, "%llu pages of %llu went", (unsigned long long)pages_gone,
          (unsigned long long)possible);
    CHECK(!is_locked(0) || calls > CALLS_MAX, "only %llu calls: that shows little",
          (unsigned long long)calls);

    /* mb_trim tries again what was refused, and what is not locked any more goes. */
    which = "none";
    (void)mb_trim(0);
    CHECK(pages_gone + 2 >= PAGES, "%llu pages of %d went", (unsigned long long)pages_gone, PAGES);
    check_accounting(0);
    return 0;
}
