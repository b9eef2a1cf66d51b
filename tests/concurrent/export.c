/*
 * export: statistics are published while threads work, fork and end, and read by another thread.
 *
 * Usage: export sequence   readers of the sequence lock see whole publications, and what came before
 *        export publish    threads churn; each figure that is read belongs to one publication
 *        export fork       parent and child have a file each; what the child writes is its own
 *        export handler    a signal handler forks while its thread publishes, and both go on
 *        export trim       the process trims when it is asked, and only if it allowed that
 */
#include "insight/export_layout.h"

#include "testing.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char folder[] = "/tmp/mb-export-XXXXXX";

static const char *path_of(pid_t process)
{
    static char path[64];
    snprintf(path, sizeof path, "%s/memorybucket/%d", folder, (int)process);
    return path;
}

/* The mapped file of a process; NULL when there is none. */
static const _Atomic uint64_t *map_of(pid_t process, size_t *bytes)
{
    struct stat status;
    int file = open(path_of(process), O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return NULL;
    }
    CHECK(fstat(file, &status) == 0 && (status.st_mode & 0777) == 0600, "mode %o", status.st_mode);
    *bytes = (size_t)status.st_size;
    const void *start = mmap(NULL, *bytes, PROT_READ, MAP_SHARED, file, 0);
    CHECK(start != MAP_FAILED, "mmap: %m");
    close(file);
    return start;
}

static struct snapshot seen;

static const _Atomic uint64_t *good_map_of(pid_t process)
{
    size_t bytes = 0;
    const _Atomic uint64_t *file = map_of(process, &bytes);
    CHECK(file != NULL, "no file %s", path_of(process));
    CHECK(mbi_export_flaw(file, bytes) == NULL, "%s", mbi_export_flaw(file, bytes));
    struct snapshot_owner owner;
    mbi_export_owner(file, &owner);
    CHECK(owner.process == (uint64_t)process, "of process %llu", (unsigned long long)owner.process);
    return file;
}

/* ---- the sequence lock by itself --------------------------------------------------------------- */

enum { WORDS = 32, ROUNDS_MAX = 1 << 20, WHOLE_ENOUGH = 300 };
static _Atomic uint64_t lock_file[EXPORT_HEADER_WORDS + WORDS];
/* Plain: by the orders of export_layout.h alone a reader may read those of a publication it saw. */
static uint64_t written_before[ROUNDS_MAX + 1];
static uint64_t begun_before[ROUNDS_MAX + 1];
static _Atomic bool stop;

static bool is_stopped(void)
{
    return atomic_load_explicit(&stop, memory_order_relaxed);
}

static void *write_rounds(void *unused)
{
    for (uint64_t round = 1; round <= ROUNDS_MAX && !is_stopped(); round++) {
        begun_before[round] = round;
        export_begin(lock_file);
        for (size_t i = 0; i < WORDS; i++) {
            export_store(&lock_file[EXPORT_HEADER_WORDS + i], round);
        }
        written_before[round] = round;
        export_end(lock_file);
        if (round % 8 == 0) {
            sched_yield(); /* one processor is enough, too */
        }
    }
    return unused;
}

/* Until the writer has begun another round, or has ended. What it wrote before is not waited for. */
static void wait_for_another(uint64_t sequence)
{
    enum { TURNS = 10000 };
    const _Atomic uint64_t *now = &lock_file[EXPORT_AT_SEQUENCE];
    for (int i = 0; i < TURNS && atomic_load_explicit(now, memory_order_relaxed) == sequence; i++) {
        sched_yield();
    }
}

/* A whole publication, or 0. */
static uint64_t read_round(bool meets_writer)
{
    uint64_t sequence = export_sequence(lock_file);
    if (sequence % 2 != 0) {
        return 0;
    }
    if (meets_writer) {
        wait_for_another(sequence);
    }
    uint64_t words[WORDS];
    for (size_t i = 0; i < WORDS; i++) {
        words[i] = export_load(&lock_file[EXPORT_HEADER_WORDS + i]);
        CHECK(begun_before[words[i]] == words[i], "a word came before what was written before it");
    }
    if (!export_is_still(lock_file, sequence)) {
        return 0;
    }
    for (size_t i = 1; i < WORDS; i++) {
        CHECK(words[i] == words[0], "word %zu is of publication %llu, the first of %llu", i,
              (unsigned long long)words[i], (unsigned long long)words[0]);
    }
    CHECK(words[0] == sequence / 2, "an old publication");
    CHECK(written_before[words[0]] == words[0], "a publication came before its end");
    return words[0];
}

static void test_sequence(void)
{
    unsigned whole = 0;
    unsigned met = 0;
    pthread_t writer = start_thread(write_rounds, NULL);
    while (whole < WHOLE_ENOUGH) {
        bool is_whole = read_round((whole + met) % 2 != 0) != 0;
        whole += is_whole;
        met += !is_whole;
        if (is_whole) {
            sched_yield();
        }
    }
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    pthread_join(writer, NULL);
    printf("%u publications were read whole, %u times the writer was met\n", whole, met);
}

/* ---- publication ------------------------------------------------------------------------------- */

static _Atomic unsigned churning; /* relaxed: they wait for a number, and for nothing behind it */

static void *churn(void *unused)
{
    enum { OBJECTS = 5000 };
    void *objects[OBJECTS];
    use_objects(objects, OBJECTS, 64);
    atomic_fetch_add_explicit(&churning, 1, memory_order_relaxed);
    while (!is_stopped()) {
        use_objects(objects, OBJECTS, 64);
    }
    return unused;
}

static void check_snapshot(void)
{
    uint64_t rows = seen.totals[TOTAL_thread_rows];
    CHECK(rows <= 64, "%llu rows", (unsigned long long)rows);
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        const uint64_t *pool = seen.pools[class];
        uint64_t not_live = pool[POOL_magazines] + pool[POOL_parked] + pool[POOL_central]
                            + pool[POOL_loose] + pool[POOL_sorted] + pool[POOL_orphaned];
        /* `live` is derived of the others, where threads at work do not make it negative. */
        CHECK(pool[POOL_live] == 0 || pool[POOL_carved] == pool[POOL_live] + not_live,
              "pool %zu: carved %llu, live %llu, not %llu", class,
              (unsigned long long)pool[POOL_carved], (unsigned long long)pool[POOL_live],
              (unsigned long long)not_live);
    }
}

static void test_publish(void)
{
    enum { THREADS = 4, PUBLICATIONS = 10, INTERVAL_NS = 100000000, FIRST_SOONER = 128, SOON_LAST = 8 };
    pthread_t threads[THREADS];
    CHECK(mb_export_start(0) == 0, "no start");
    const _Atomic uint64_t *file = good_map_of(getpid());
    CHECK(mbi_export_read(file, &seen) && seen.totals[TOTAL_publications] == 1, "not published");
    CHECK(seen.totals[TOTAL_interval_ns] == INTERVAL_NS / FIRST_SOONER, "the next one is not to come soon");
    CHECK(mb_export_start(1) == 0, "a second start");
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] = start_thread(churn, NULL);
    }
    while (atomic_load_explicit(&churning, memory_order_relaxed) < THREADS) {
        usleep(1000);
    }
    /* By now each has its cache: those that are read from here on, but for the first, know of all. */
    unsigned read = 0;
    uint64_t publications = 0;
    uint64_t last_ns = 0;
    while (read < PUBLICATIONS) {
        if (mbi_export_read(file, &seen) && seen.totals[TOTAL_published_ns] != last_ns) {
            CHECK(seen.totals[TOTAL_publications] > publications, "it went back");
            CHECK(seen.totals[TOTAL_published_ns] > last_ns, "its time went back");
            publications = seen.totals[TOTAL_publications];
            last_ns = seen.totals[TOTAL_published_ns];
            CHECK(publications <= SOON_LAST || seen.totals[TOTAL_interval_ns] >= INTERVAL_NS,
                  "publication %llu comes too soon", (unsigned long long)publications);
            check_snapshot();
            read++;
        }
    }
    CHECK(seen.totals[TOTAL_threads] == THREADS, "%llu threads",
          (unsigned long long)seen.totals[TOTAL_threads]);
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(access(path_of(getpid()), F_OK) == 0, "the file went");
    mb_export_stop();
    mb_export_stop();
    CHECK(access(path_of(getpid()), F_OK) != 0, "the file stayed");
    CHECK(mb_export_start(0) == 0 && access(path_of(getpid()), F_OK) == 0, "no second file");
}

/* ---- fork -------------------------------------------------------------------------------------- */

static void work_for_a_moment(void)
{
    enum { OBJECTS = 20000 }; /* more than a thread caches: so there are slow paths */
    static void *objects[OBJECTS];
    for (int i = 0; i < 2; i++) {
        use_objects(objects, OBJECTS, 64);
    }
}

static void wait_for(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0, "the child's status %x", status);
}

static void test_fork(void)
{
    CHECK(mb_export_start(0) == 0, "no start");
    pid_t parent = getpid();
    const _Atomic uint64_t *file = good_map_of(parent);
    work_for_a_moment();
    uint64_t before = export_sequence(file);
    pid_t child = fork();
    if (child == 0) {
        CHECK(access(path_of(getpid()), F_OK) != 0, "a file without any request");
        errno = EDOM;
        work_for_a_moment();
        CHECK(errno == EDOM, "errno became %d", errno);
        const _Atomic uint64_t *own = good_map_of(getpid());
        CHECK(mbi_export_read(own, &seen) && seen.totals[TOTAL_publications] != 0, "not published");
        CHECK(seen.totals[TOTAL_thread_rows] == 1 && seen.threads[0][THREAD_thread] == (uint64_t)getpid(),
              "of thread %llu", (unsigned long long)seen.threads[0][THREAD_thread]);
        exit(0);
    }
    wait_for(child);
    CHECK(access(path_of(child), F_OK) != 0, "the child left its file");
    CHECK(export_sequence(good_map_of(parent)) == before, "the child wrote to the parent's file");
    while (export_sequence(file) == before) { /* for ever, if the parent publishes no more */
        struct timespec pause = { .tv_nsec = 20000000 };
        nanosleep(&pause, NULL);
        work_for_a_moment();
    }
}

static _Atomic unsigned forks;

/* A handler that forks wherever its thread is; the child goes back into what was interrupted. */
static void fork_now(int signal_number)
{
    (void)signal_number;
    int saved_errno = errno;
    pid_t child = fork();
    if (child == 0) {
        _exit(0);
    }
    wait_for(child);
    atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
    errno = saved_errno;
}

static void test_handler(void)
{
    struct sigaction action = { .sa_handler = fork_now, .sa_flags = SA_RESTART };
    sigaction(SIGUSR1, &action, NULL);
    CHECK(mb_export_start(0) == 0, "no start");
    const _Atomic uint64_t *file = good_map_of(getpid());
    uint64_t later = export_sequence(file) + 2 * 3;
    pthread_t thread = start_thread(churn, NULL);
    unsigned sent = 0;
    while (export_sequence(file) < later) {
        /* What a publication takes, forks included, says when the next one is due. So the thread
         * gets on between them. */
        struct timespec pause = { .tv_nsec = 5000000 };
        if (atomic_load_explicit(&forks, memory_order_relaxed) == sent) {
            pthread_kill(thread, SIGUSR1);
            sent++;
        }
        nanosleep(&pause, NULL);
    }
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    pthread_join(thread, NULL);
}

/* ---- trim -------------------------------------------------------------------------------------- */

static _Atomic uint64_t *writable_map(void)
{
    int file = open(path_of(getpid()), O_RDWR | O_CLOEXEC);
    CHECK(file >= 0, "%s: %m", path_of(getpid()));
    void *start = mmap(NULL, EXPORT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(start != MAP_FAILED, "mmap: %m");
    close(file);
    return start;
}

static bool trims_when_asked(int allowed)
{
    CHECK(mb_export_start(allowed) == 0, "no start");
    _Atomic uint64_t *file = writable_map();
    CHECK(export_header_word(file, EXPORT_AT_TRIM_ALLOWED) == (uint64_t)allowed, "not as allowed");
    export_set_header_word(file, EXPORT_AT_TRIMS_ASKED, 1);
    uint64_t two_later = export_sequence(file) + 4;
    while (export_sequence(file) < two_later) {
        struct timespec pause = { .tv_nsec = 20000000 };
        nanosleep(&pause, NULL);
        work_for_a_moment();
    }
    bool done = export_header_word(file, EXPORT_AT_TRIMS_DONE) == 1;
    munmap((void *)file, EXPORT_BYTES);
    mb_export_stop();
    return done;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = { { "sequence", test_sequence }, { "publish", test_publish },
                  { "fork", test_fork },         { "handler", test_handler } };
    const char *name = argc > 1 ? argv[1] : "";
    CHECK(mkdtemp(folder) != NULL && setenv("XDG_RUNTIME_DIR", folder, 1) == 0, "%s: %m", folder);
    if (strcmp(name, "trim") == 0) {
        CHECK(trims_when_asked(1), "no trim");
        CHECK(!trims_when_asked(0), "a trim that was not allowed");
    }
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        if (strcmp(name, tests[i].name) == 0) {
            tests[i].run();
        }
    }
    mb_export_stop();
    char path[64];
    snprintf(path, sizeof path, "%s/memorybucket", folder);
    CHECK(strcmp(name, "sequence") == 0 || rmdir(path) == 0, "%s: %m", path);
    return rmdir(folder);
}
