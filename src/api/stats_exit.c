/*
 * stats_exit: where the report at exit goes, and what it counts from.
 *
 * Programs close stderr before they exit (all of coreutils), or let another file get its number. So
 * the library keeps a duplicate from the start, and writes only to what is still the same file.
 */
#include "api/stats.h"
#include "core/config.h"
#include "core/counters.h"
#include "core/lock.h"
#include "core/os.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Above the numbers that shells and programs use; lower where the process may not have so many. */
enum { KEPT_FD_MIN = 500, KEPT_FD_MIN_LOW = 10 };

/* What the environment's MB_STATS said at the start, when the program had not touched it yet. */
enum { PATH_BYTES = 4096 };
static struct {
    char value[PATH_BYTES]; /* empty: no accepted value */
    bool asked;
    int fd; /* -1 without a stderr at the start */
    struct stat file;
} kept;

/* What the parent of this process had counted at the fork. */
static struct mb_stats before;
static struct mb_stats now;

static bool is_kept_file(int fd)
{
    struct stat file;
    return kept.fd >= 0 && fstat(fd, &file) == 0 && file.st_dev == kept.file.st_dev
           && file.st_ino == kept.file.st_ino;
}

static void note_child(void)
{
    (void)mb_stats_get_quick(&before, sizeof before);
}

static void keep(void)
{
    const char *value = mbi_config_given(OPTION_MB_STATS);
    if (value != NULL) {
        /* A path that is cut here is longer than the system takes. */
        (void)snprintf(kept.value, sizeof kept.value, "%s", value);
    }
    kept.asked = true;
    kept.fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, KEPT_FD_MIN);
    if (kept.fd < 0) {
        kept.fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, KEPT_FD_MIN_LOW);
    }
    if (kept.fd >= 0 && fstat(kept.fd, &kept.file) != 0) {
        kept.fd = -1;
    }
    (void)at_quick_exit(mbi_stats_exit_report);
    (void)pthread_atfork(NULL, NULL, note_child);
}

void mbi_stats_exit_prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, keep);
}

/* The file that was stderr at the start, or -1. */
static int stderr_fd(void)
{
    if (!kept.asked || is_kept_file(STDERR_FILENO)) {
        return STDERR_FILENO;
    }
    return is_kept_file(kept.fd) ? kept.fd : -1;
}

/* Writes the path, with the process's number for each %p; false when it is too long. */
static bool expand_path(const char *pattern, char *path, size_t room)
{
    size_t used = 0;
    while (*pattern != '\0' && used < room) {
        bool is_number = strncmp(pattern, "%p", 2) == 0;
        int added = is_number ? snprintf(path + used, room - used, "%ld", (long)getpid())
                              : snprintf(path + used, room - used, "%c", *pattern);
        used += (size_t)added;
        pattern += is_number ? 2 : 1;
    }
    return used < room;
}

/* Appends: several processes may share a file. */
static int open_path(const char *pattern)
{
    char path[PATH_BYTES];
    if (!expand_path(pattern, path, sizeof path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0666);
}

/* The file to append to; NULL: stderr. */
static const char *path_asked_for(void)
{
    const char *path = kept.value[0] != '\0' ? kept.value : mbi_option_recorded(OPTION_MB_STATS);
    return path != NULL && path[0] == '/' ? path : NULL;
}

/* Says on stderr why the path failed, by errno. A failure of stderr itself is said nowhere. */
static void complain_of_path(void)
{
    int error = errno;
    int fd = stderr_fd();
    if (fd >= 0 && path_asked_for() != NULL) {
        errno = error;
        dprintf(fd, "memorybucket: MB_STATS=%s: %m\n", path_asked_for());
    }
}

/* -1 where there is nothing to write to. */
static int open_place(void)
{
    const char *path = path_asked_for();
    if (path == NULL) {
        return stderr_fd();
    }
    int fd = open_path(path);
    if (fd < 0) {
        complain_of_path();
    }
    return fd;
}

static void count_since_fork(void)
{
#define SUBTRACT_THREADS(name, ...) now.name = size_above(now.name, before.name);
#define SUBTRACT_POOL(name, ...) pool->name = size_above(pool->name, earlier->name);
    THREAD_COUNTERS(SUBTRACT_THREADS)
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        struct mb_pool_stats *pool = &now.pool[class];
        const struct mb_pool_stats *earlier = &before.pool[class];
        TRANSFER_COUNTERS(SUBTRACT_POOL)
        POOL_EVENT_COUNTERS(SUBTRACT_POOL)
        SUBTRACT_POOL(taken)
        SUBTRACT_POOL(returned)
    }
}

static MBI_SELDOM void report(void)
{
    if (mb_stats_get(&now, sizeof now) != 0) {
        return;
    }
    struct cancelling cancelling = mbi_lock_forbid_cancel(); /* writing is a cancellation point */
    count_since_fork();
    /* The whole text at once, so that those of several processes do not mix. */
    static char text[(MB_POOL_COUNT + 2) * 256];
    FILE *lines = fmemopen(text, sizeof text, "w");
    int fd = open_place();
    if (lines != NULL && fd >= 0) {
        mbi_stats_write(lines, &now);
        (void)fflush(lines);
        if (!mbi_os_write_all(fd, text, strlen(text))) {
            complain_of_path();
        }
    }
    mbi_lock_allow_cancel(cancelling);
}

void mbi_stats_exit_report(void)
{
    mbi_config_read_late();
    if (mbi_config.stats_at_exit) {
        report();
    }
}
