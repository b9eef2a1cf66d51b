/* cgroup: the groups of the process, their directories, and the limits in them. */
#include "core/cgroup.h"

#include "core/os.h"

#include <limits.h>
#include <string.h>

/*
 * A membership file has a line for each of at most 13 hierarchies. What is longer is given up:
 * there a limit is not seen.
 */
enum { MEMBERSHIP_BYTES = 4096, PATH_BYTES = 1024, VALUE_BYTES = 64 };

/* v1 writes "none" as LLONG_MAX in whole pages, and those have up to 64 KiB. */
#define V1_LIMIT_MAX ((uint64_t)LLONG_MAX - (1 << 20))

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

/* Lowers *smallest to the limit that a directory's file sets; false when it has no such file. */
static bool lower_to_limit(struct directory *directory, const char *name, size_t *smallest)
{
    char value[VALUE_BYTES];
    const char *cursor = value;
    uint64_t limit;
    if (!directory_read(directory, name, value)) {
        return false;
    }
    if (mbi_read_number(&cursor, &limit) && (*cursor == '\0' || strcmp(cursor, "\n") == 0)
        && limit <= V1_LIMIT_MAX) { /* v2 writes "max" for none */
        *smallest = size_min(*smallest, limit);
    }
    return true;
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

/* A hierarchy: where it is mounted, "MOUNTS/NAME" or MOUNTS itself, and the file with the limit. */
struct hierarchy {
    const char *name;
    size_t name_length; /* 0: MOUNTS itself */
    const char *file;
};

/*
 * Lowers *smallest to the limits of the group and its ancestors in one hierarchy. Returns whether
 * there was any such file.
 */
static bool lower_to_limits(struct directory *directory, const char *mounts,
                            const struct hierarchy *hierarchy, const struct membership *line,
                            size_t *smallest)
{
    directory_cut(directory, 0);
    if (!directory_append(directory, mounts, strlen(mounts))
        || (hierarchy->name_length > 0
            && (!directory_append(directory, "/", 1)
                || !directory_append(directory, hierarchy->name, hierarchy->name_length)))) {
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
        if (lower_to_limit(directory, hierarchy->file, smallest)) {
            found = true;
        }
        if (directory->length == mount_length) {
            return found;
        }
        const char *slash = strrchr(directory->path + mount_length, '/');
        directory_cut(directory, (size_t)(slash - directory->path));
    }
}

/* Mapped, as it is more than a small thread may have of stack. */
struct workspace {
    char text[MEMBERSHIP_BYTES];
    struct directory directory;
};

static size_t smallest_limit(struct workspace *work, const struct cgroup_places *places)
{
    struct membership line;
    size_t smallest = SIZE_MAX;
    if (!mbi_os_read_file(places->membership, work->text, sizeof work->text)) {
        return SIZE_MAX;
    }
    bool is_v1 = find_membership(work->text, "memory", &line);
    if (!is_v1 && !find_membership(work->text, "", &line)) {
        return SIZE_MAX;
    }
    const struct hierarchy v1[] = { { "memory", strlen("memory"), "memory.limit_in_bytes" },
                                    { line.controllers, line.controllers_length,
                                      "memory.limit_in_bytes" } };
    const struct hierarchy v2[] = { { "", 0, "memory.max" },
                                    { "unified", strlen("unified"), "memory.max" } };
    const struct hierarchy *hierarchy = is_v1 ? v1 : v2;
    if (!lower_to_limits(&work->directory, places->mounts, &hierarchy[0], &line, &smallest)) {
        (void)lower_to_limits(&work->directory, places->mounts, &hierarchy[1], &line, &smallest);
    }
    return smallest;
}

size_t mbi_cgroup_memory_bytes_in(const struct cgroup_places *places)
{
    struct workspace *work = mbi_os_map(sizeof *work);
    if (work == NULL) {
        return SIZE_MAX;
    }
    size_t smallest = smallest_limit(work, places);
    mbi_os_unreserve(work, sizeof *work);
    return smallest;
}

size_t mbi_cgroup_memory_bytes(void)
{
    return mbi_cgroup_memory_bytes_in(&system_places);
}
