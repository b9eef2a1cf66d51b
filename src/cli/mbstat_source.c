/* mbstat_source: folders, files, and whether the process that wrote one is still there. */
#include "cli/mbstat_source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FOLDERS_MAX = 3, NAMED_MAX = 8 };

uint64_t source_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("mbstat: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

/* ---- where files are ------------------------------------------------------------------------ */

struct folders {
    char paths[FOLDERS_MAX][PATH_MAX];
    size_t count;
};

static void add_folder(struct folders *folders, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void add_folder(struct folders *folders, const char *format, ...)
{
    char *path = folders->paths[folders->count];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(path, PATH_MAX, format, arguments);
    va_end(arguments);
    bool known = false;
    for (size_t i = 0; i < folders->count; i++) {
        known |= strcmp(folders->paths[i], path) == 0;
    }
    folders->count += bytes > 0 && bytes < PATH_MAX && !known;
}

/* Where a user's processes may have their files, whatever session they were started in. */
static void folders_of(uid_t user, struct folders *folders)
{
    const char *session = getenv("XDG_RUNTIME_DIR");
    folders->count = 0;
    if (user == geteuid() && session != NULL && session[0] == '/') {
        add_folder(folders, "%s/memorybucket", session);
    }
    add_folder(folders, "/run/user/%u/memorybucket", (unsigned)user);
    add_folder(folders, "/dev/shm/memorybucket-%u", (unsigned)user);
}

/* ---- the process ---------------------------------------------------------------------------- */

static bool is_number(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits < 10 && text[digits] == '\0';
}

/* When a process began, in ticks; 0: it has ended, or /proc does not say. */
static uint64_t start_of(uint64_t process)
{
    enum { FIELDS_TO_START = 20 };
    char path[64];
    char text[1024];
    snprintf(path, sizeof path, "/proc/%llu/stat", (unsigned long long)process);
    FILE *file = fopen(path, "re");
    size_t bytes = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file != NULL) {
        fclose(file);
    }
    text[bytes] = '\0';
    const char *at = strrchr(text, ')');
    if (at != NULL && strncmp(at, ") Z", 3) == 0) {
        return 0; /* its parent has not asked for its status yet */
    }
    for (int i = 0; at != NULL && i < FIELDS_TO_START; i++) {
        at = strchr(at + 1, ' ');
    }
    return at != NULL ? strtoull(at, NULL, 10) : 0;
}

/* Whether a process has the file mapped: not after exec. True also where that is not to be read. */
static bool has_mapped(uint64_t process, ino_t inode)
{
    char path[64];
    char line[PATH_MAX + 128];
    snprintf(path, sizeof path, "/proc/%llu/maps", (unsigned long long)process);
    FILE *maps = fopen(path, "re");
    bool any = false;
    bool found = false;
    while (maps != NULL && !found && fgets(line, sizeof line, maps) != NULL) {
        unsigned long long number = 0;
        any = true;
        found = sscanf(line, "%*s %*s %*s %*s %llu", &number) == 1 && number == inode
                && strstr(line, "memorybucket") != NULL;
    }
    if (maps != NULL) {
        fclose(maps);
    }
    return found || !any;
}

/* ---- a file --------------------------------------------------------------------------------- */

/* Opens and maps a file. False: *why is a text that follows its path, or NULL where none exists. */
static bool open_path(const char *path, uid_t user, struct source *source, const char **why)
{
    struct stat status;
    *why = NULL;
    if (snprintf(source->path, sizeof source->path, "%s", path) >= PATH_MAX) {
        *why = strerror(ENAMETOOLONG);
        return false;
    }
    source->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (source->fd < 0) {
        *why = errno == ENOENT || errno == ENOTDIR ? NULL : strerror(errno);
        return false;
    }
    void *start = MAP_FAILED;
    if (fstat(source->fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != user) {
        *why = "is no file of that process";
    } else if ((source->bytes = (size_t)status.st_size)
               < EXPORT_HEADER_WORDS * sizeof(uint64_t)) {
        *why = "is truncated";
    } else {
        start = mmap(NULL, source->bytes, PROT_READ, MAP_SHARED, source->fd, 0);
        *why = start == MAP_FAILED ? strerror(errno) : mbi_export_flaw(start, source->bytes);
    }
    source->file = start != MAP_FAILED ? start : NULL;
    if (*why != NULL) {
        source_close(source);
        return false;
    }
    mbi_export_owner(source->file, &source->owner);
    return true;
}

void source_close(struct source *source)
{
    if (source->file != NULL) {
        munmap((void *)(uintptr_t)source->file, source->bytes);
        source->file = NULL;
    }
    close(source->fd);
}

/* NULL: its process is there and publishes; else what became of it. */
static const char *why_stale(const struct source *source)
{
    struct stat status;
    uint64_t start = start_of(source->owner.process);
    if (start == 0) {
        return "has ended";
    }
    if (source->owner.start_ticks != 0 && start != source->owner.start_ticks) {
        return "has ended, and another one has its number";
    }
    if (fstat(source->fd, &status) == 0 && !has_mapped(source->owner.process, status.st_ino)) {
        return "has become another program, which does not publish its statistics";
    }
    return NULL;
}

/* ---- all files ------------------------------------------------------------------------------ */

/* Calls see(source, why it is stale or NULL, argument) for each good file of the caller's user. */
static void for_each(void (*see)(struct source *, const char *, void *), void *argument)
{
    struct folders folders;
    folders_of(geteuid(), &folders);
    for (size_t i = 0; i < folders.count; i++) {
        DIR *folder = opendir(folders.paths[i]);
        struct dirent *entry;
        while (folder != NULL && (entry = readdir(folder)) != NULL) {
            char path[2 * PATH_MAX];
            struct source source = { .fd = -1 };
            const char *why;
            snprintf(path, sizeof path, "%s/%s", folders.paths[i], entry->d_name);
            if (is_number(entry->d_name) && open_path(path, geteuid(), &source, &why)) {
                see(&source, why_stale(&source), argument);
                source_close(&source);
            }
        }
        if (folder != NULL) {
            closedir(folder);
        }
    }
}

struct listing {
    struct snapshot *snapshot;
    unsigned count;
};

static void list_one(struct source *source, const char *stale, void *argument)
{
    struct listing *listing = argument;
    struct snapshot *snapshot = listing->snapshot;
    if (listing->count++ == 0) {
        printf("%8s %-16s %10s %8s %8s\n", "PID", "NAME", "COMMITTED", "THREADS", "AGE");
    }
    printf("%8llu %-16s", (unsigned long long)source->owner.process, source->owner.name);
    if (stale != NULL) {
        printf(" %s; mbstat --clean removes %s\n", stale, source->path);
    } else if (source_read(source, snapshot) == SOURCE_READ) {
        uint64_t age_ns = source_now_ns() - snapshot->totals[TOTAL_published_ns];
        printf(" %9lluK %8llu %7.1fs\n",
               (unsigned long long)snapshot->totals[TOTAL_committed_bytes] >> 10,
               (unsigned long long)snapshot->totals[TOTAL_threads], (double)age_ns / 1e9);
    } else {
        printf(" no figures yet\n");
    }
}

bool source_list(void)
{
    struct listing listing = { .snapshot = calloc(1, sizeof(struct snapshot)) };
    if (listing.snapshot != NULL) {
        for_each(list_one, &listing);
    }
    free(listing.snapshot);
    if (listing.count == 0) {
        complain("no process of yours publishes its statistics (MB_EXPORT=1)");
    }
    return listing.count != 0;
}

static void clean_one(struct source *source, const char *stale, void *argument)
{
    if (stale != NULL && unlink(source->path) == 0) {
        printf("removed %s: process %llu (%s) %s\n", source->path,
               (unsigned long long)source->owner.process, source->owner.name, stale);
        ++*(unsigned *)argument;
    }
}

unsigned source_clean(void)
{
    unsigned count = 0;
    for_each(clean_one, &count);
    return count;
}

/* ---- the one that is wanted ----------------------------------------------------------------- */

struct search {
    const char *name;
    uint64_t found[NAMED_MAX];
    size_t count;
};

/* The kernel keeps 15 characters of a program's name. */
static void match_name(struct source *source, const char *stale, void *argument)
{
    enum { KEPT = 15 };
    struct search *search = argument;
    if (stale == NULL && strncmp(source->owner.name, search->name, KEPT) == 0
        && search->count < NAMED_MAX) {
        search->found[search->count++] = source->owner.process;
    }
}

static bool open_process(uint64_t process, struct source *source)
{
    char path[2 * PATH_MAX];
    struct stat status;
    const char *why = NULL;
    struct folders folders;
    snprintf(path, sizeof path, "/proc/%llu", (unsigned long long)process);
    bool lives = stat(path, &status) == 0;
    uid_t user = lives ? status.st_uid : geteuid();
    if (user != geteuid() && geteuid() != 0) {
        complain("process %llu belongs to user %u: only that user reads its statistics",
                 (unsigned long long)process, (unsigned)user);
        return false;
    }
    folders_of(user, &folders);
    for (size_t i = 0; i < folders.count && why == NULL; i++) {
        snprintf(path, sizeof path, "%s/%llu", folders.paths[i], (unsigned long long)process);
        if (open_path(path, user, source, &why)) {
            const char *stale = why_stale(source);
            if (stale == NULL) {
                return true;
            }
            complain("process %llu (%s) %s; mbstat --clean removes %s",
                     (unsigned long long)process, source->owner.name, stale, source->path);
            source_close(source);
            return false;
        }
    }
    if (why != NULL) {
        complain("%s %s", source->path, why);
    } else if (lives) {
        complain("process %llu does not publish its statistics: start it with MB_EXPORT=1, or "
                 "have it call mb_export_start",
                 (unsigned long long)process);
    } else {
        complain("there is no process %llu", (unsigned long long)process);
    }
    return false;
}

bool source_open(const char *wanted, struct source *source)
{
    if (is_number(wanted)) {
        return open_process(strtoull(wanted, NULL, 10), source);
    }
    struct search search = { .name = wanted };
    for_each(match_name, &search);
    if (search.count == 1) {
        return open_process(search.found[0], source);
    }
    if (search.count == 0) {
        complain("no process of yours that is called %s publishes its statistics; mbstat --list "
                 "names those that do",
                 wanted);
    } else {
        fprintf(stderr, "mbstat: several processes are called %s; name one by its number:", wanted);
        for (size_t i = 0; i < search.count; i++) {
            fprintf(stderr, " %llu", (unsigned long long)search.found[i]);
        }
        fputc('\n', stderr);
    }
    return false;
}

/* ---- reading -------------------------------------------------------------------------------- */

static sigjmp_buf lost_page;

static void lose_page(int signal_number)
{
    (void)signal_number;
    siglongjmp(lost_page, 1);
}

/* A file that becomes shorter while it is read raises SIGBUS. */
static bool read_guarded(const struct source *source, struct snapshot *out, bool *lost)
{
    struct sigaction action = { .sa_handler = lose_page };
    struct sigaction before;
    volatile bool read = false;
    *lost = false;
    sigaction(SIGBUS, &action, &before);
    if (sigsetjmp(lost_page, 1) == 0) {
        read = mbi_export_read(source->file, out);
    } else {
        *lost = true;
    }
    sigaction(SIGBUS, &before, NULL);
    return read;
}

static uint64_t resident_bytes_of(uint64_t process)
{
    char path[64];
    unsigned long long pages = 0;
    snprintf(path, sizeof path, "/proc/%llu/statm", (unsigned long long)process);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fscanf(file, "%*u %llu", &pages) != 1) {
            pages = 0;
        }
        fclose(file);
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

enum source_state source_read(struct source *source, struct snapshot *out)
{
    struct stat status;
    bool lost = false;
    bool read = false;
    if (fstat(source->fd, &status) != 0 || (size_t)status.st_size < source->bytes) {
        return SOURCE_DAMAGED;
    }
    for (int i = 0; i < 20 && !read && !lost; i++) {
        struct timespec pause = { .tv_nsec = i * 1000000L };
        nanosleep(&pause, NULL);
        read = read_guarded(source, out, &lost);
    }
    if (lost) {
        return SOURCE_DAMAGED;
    }
    uint64_t start = start_of(source->owner.process);
    if (status.st_nlink == 0 || start == 0
        || (source->owner.start_ticks != 0 && start != source->owner.start_ticks)) {
        return SOURCE_ENDED;
    }
    out->totals[TOTAL_process_resident_bytes] = resident_bytes_of(source->owner.process);
    return read ? SOURCE_READ : SOURCE_NONE;
}

void source_say(const struct source *source, enum source_state state)
{
    unsigned long long process = source->owner.process;
    switch (state) {
    case SOURCE_READ: break;
    case SOURCE_NONE: complain("process %llu has published no figures yet", process); break;
    case SOURCE_ENDED:
        complain("process %llu (%s) has ended, or publishes no more", process, source->owner.name);
        break;
    case SOURCE_DAMAGED: complain("%s became shorter while it was read", source->path); break;
    }
}

bool source_read_first(struct source *source, struct snapshot *out)
{
    enum source_state state = SOURCE_NONE;
    for (int i = 0; i < 5 && state == SOURCE_NONE; i++) {
        state = source_read(source, out);
    }
    source_say(source, state);
    return state == SOURCE_READ;
}

bool source_may_trim(const struct source *source)
{
    return export_header_word(source->file, EXPORT_AT_TRIM_ALLOWED) != 0;
}

bool source_ask_trim(const struct source *source)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", source->fd);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *start = fd >= 0 ? mmap(NULL, EXPORT_HEADER_WORDS * sizeof(uint64_t),
                                 PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                          : MAP_FAILED;
    if (start != MAP_FAILED) {
        _Atomic uint64_t *file = start;
        export_set_header_word(file, EXPORT_AT_TRIMS_ASKED,
                               export_header_word(file, EXPORT_AT_TRIMS_ASKED) + 1);
        munmap(start, EXPORT_HEADER_WORDS * sizeof(uint64_t));
    }
    if (fd >= 0) {
        close(fd);
    }
    return start != MAP_FAILED;
}
