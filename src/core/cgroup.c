/* cgroup: the groups of the process, their directories, and the limits in them. */
#include "core/cgroup.h"

#include "core/os.h"

#include <limits.h>
#include <string.h>

/* The membership file has at most 13 lines. Limits behind longer texts are not seen. */
enum { MEMBERSHIP_BYTES = 4096, PATH_BYTES = 1024, VALUE_BYTES = 64 };

/* v1 writes "none" as LLONG_MAX in whole pages, and those have up to 64 KiB. */
#define V1_LIMIT_MAX ((uint64_t)LLONG_MAX - (1 << 20))

/* Mapped: a small thread may not have that much stack. */
struct workspace {
    char membership[MEMBERSHIP_BYTES];
    char path[PATH_BYTES];
};

/* The parts of a line of the membership file, "ID:CONTROLLERS:PATH". */
struct membership {
    const char *controllers; /* "": v2's line; NULL: there is none */
    const char *group;
};

/* Whether the list has this controller; a longer name that contains it is another one. */
static bool has_memory(const char *controllers)
{
    static const char wanted[] = "memory";
    for (const char *at = controllers; (at = strstr(at, wanted)) != NULL; at++) {
        char behind = at[sizeof wanted - 1];
        if ((at == controllers || at[-1] == ',') && (behind == ',' || behind == '\0')) {
            return true;
        }
    }
    return false;
}

/* The line with the memory controller, else v2's. Cuts the text into pieces. */
static struct membership find_membership(char *text)
{
    struct membership v2 = { NULL, NULL };
    for (char *line; (line = strsep(&text, "\n")) != NULL;) {
        (void)strsep(&line, ":");
        char *controllers = strsep(&line, ":");
        if (controllers == NULL || line == NULL || line[0] != '/') {
            continue;
        }
        struct membership found = { controllers, line };
        if (has_memory(controllers)) {
            return found;
        }
        if (controllers[0] == '\0' && v2.controllers == NULL) {
            v2 = found;
        }
    }
    return v2;
}

/* A group outside of the cgroup namespace is shown as "/../other": it is not below the mount. */
static bool group_leaves_mount(const char *group)
{
    while ((group = strstr(group, "/..")) != NULL) {
        group += strlen("/..");
        if (*group == '/' || *group == '\0') {
            return true;
        }
    }
    return false;
}

/* False, and nothing changed, when there is no room. */
static bool append(char path[PATH_BYTES], const char *text)
{
    size_t used = strlen(path);
    size_t length = strlen(text);
    if (length >= PATH_BYTES - used) {
        return false;
    }
    memcpy(path + used, text, length + 1);
    return true;
}

/* Lowers *smallest to the limit in a directory's file; false when it has no such file. */
static bool lower_to_limit(char path[PATH_BYTES], const char *file, size_t *smallest)
{
    char value[VALUE_BYTES];
    const char *cursor = value;
    uint64_t limit;
    size_t length = strlen(path);
    bool found = append(path, "/") && append(path, file)
                 && mbi_os_read_file(path, value, sizeof value);
    path[length] = '\0';
    if (found && mbi_read_number(&cursor, &limit) && (*cursor == '\0' || strcmp(cursor, "\n") == 0)
        && limit <= V1_LIMIT_MAX) { /* v2 writes "max" for none */
        *smallest = size_min(*smallest, limit);
    }
    return found;
}

/*
 * Lowers *smallest to the limits of a group and its ancestors in the hierarchy that is mounted at
 * MOUNTS/NAME, or at MOUNTS for no name. Whether there was any such file.
 */
static bool lower_to_limits(char path[PATH_BYTES], const char *mounts, const char *name,
                            const char *group, const char *file, size_t *smallest)
{
    path[0] = '\0';
    if (!append(path, mounts) || !append(path, "/") || !append(path, name)) {
        return false;
    }
    char *mount_end = path + strlen(path);
    if (!group_leaves_mount(group) && !append(path, group)) {
        return false;
    }
    bool found = false;
    for (;;) {
        char *slash = strrchr(mount_end, '/');
        if (slash == NULL || slash[1] != '\0') { /* "/a/" is looked at as "/a" */
            found |= lower_to_limit(path, file, smallest);
        }
        if (slash == NULL) {
            return found;
        }
        *slash = '\0';
    }
}

static size_t smallest_limit(struct workspace *work, const char *membership, const char *mounts)
{
    size_t smallest = SIZE_MAX;
    if (!mbi_os_read_file(membership, work->membership, sizeof work->membership)) {
        return smallest;
    }
    struct membership line = find_membership(work->membership);
    if (line.controllers == NULL) {
        return smallest;
    }
    bool is_v1 = line.controllers[0] != '\0';
    const char *file = is_v1 ? "memory.limit_in_bytes" : "memory.max";
    const char *names[] = { is_v1 ? "memory" : "", is_v1 ? line.controllers : "unified" };
    if (!lower_to_limits(work->path, mounts, names[0], line.group, file, &smallest)) {
        (void)lower_to_limits(work->path, mounts, names[1], line.group, file, &smallest);
    }
    return smallest;
}

size_t mbi_cgroup_memory_bytes(const char *membership, const char *mounts)
{
    struct workspace *work = mbi_os_map(sizeof *work);
    if (work == NULL) {
        return SIZE_MAX;
    }
    size_t smallest = smallest_limit(work, membership, mounts);
    mbi_os_unreserve(work, sizeof *work);
    return smallest;
}
