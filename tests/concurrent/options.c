/*
 * options CASE: what mb_option_set does to a process, and when it is refused.
 *
 * verbose, stats, path, check, background, limit
 *           an option that the program sets before its first allocation has its effect
 * later     with the library up, a call tells what holds
 * start     a call from a signal handler that interrupted the start is refused
 * threads   calls beside each other and beside the first allocation: what was accepted holds
 * beside    what a call reads without a lock is nothing that the first allocation writes
 * secure a set-user-ID program has its own options, and nothing is read from or said of the
 * environment
 *
 * What the program writes to stderr is read back, by a pipe from a child that does the work. The
 * linker puts functions between the library and what it calls, so that a process looks set-user-ID
 * or interrupted.
 */
#include "testing.h"

#include "core/config.h"

#include <errno.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/wait.h>

static bool is_secure;
static bool interrupts_start;

char *__real_secure_getenv(const char *name);
char *__wrap_secure_getenv(const char *name);
unsigned long __real_getauxval(unsigned long type);
unsigned long __wrap_getauxval(unsigned long type);
void __real_mbi_config_read(void);
void __wrap_mbi_config_read(void);

char *__wrap_secure_getenv(const char *name)
{
    return is_secure ? NULL : __real_secure_getenv(name);
}

unsigned long __wrap_getauxval(unsigned long type)
{
    return is_secure && type == AT_SECURE ? 1 : __real_getauxval(type);
}

/* Where a signal handler would run: the thread has the start's lock. */
void __wrap_mbi_config_read(void)
{
    if (interrupts_start) {
        int result = mb_option_set("MB_DECAY_MS", "5");
        CHECK(result == -EAGAIN, "%d", result);
    }
    __real_mbi_config_read();
}

static void set(const char *name, const char *value, int expected)
{
    errno = 1234;
    int result = mb_option_set(name, value);
    CHECK(result == expected, "%s=%s: %d, not %d", name, value, result, expected);
    CHECK(errno == 1234, "%s=%s: errno %d", name, value, errno);
}

/* Runs it in a child, which may exit with its own status; what it says, and how it ended. */
static const char *said_by(void (*work)(void), int *status)
{
    static char text[1 << 16];
    int ends[2];
    size_t used = 0;
    ssize_t count;
    CHECK(pipe(ends) == 0, "%s", strerror(errno));
    pid_t pid = fork();
    CHECK(pid >= 0, "%s", strerror(errno));
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        work();
        exit(0);
    }
    close(ends[1]);
    while ((count = read(ends[0], text + used, sizeof text - 1 - used)) > 0) {
        used += (size_t)count;
    }
    text[used] = '\0';
    close(ends[0]);
    CHECK(waitpid(pid, status, 0) == pid, "%s", strerror(errno));
    return text;
}

/* The same where it has to end well and say this; NULL: nothing. */
static void expect_said(void (*work)(void), const char *expected)
{
    int status;
    const char *said = said_by(work, &status);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x, said: %s", (unsigned)status, said);
    CHECK(expected != NULL ? strstr(said, expected) != NULL : said[0] == '\0', "said: %s", said);
}

static void be_verbose(void)
{
    set("MB_VERBOSE", "1", 0);
    set("MB_THREAD_CACHE_MAX", "512K", 0);
    CHECK(mb_init() == 0, "mb_init");
}

/* Without a dense tier there can be no huge pages. */
static void be_verbose_of_what_holds(void)
{
    set("MB_VERBOSE", "1", 0);
    set("MB_HUGEPAGE", "1", 0);
    unsetenv("MB_REGION_SIZE");
    set("MB_REGION_SIZE", "64M", 0);
    CHECK(mb_init() == 0, "mb_init");
}

/* Checked mode has a border of its own. */
static void be_verbose_of_the_border(void)
{
    set("MB_VERBOSE", "1", 0);
    set("MB_POOL_MAX", "4K", 0);
    set("MB_CHECK", "1", 0);
    CHECK(mb_init() == 0, "mb_init");
}

static void use_and_exit(void)
{
    mb_free(mb_alloc(40));
}

static void report(void)
{
    set("MB_STATS", "1", 0);
    use_and_exit();
}

static void report_after_all(void)
{
    set("MB_STATS", "1", 0);
    set("MB_STATS", NULL, 0);
    use_and_exit();
}

/* As coreutils do; the report still goes there. */
static void report_and_close(void)
{
    report();
    close(STDERR_FILENO);
}

static void report_by_quick_exit(void)
{
    report();
    quick_exit(0);
}

static void report_without_allocation(void)
{
    set("MB_STATS", "1", 0);
}

static char path[64];

static void report_to_path(void)
{
    set("MB_STATS", "/nowhere/at/all", 0);
    set("MB_STATS", path, 0); /* the last one counts */
    use_and_exit();
}

static void report_to_path_after_all(void)
{
    setenv("MB_STATS", "somewhere", 1);
    report_to_path();
}

static void check_path(void)
{
    char text[4096];
    snprintf(path, sizeof path, "/tmp/memorybucket-options.XXXXXX");
    int file = mkstemp(path);
    CHECK(file >= 0, "%s: %s", path, strerror(errno));
    for (unsigned i = 0; i < 2; i++) {
        expect_said(i == 0 ? report_to_path : report_to_path_after_all,
                    i == 0 ? NULL : "MB_STATS=somewhere is not valid");
        ssize_t count = read(file, text, sizeof text - 1);
        CHECK(count > 0, "nothing in the file");
        text[count] = '\0';
        CHECK(strstr(text, "refills") != NULL, "%s", text);
    }
    unlink(path);
}

__attribute__((noinline)) static void plant_double_free(void)
{
    void *object = mb_alloc(40);
    mb_free(object);
    mb_free(object);
}

static void free_twice(void)
{
    set("MB_CHECK", "double_free", 0);
    plant_double_free();
}

/* What is found has a stack, for which an unwinder was loaded: as where the environment asks for checks. */
static void check_checks(void)
{
    int status;
    const char *said = said_by(free_twice, &status);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %x", (unsigned)status);
    CHECK(strncmp(said, "memorybucket: double free", 25) == 0, "said: %s", said);
    CHECK(strstr(said, " #1 ") != NULL, "no stack: %s", said);
}

static unsigned threads_of_this_process(void)
{
    char line[256];
    unsigned threads = 0;
    FILE *file = fopen("/proc/self/status", "r");
    CHECK(file != NULL, "/proc/self/status");
    while (fgets(line, sizeof line, file) != NULL) {
        (void)sscanf(line, "Threads: %u", &threads);
    }
    fclose(file);
    return threads;
}

static void check_background(void)
{
    setenv("MB_BACKGROUND", "yes", 1); /* not accepted: the program's holds */
    set("MB_BACKGROUND", "1", 0);
    unsigned before = threads_of_this_process();
    for (size_t i = 0; i < MB_POOL_COUNT; i++) {
        mb_free(mb_alloc(8 * i + 8));
    }
    unsigned now = threads_of_this_process();
    /* ThreadSanitizer has a thread of its own, beside the first that the program starts. */
    CHECK(now == before + 1 || (TEST_IS_SANITIZED && now > before), "%u threads, and %u before", now,
          before);
    mb_background_stop();
}

static void check_limit(void)
{
    size_t count = 0;
    set("MB_MEMORY_LIMIT", "2M", 0);
    while (mb_alloc(512) != NULL) {
        count++;
    }
    CHECK(errno == ENOMEM && count >= 2048 && count <= 4096, "%zu objects, errno %d", count, errno);
    CHECK(mb_memory_limit_set(0) == (size_t)2 << 20, "another limit");
    set("MB_MEMORY_LIMIT", "2M", -EBUSY);
    set("MB_MEMORY_LIMIT", NULL, 0);
    CHECK(mb_memory_limit_set((size_t)3 << 20) == 0, "another limit");
    set("MB_MEMORY_LIMIT", "3M", 0);
}

static void check_later(void)
{
    setenv("MB_CACHE_MAX", "8M", 1);
    set("MB_MAGAZINE_SIZE", "64-64:512", 0);
    mb_free(mb_alloc(1));
    set("MB_MAGAZINE_SIZE", "64-64:512", 0);
    set("MB_MAGAZINE_SIZE", "64-64:256", -EBUSY);
    set("MB_MAGAZINE_SIZE", NULL, -EBUSY);
    set("MB_DECAY_MS", "1000", 0);
    set("MB_DECAY_MS", "10", -EBUSY);
    set("MB_DECAY_MS", NULL, 0);
    set("MB_CHECK", "1", -EBUSY);
    set("MB_STATS", "1", -EBUSY);
    set("MB_CACHE_MAX", "16M", 0); /* the environment's holds */
    set("MB_CACHE_MAX", "16", -EINVAL);
    set("MB_BLOCK_SIZE", "4K", -EINVAL);
    set(NULL, "1", -EINVAL);
    CHECK(mbi_config.cache_bytes_max == (size_t)8 << 20, "%zu", mbi_config.cache_bytes_max);
    CHECK(mbi_config.decay_ms == 1000 && mbi_config.magazine_rounds[7] == 512, "changed");
}

static void check_start(void)
{
    interrupts_start = true;
    mb_free(mb_alloc(1));
    CHECK(mbi_config.decay_ms == 1000, "%lld ms", (long long)mbi_config.decay_ms);
}

enum { THREADS = 8, CALLS = 200 };
static pthread_barrier_t together;

/* Thread n sets multiples of n + 1. Returns the last that was accepted. */
static void *set_windows(void *argument)
{
    uintptr_t number = (uintptr_t)argument;
    uintptr_t accepted = 0;
    pthread_barrier_wait(&together);
    for (uintptr_t i = 1; i <= CALLS; i++) {
        char value[16];
        snprintf(value, sizeof value, "%zu", (size_t)(i * THREADS + number));
        int result = mb_option_set("MB_DECAY_MS", value);
        CHECK(result == 0 || result == -EBUSY, "%d", result);
        accepted = result == 0 ? i * THREADS + number : accepted;
        if (number == 0 && i == CALLS / 2) {
            mb_free(mb_alloc(1));
        }
    }
    return (void *)accepted;
}

static void check_threads(void)
{
    pthread_t threads[THREADS];
    bool found = false;
    pthread_barrier_init(&together, NULL, THREADS);
    for (uintptr_t i = 0; i < THREADS; i++) {
        threads[i] = start_thread(set_windows, (void *)i);
    }
    for (size_t i = 0; i < THREADS; i++) {
        void *accepted;
        pthread_join(threads[i], &accepted);
        found = found || (uintptr_t)accepted == (uintptr_t)mbi_config.decay_ms;
    }
    CHECK(found, "%lld ms were accepted last by no thread", (long long)mbi_config.decay_ms);
}

static _Atomic bool stats_are_set;

static void *set_stats(void *argument)
{
    set("MB_STATS", "/dev/null", 0);
    atomic_store_explicit(&stats_are_set, true, memory_order_relaxed); /* [TEST] no order */
    return argument;
}

/* For ThreadSanitizer: nothing orders the allocation after the call's end. */
static void check_beside(void)
{
    setenv("MB_STATS", "somewhere", 1); /* not accepted: the program's holds */
    pthread_t thread = start_thread(set_stats, NULL);
    while (!atomic_load_explicit(&stats_are_set, memory_order_relaxed)) { /* [TEST] */
        usleep(1000);
    }
    mb_free(mb_alloc(1));
    pthread_join(thread, NULL);
    CHECK(mbi_config.stats_at_exit, "no report is asked for");
}

static void look_secure(void)
{
    is_secure = true;
    setenv("MB_VERBOSE", "1", 1);
    setenv("MB_DECAY_MS", "7", 1);
    setenv("MB_STAT", "1", 1);
    set("MB_DECAY_MS", "8", 0);
    CHECK(mb_init() == 0 && mbi_config.decay_ms == 8, "%lld ms", (long long)mbi_config.decay_ms);
    set("MB_DECAY_MS", "9", -EBUSY);
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    if (strcmp(what, "verbose") == 0) {
        expect_said(be_verbose, "thread caches up to 512 KiB\n");
        expect_said(be_verbose_of_what_holds, "MB_HUGEPAGE=0\n");
        expect_said(be_verbose_of_the_border, "MB_POOL_MAX=512\n");
        expect_said(use_and_exit, NULL);
    } else if (strcmp(what, "stats") == 0) {
        expect_said(report, "refills");
        expect_said(report_and_close, "refills");
        expect_said(report_by_quick_exit, "refills");
        expect_said(report_without_allocation, "MemoryBucket: reserved");
        expect_said(report_after_all, NULL);
    } else if (strcmp(what, "path") == 0) {
        check_path();
    } else if (strcmp(what, "check") == 0) {
        check_checks();
    } else if (strcmp(what, "background") == 0) {
        check_background();
    } else if (strcmp(what, "limit") == 0) {
        check_limit();
    } else if (strcmp(what, "later") == 0) {
        check_later();
    } else if (strcmp(what, "start") == 0) {
        check_start();
    } else if (strcmp(what, "threads") == 0) {
        check_threads();
    } else if (strcmp(what, "beside") == 0) {
        check_beside();
    } else {
        CHECK(strcmp(what, "secure") == 0, "usage: options CASE");
        expect_said(look_secure, NULL);
    }
    return 0;
}
