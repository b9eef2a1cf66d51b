/* cgroup: the groups of the process, their directories, and the limits in them. */
#include "core/cgroup.h"

#include "core/os.h"

#include <limits.h>
#include <string.h>

/*
 * A membership file has a line for each of at most 13 hierarchies. What is longer is given up: there a
 * limit is not seen.
 */
enum { MEMBERSHIP_BYTES = 4096, PATH_BYTES = 1024, VALUE_BYTES = 64 };

#define NO_LIMIT UINT64_MAX

/* v1 writes "none" as LLONG_MAX in whole pages, and those have up to 64 KiB. */
#define V1_MEMORY_LIMIT_MAX ((uint64_t)LLONG_MAX - (1 << 20))

static const struct cgroup_places system_places = { "/proc/self/cgroup", "/sys/fs/cgroup" };

/* A line of the membership file, "ID:CONTROLLERS:PATH", by its parts; v2 has no controllers. */
struct membership {
    const char *controllers;
    size_t controllers_length;
    const char *path;
    size_t path_length;
};

/* A directory whose path grows and is cut; always ended with a zero, never by a slash. */
struct directory {
    size_t length;
    char path[PATH_BYTES];
};

/* Reads the limit that one directory sets, or NO_LIMIT; false when it has none of the files. */
typedef bool limit_reader(struct directory *directory, uint64_t *limit);

static bool parse_number(const char **text, uint64_t *number)
{
    const char *cursor = *text;
    *number = 0;
    if (*cursor < '0' || *cursor > '9') {
        return false;
    }
    for (; *cursor >= '0' && *cursor <= '9'; cursor++) {
        if (__builtin_mul_overflow(*number, UINT64_C(10), number)
            || __builtin_add_overflow(*number, (uint64_t)(*cursor - '0'), number)) {
            return false;
        }
    }
    *text = cursor;
    return true;
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool ends_here(const char *text)
{
    return *text == '\0' || (text[0] == '\n' && text[1] == '\0');
}

/* Nothing has changed where it returns false: there was no room. */
static bool directory_append(struct directory *directory, const char *text, size_t length)
{
    if (length >= PATH_BYTES - directory->length) {
        return false;
    }
    memcpy(directory->path + directory->length, text, length);
    directory->length += length;
    directory->path[directory->length] = '\0';
    return true;
}

static void directory_cut(struct directory *directory, size_t length)
{
    directory->length = length;
    directory->path[length] = '\0';
}

static bool directory_read(struct directory *directory, const char *name, char value[VALUE_BYTES])
{
    size_t length = directory->length;
    bool done = directory_append(directory, "/", 1)
                && directory_append(directory, name, strlen(name))
                && mbi_os_read_file(directory->path, value, VALUE_BYTES);
    directory_cut(directory, length);
    return done;
}

static bool read_memory_v2(struct directory *directory, uint64_t *bytes)
{
    char value[VALUE_BYTES];
    const char *cursor = value;
    *bytes = NO_LIMIT;
    if (!directory_read(directory, "memory.max", value)) {
        return false;
    }
    return starts_with(value, "max") || (parse_number(&cursor, bytes) && ends_here(cursor));
}

static bool read_memory_v1(struct directory *directory, uint64_t *bytes)
{
    char value[VALUE_BYTES];
    const char *cursor = value;
    *bytes = NO_LIMIT;
    if (!directory_read(directory, "memory.limit_in_bytes", value)
        || !parse_number(&cursor, bytes) || !ends_here(cursor)) {
        return false;
    }
    if (*bytes > V1_MEMORY_LIMIT_MAX) {
        *bytes = NO_LIMIT;
    }
    return true;
}

/* Both times are in microseconds; a part of a processor counts as one. */
static bool parse_quota(const char *quota_text, const char *period_text, uint64_t *processors)
{
    uint64_t quota;
    uint64_t period;
    if (!parse_number(&quota_text, &quota) || strchr(" \n", *quota_text) == NULL
        || !parse_number(&period_text, &period) || !ends_here(period_text) || period == 0) {
        return false;
    }
    *processors = quota / period + (quota % period != 0);
    *processors += *processors == 0;
    return true;
}

static bool read_processors_v2(struct directory *directory, uint64_t *processors)
{
    char value[VALUE_BYTES];
    *processors = NO_LIMIT;
    if (!directory_read(directory, "cpu.max", value)) {
        return false;
    }
    const char *space = strchr(value, ' ');
    return starts_with(value, "max")
           || (space != NULL && parse_quota(value, space + 1, processors));
}

static bool read_processors_v1(struct directory *directory, uint64_t *processors)
{
    char quota[VALUE_BYTES];
    char period[VALUE_BYTES];
    *processors = NO_LIMIT;
    if (!directory_read(directory, "cpu.cfs_quota_us", quota)
        || !directory_read(directory, "cpu.cfs_period_us", period)) {
        return false;
    }
    return starts_with(quota, "-1") || parse_quota(quota, period, processors);
}

static bool line_has(const struct membership *line, const char *controller)
{
    size_t length = strlen(controller);
    const char *cursor = line->controllers;
    const char *end = cursor + line->controllers_length;
    for (;;) {
        const char *comma = memchr(cursor, ',', (size_t)(end - cursor));
        const char *item_end = comma != NULL ? comma : end;
        if ((size_t)(item_end - cursor) == length && memcmp(cursor, controller, length) == 0) {
            return true;
        }
        if (comma == NULL) {
            return false;
        }
        cursor = comma + 1;
    }
}

/* The line with this controller; "" is v2's, which names none. */
static bool find_membership(const char *text, const char *controller, struct membership *line)
{
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        const char *end = text + length;
        const char *first = memchr(text, ':', length);
        const char *second = NULL;
        if (first != NULL) {
            second = memchr(first + 1, ':', (size_t)(end - first - 1));
        }
        if (second != NULL && second + 1 < end && second[1] == '/') {
            line->controllers = first + 1;
            line->controllers_length = (size_t)(second - first - 1);
            line->path = second + 1;
            line->path_length = (size_t)(end - second - 1);
            if (line_has(line, controller)) {
                return true;
            }
        }
        text = *end == '\n' ? end + 1 : end;
    }
    return false;
}

/* A group outside of the cgroup namespace is shown as "/../other": it is not below the mount. */
static bool path_leaves_mount(const struct membership *line)
{
    const char *end = line->path + line->path_length;
    for (const char *at = line->path; (at = memchr(at, '/', (size_t)(end - at))) != NULL; at++) {
        size_t left = (size_t)(end - at);
        if (left >= 3 && at[1] == '.' && at[2] == '.' && (left == 3 || at[3] == '/')) {
            return true;
        }
    }
    return false;
}

/*
 * Lowers *smallest to the limits of the group and its ancestors in one hierarchy, whose mount is
 * "MOUNTS/NAME", or MOUNTS itself. Returns whether there was any file of the kind.
 */
static bool lower_to_limits(struct directory *directory, const char *mounts, const char *name,
                            size_t name_length, const struct membership *line, limit_reader *read,
                            uint64_t *smallest)
{
    directory_cut(directory, 0);
    if (!directory_append(directory, mounts, strlen(mounts))
        || (name_length > 0
            && (!directory_append(directory, "/", 1)
                || !directory_append(directory, name, name_length)))) {
        return false;
    }
    size_t mount_length = directory->length;
    size_t path_length = path_leaves_mount(line) ? 0 : line->path_length;
    while (path_length > 0 && line->path[path_length - 1] == '/') {
        path_length--;
    }
    if (!directory_append(directory, line->path, path_length)) {
        return false;
    }
    bool found = false;
    for (;;) {
        uint64_t limit;
        if (read(directory, &limit)) {
            found = true;
            *smallest = limit < *smallest ? limit : *smallest;
        }
        if (directory->length == mount_length) {
            return found;
        }
        const char *slash = strrchr(directory->path + mount_length, '/');
        directory_cut(directory, (size_t)(slash - directory->path));
    }
}

/* Mapped, as it is more than somebody's smallest thread may have of stack. */
struct workspace {
    char text[MEMBERSHIP_BYTES];
    struct directory directory;
};

static uint64_t smallest_limit_with(struct workspace *work, const struct cgroup_places *places,
                                    const char *controller, limit_reader *read_v1,
                                    limit_reader *read_v2)
{
    struct membership line;
    uint64_t smallest = NO_LIMIT;
    struct directory *directory = &work->directory;
    if (!mbi_os_read_file(places->membership, work->text, sizeof work->text)) {
        return NO_LIMIT;
    }
    if (find_membership(work->text, controller, &line)) {
        if (!lower_to_limits(directory, places->mounts, controller, strlen(controller), &line,
                             read_v1, &smallest)) {
            lower_to_limits(directory, places->mounts, line.controllers, line.controllers_length,
                            &line, read_v1, &smallest);
        }
    } else if (find_membership(work->text, "", &line)) {
        if (!lower_to_limits(directory, places->mounts, "", 0, &line, read_v2, &smallest)) {
            lower_to_limits(directory, places->mounts, "unified", strlen("unified"), &line,
                            read_v2, &smallest);
        }
    }
    return smallest;
}

static uint64_t smallest_limit(const struct cgroup_places *places, const char *controller,
                               limit_reader *read_v1, limit_reader *read_v2)
{
    struct workspace *work = mbi_os_map(sizeof *work);
    if (work == NULL) {
        return NO_LIMIT;
    }
    uint64_t smallest = smallest_limit_with(work, places, controller, read_v1, read_v2);
    mbi_os_unreserve(work, sizeof *work);
    return smallest;
}

size_t mbi_cgroup_memory_bytes_in(const struct cgroup_places *places)
{
    uint64_t bytes = smallest_limit(places, "memory", read_memory_v1, read_memory_v2);
    return bytes < SIZE_MAX ? (size_t)bytes : SIZE_MAX;
}

unsigned mbi_cgroup_processors_in(const struct cgroup_places *places)
{
    uint64_t processors = smallest_limit(places, "cpu", read_processors_v1, read_processors_v2);
    return processors < UINT_MAX ? (unsigned)processors : UINT_MAX;
}

size_t mbi_cgroup_memory_bytes(void)
{
    return mbi_cgroup_memory_bytes_in(&system_places);
}

unsigned mbi_cgroup_processors(void)
{
    return mbi_cgroup_processors_in(&system_places);
}
