/*
 * profile: a heap profile's figures are right, whatever the program does with its objects, and every
 * call takes a sampled object. The argument chooses one case.
 */
#include "testing.h"

#include "profile_dump.h"
#include "tcache/sampling.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { SITES = 20, SEED = 20261130 };

#define KEEP(pointer) __asm__ volatile("" : : "r"(pointer) : "memory")
/* One function each, so that each has stacks of its own. */
#define SITE(number)                                                                               \
    static __attribute__((noinline, aligned(256))) void *site_##number(size_t size)                \
    {                                                                                              \
        void *object = mb_alloc(size);                                                             \
        KEEP(object);                                                                              \
        return object;                                                                             \
    }
SITE(0) SITE(1) SITE(2) SITE(3) SITE(4) SITE(5) SITE(6) SITE(7) SITE(8) SITE(9)
SITE(10) SITE(11) SITE(12) SITE(13) SITE(14) SITE(15) SITE(16) SITE(17) SITE(18) SITE(19)

typedef void *site(size_t size);
static site *const sites[SITES] = {
    site_0,  site_1,  site_2,  site_3,  site_4,  site_5,  site_6,  site_7,  site_8,  site_9,
    site_10, site_11, site_12, site_13, site_14, site_15, site_16, site_17, site_18, site_19,
};

static size_t site_size(size_t number)
{
    return number < 16 ? 24 + 31 * number : 700 + 9000 * (number - 16);
}

static void start(size_t mean_bytes)
{
    mbi_sampling_seed = SEED;
    int error = mb_profile_start(mean_bytes);
    CHECK(error == 0, "mb_profile_start: %s", strerror(-error));
}

/*
 * Estimates lie further off than ERRORS_MAX with a few seeds. By the seed alone each run samples the
 * same; but decay, which goes by the clock, moves the slow paths at which stretches end.
 */
static void leave_nothing_to_chance(void)
{
    setenv("MB_DECAY_MS", "-1", 1);
}

/*
 * How far an estimate may lie from the truth, in standard errors of independent samples. As some come
 * in bunches, an estimate's own is up to 2.9 times as large, and 4 times with a mean of 512K and 200
 * turns. Of 190 runs with as many seeds the estimate that was furthest off was so by 9.6.
 */
#define ERRORS_MAX 11.25

static void expect_near(double estimate, double truth, double samples, const char *what,
                        size_t number)
{
    double error = ERRORS_MAX / sqrt(samples);
    CHECK(fabs(estimate - truth) <= error * truth, "site %zu: %.0f %s, in truth %.0f: %.1f %%, "
          "more than %.1f %%", number, estimate, what, truth, 100 * (estimate / truth - 1),
          100 * error);
}

/*
 * All sites in turns, each with a way of its own to use objects: a single one, a full array at a
 * time, random ones of an array, and none freed until the end.
 */
enum { LIVE = 400 };
static void *live[SITES][LIVE];

static __attribute__((noinline, aligned(256))) size_t use_site(size_t number, uint64_t *random)
{
    void **objects = live[number];
    size_t size = site_size(number);
    size_t uses = 0;
    if (number % 4 == 0) {
        for (; uses < LIVE; uses++) {
            mb_free(sites[number](size));
        }
    } else if (number % 4 == 1) {
        for (; uses < LIVE; uses++) {
            objects[uses] = sites[number](size);
        }
        for (size_t i = 0; i < LIVE; i++) {
            mb_free(objects[i]);
            objects[i] = NULL;
        }
    } else {
        for (; uses < LIVE; uses++) {
            size_t i = random_below(random, number % 4 == 2 ? LIVE : LIVE / 8);
            mb_free(objects[i]);
            objects[i] = sites[number](size);
        }
    }
    return uses;
}

static void case_estimates(size_t mean_bytes, unsigned turns)
{
    uint64_t random = SEED;
    double objects[SITES] = { 0 };
    leave_nothing_to_chance();
    start(mean_bytes);
    for (unsigned turn = 0; turn < turns; turn++) {
        for (size_t number = 0; number < SITES; number++) {
            objects[number] += (double)use_site(number, &random);
        }
    }
    FILE *dump = dump_profile();
    for (size_t number = 0; number < SITES; number++) {
        double size = (double)site_size(number);
        double samples = objects[number] * size / (double)mean_bytes;
        struct figures found = figures_in(dump, (uintptr_t)sites[number]);
        expect_near(found.bytes, objects[number] * size, samples, "bytes", number);
        expect_near(found.objects, objects[number], samples, "objects", number);
    }
    fclose(dump);
}

/* The library's own frames are in no stack: each begins in a site. */
static void expect_begins_in_sites(FILE *dump)
{
    char line[DUMP_LINE_BYTES];
    rewind(dump);
    while (fgets(line, sizeof line, dump) != NULL && strncmp(line, "MAPPED", 6) != 0) {
        const char *at = strstr(line, "@ 0x");
        uintptr_t first = at != NULL ? strtoul(at + 1, NULL, 16) : 0;
        bool found = at == NULL;
        for (size_t i = 0; i < SITES && !found; i++) {
            found = first - (uintptr_t)sites[i] < FUNCTION_BYTES;
        }
        CHECK(found, "a stack begins elsewhere: %s", line);
    }
}

/* A mean of 1: each object is a sample, and all figures are exact, also after the objects. */
static void case_exact(void)
{
    enum { OBJECTS = 3000 };
    static void *objects[OBJECTS];
    start(1);
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = sites[i % SITES](1 + i);
        memset(objects[i], 0x55, 1 + i);
        CHECK(mb_usable_size(objects[i]) >= 1 + i, "usable size");
    }
    for (size_t i = 0; i < OBJECTS; i += 2) {
        mb_free_sized(objects[i], 1 + i);
    }
    FILE *dump = dump_profile();
    for (size_t number = 0; number < SITES; number++) {
        double count = 0;
        double bytes = 0;
        for (size_t i = number; i < OBJECTS; i += SITES) {
            count++;
            bytes += (double)(1 + i);
        }
        bool freed = number % 2 == 0;
        struct figures found = figures_in(dump, (uintptr_t)sites[number]);
        CHECK(found.objects == count && found.bytes == bytes, "site %zu: %.0f objects, %.0f bytes",
              number, found.objects, found.bytes);
        CHECK(found.live_objects == (freed ? 0 : count) && found.live_bytes == (freed ? 0 : bytes),
              "site %zu: %.0f objects live", number, found.live_objects);
    }
    CHECK(dump_count(dump, "lost ") == 0, "lost");
    if (!TEST_IS_SANITIZED) { /* there frames are others, and a stack may be shown from its beginning on */
        expect_begins_in_sites(dump);
    }
    fclose(dump);
    for (size_t i = 1; i < OBJECTS; i += 2) {
        mb_free(objects[i]);
    }
    mb_profile_stop();
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = sites[0](1 + i);
    }
    mb_free_batch(OBJECTS, objects);
    dump = dump_profile();
    struct figures all = figures_in(dump, 0);
    CHECK(all.live_objects == 0 && all.live_bytes == 0, "%.0f objects live", all.live_objects);
    CHECK(all.objects == OBJECTS, "%.0f objects", all.objects);
    fclose(dump);
}

/* Each call takes sampled objects, of all sizes, and what is in them stays. */
static void case_calls(void)
{
    enum { OBJECTS = 300 };
    static void *objects[OBJECTS];
    start(1);
    for (size_t size = 1; size < 100000; size += size / 3 + 1) {
        unsigned char *object = mb_calloc(1, size);
        CHECK(object[0] == 0 && object[size - 1] == 0, "not zero");
        memset(object, 0x11, size);
        size_t grown = size * 3;
        object = mb_realloc(object, grown);
        CHECK(object[0] == 0x11 && object[size - 1] == 0x11, "realloc of %zu", size);
        object = mb_realloc(object, size / 2 + 1);
        CHECK(object[size / 2] == 0x11, "realloc back of %zu", size);
        mb_free(object);
        for (size_t alignment = 8; alignment <= 8192; alignment *= 4) {
            void *aligned = mb_aligned_alloc(alignment, size);
            CHECK((uintptr_t)aligned % alignment == 0, "aligned to %zu", alignment);
            mb_free(aligned);
        }
        CHECK(mb_alloc_batch(size, OBJECTS, objects) == OBJECTS, "batch");
        for (size_t i = 0; i < OBJECTS; i++) {
            memset(objects[i], 0x77, size);
        }
        mb_free_batch(OBJECTS, objects);
    }
    mb_free(mb_realloc(mb_realloc(NULL, 10), 0));
    mb_free(mb_alloc(0));
    mb_profile_stop();
    FILE *dump = dump_profile();
    struct figures all = figures_in(dump, 0);
    CHECK(all.live_objects == 0, "%.0f objects live", all.live_objects);
    fclose(dump);
    (void)check_accounting(0);
}

/* Threads that hand their objects to each other, while others start, stop and dump. */
enum { THREADS = 4, HANDED = 2000 };
static void *_Atomic handed[HANDED];
static _Atomic bool over;
static _Atomic bool seen; /* a profile that has counted some of their objects */

static void *run_handing(void *argument)
{
    uint64_t random = (uintptr_t)argument * 77 + 1;
    for (unsigned i = 0; i < test_times(400000, 40000); i++) {
        size_t size = 1 + random_below(&random, i % 64 == 0 ? 40000 : 500);
        void *object = sites[size % SITES](size);
        memset(object, 0x22, size < 16 ? size : 16);
        mb_free(atomic_exchange(&handed[random_below(&random, HANDED)], object));
    }
    return NULL;
}

static void *run_dumping(void *argument)
{
    while (!over) {
        (void)mb_profile_start(512);
        FILE *dump = dump_profile();
        struct figures all = figures_in(dump, 0);
        CHECK(all.live_bytes <= all.bytes, "more lives than was allocated");
        seen = seen || all.objects > 0;
        fclose(dump);
        mb_profile_stop();
    }
    return argument;
}

static void case_threads(void)
{
    pthread_t threads[THREADS];
    pthread_t dumping = start_thread(run_dumping, NULL);
    for (uintptr_t round = 0; round < 3 || !seen; round++) { /* the kernel may not run the other at once */
        CHECK(round < 1000, "no profile counted anything");
        for (uintptr_t i = 0; i < THREADS; i++) {
            threads[i] = start_thread(run_handing, (void *)(round * THREADS + i + 1));
        }
        for (size_t i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
        }
    }
    over = true;
    pthread_join(dumping, NULL);
    for (size_t i = 0; i < HANDED; i++) {
        mb_free(handed[i]);
    }
    FILE *dump = dump_profile();
    struct figures all = figures_in(dump, 0);
    CHECK(all.objects > 0 && all.live_objects == 0 && all.live_bytes == 0,
          "%.0f of %.0f objects live", all.live_objects, all.objects);
    CHECK(dump_count(dump, "samples ") == dump_count(dump, "freed "), "samples and freed differ");
    fclose(dump);
    (void)check_accounting(0);
}

/* Children go on: they free what the parent's threads allocated, and sample themselves. */
static void case_fork(void)
{
    pthread_t threads[THREADS];
    start(256);
    for (uintptr_t i = 0; i < THREADS; i++) {
        threads[i] = start_thread(run_handing, (void *)(i + 1));
    }
    for (int child = 0; child < 20; child++) {
        pid_t pid = fork();
        CHECK(pid >= 0, "fork");
        if (pid == 0) {
            for (size_t i = 0; i < HANDED; i++) {
                mb_free(atomic_exchange(&handed[i], NULL));
            }
            FILE *before = dump_profile();
            /* So many stretches that some are counted, whatever the parent's threads learned. */
            for (unsigned turn = 0; turn < 200; turn++) {
                for (size_t i = 0; i < 1000; i++) {
                    handed[i] = sites[1](300);
                }
                for (size_t i = 0; i < 1000; i++) {
                    mb_free(handed[i]);
                }
            }
            FILE *after = dump_profile();
            CHECK(figures_in(after, 0).objects > figures_in(before, 0).objects,
                  "no samples: %.0f, then %.0f objects, %.0f and %.0f lost",
                  figures_in(before, 0).objects, figures_in(after, 0).objects,
                  (double)dump_count(before, "lost "), (double)dump_count(after, "lost "));
            _exit(0);
        }
        int status;
        CHECK(waitpid(pid, &status, 0) == pid && status == 0, "the child ended with %#x", status);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* A thread that took no slow path since before the profile began, and takes none. */
static void case_circles(void)
{
    enum { OBJECTS = 1000000, NUMBER = 3 };
    size_t size = site_size(NUMBER);
    leave_nothing_to_chance();
    for (unsigned i = 0; i < 1000; i++) {
        mb_free(sites[NUMBER](size));
    }
    start(64 << 10);
    for (unsigned i = 0; i < OBJECTS; i++) {
        mb_free(sites[NUMBER](size));
    }
    FILE *dump = dump_profile();
    struct figures found = figures_in(dump, (uintptr_t)sites[NUMBER]);
    expect_near(found.objects, OBJECTS, (double)(OBJECTS * size) / (64 << 10), "objects", NUMBER);
    fclose(dump);
}

/* A handler dumps in the middle of anything. */
static volatile sig_atomic_t dumps;
static int dump_fd;

static void dump_in_handler(int number)
{
    (void)number;
    CHECK(lseek(dump_fd, 0, SEEK_SET) == 0 && mb_profile_dump(dump_fd) == 0, "dump in a handler");
    dumps++;
}

static void case_signal(void)
{
    FILE *file = tmpfile();
    CHECK(file != NULL, "tmpfile");
    dump_fd = fileno(file);
    start(64);
    struct sigaction action = { .sa_handler = dump_in_handler, .sa_flags = SA_RESTART };
    CHECK(sigaction(SIGALRM, &action, NULL) == 0, "sigaction");
    /* qemu takes longer for a dump than for all of that. */
    enum { EVERY_US = TEST_IS_EMULATED ? 200000 : 2000 };
    struct itimerval often = { .it_interval.tv_usec = EVERY_US, .it_value.tv_usec = EVERY_US };
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0, "setitimer");
    unsigned rounds = 0;
    for (; dumps < 50; rounds++) {
        uint64_t random = SEED + rounds;
        use_site(rounds % SITES, &random);
    }
    often = (struct itimerval){ .it_value.tv_usec = 0 };
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0, "setitimer");
    fclose(file);
}

static void case_errors(void)
{
    CHECK(mb_profile_start(0) == -EINVAL, "0 bytes");
    CHECK(mb_profile_start((size_t)1 << 41) == -EINVAL, "2 TiB");
    FILE *empty = dump_profile();
    CHECK(figures_in(empty, 0).objects == 0, "a dump without a profile");
    start(4096);
    CHECK(mb_profile_start(4096) == -EALREADY, "started again");
    CHECK(mb_profile_dump(-1) == -EBADF, "a bad descriptor");
    int full = open("/dev/full", O_WRONLY);
    CHECK(full >= 0 && mb_profile_dump(full) == -ENOSPC, "a full disk");
    mb_profile_stop();
    start(8192);
    FILE *second = dump_profile();
    CHECK(dump_count(second, "mean ") == 8192, "a second profile's mean is %lu", dump_count(second, "mean "));
    fclose(second);
    mb_profile_stop();
}

/* Of a large object, 1.87 in truth: what is shown is the nearest number. It is a sample until it goes. */
static void case_large(void)
{
    enum { BYTES = 100000, MEAN = 1 << 17 };
    volatile size_t too_large = PTRDIFF_MAX;
    FILE *dump;
    void *object;
    unsigned long samples = 0;
    start(MEAN);
    for (;;) {
        object = sites[0](BYTES);
        dump = dump_profile();
        samples = dump_count(dump, "samples ");
        if (samples != 0) {
            break;
        }
        mb_free(object);
        fclose(dump);
    }
    struct figures all = figures_in(dump, 0);
    fclose(dump);
    CHECK(samples == 1 && all.live_objects == 2 && all.objects == 2, "%.0f live, %.0f allocated",
          all.live_objects, all.objects);
    double expected = BYTES / (1 - exp(-(double)BYTES / MEAN));
    CHECK(fabs(all.bytes - expected) < 1, "%.0f bytes, not %.0f", all.bytes, expected);
    if (!TEST_IS_SANITIZED) { /* ThreadSanitizer ends the process */
        CHECK(mb_realloc(object, too_large) == NULL, "a realloc to half of the address space");
    }
    dump = dump_profile();
    CHECK(figures_in(dump, 0).live_objects == 2, "after a realloc that failed");
    fclose(dump);
    mb_profile_stop();
    mb_free(object);
    dump = dump_profile();
    CHECK(figures_in(dump, 0).live_objects == 0, "it stays");
    fclose(dump);
}

/* More samples of a size than there are cells: those beyond are said to be lost, and are objects as any. */
static void case_lost(void)
{
    enum { CELLS_MAX = 1 << 17, OBJECTS = CELLS_MAX + 100 };
    static unsigned char *objects[OBJECTS];
    start(1);
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = sites[0](16);
        objects[i][15] = (unsigned char)i;
    }
    for (size_t i = 0; i < OBJECTS; i++) {
        CHECK(objects[i][15] == (unsigned char)i, "object %zu is another's", i);
        mb_free(objects[i]);
    }
    mb_profile_stop();
    FILE *dump = dump_profile();
    unsigned long lost = dump_count(dump, "lost ");
    CHECK(lost >= OBJECTS - CELLS_MAX && dump_count(dump, "samples ") + lost == OBJECTS, "%lu lost", lost);
    CHECK(figures_in(dump, 0).live_objects == 0, "%.0f objects live", figures_in(dump, 0).live_objects);
    fclose(dump);
    (void)check_accounting(0);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "estimates") == 0) {
        case_estimates(64 << 10, test_times(4000, TEST_IS_SANITIZED ? 60 : 600));
    } else if (strcmp(name, "estimates_default") == 0) {
        case_estimates(512 << 10, test_times(40000, TEST_IS_SANITIZED ? 200 : 1500));
    } else if (strcmp(name, "exact") == 0) {
        case_exact();
    } else if (strcmp(name, "calls") == 0) {
        case_calls();
    } else if (strcmp(name, "threads") == 0) {
        case_threads();
    } else if (strcmp(name, "fork") == 0) {
        case_fork();
    } else if (strcmp(name, "circles") == 0) {
        case_circles();
    } else if (strcmp(name, "signal") == 0) {
        case_signal();
    } else if (strcmp(name, "errors") == 0) {
        case_errors();
    } else if (strcmp(name, "lost") == 0) {
        case_lost();
    } else if (strcmp(name, "large") == 0) {
        case_large();
    } else {
        CHECK(false, "no case %s", name);
    }
    return 0;
}
