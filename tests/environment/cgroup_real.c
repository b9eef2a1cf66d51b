/*
 * cgroup_real: the limits of a group that this test makes below its own, seen by a process in it.
 *
 * v2 or v1. Where the machine allows neither (it takes root, a hierarchy that can be written and,
 * for v2, the memory controller handed down by the group), it is skipped and says why.
 */
#include "testing.h"

#include "core/cgroup.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static const size_t memory_limit = (size_t)1 << 30;

/* The path of this process's group in the hierarchy of a line that starts so after "N:". */
static bool find_group(const char *controllers, char path[PATH_BYTES])
{
    char line[PATH_BYTES];
    bool found = false;
    FILE *file = fopen("/proc/self/cgroup", "r");
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *colon = strchr(line, ':');
        if (colon != NULL && strncmp(colon + 1, controllers, strlen(controllers)) == 0) {
            snprintf(path, PATH_BYTES, "%s", colon + 1 + strlen(controllers));
            found = true;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return found;
}

static bool write_limit(const char *group, const char *name, const char *text)
{
    char path[2 * PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", group, name);
    FILE *file = fopen(path, "r+");
    if (file == NULL) {
        return false;
    }
    bool written = fputs(text, file) >= 0;
    return fclose(file) == 0 && written;
}

/* In a process of its own: this one stays where it is. */
static void check_inside(const char *group)
{
    size_t bytes_outside = mbi_cgroup_memory_bytes(CGROUP_MEMBERSHIP, CGROUP_MOUNTS);
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        char text[32];
        snprintf(text, sizeof text, "%d", (int)getpid());
        if (!write_limit(group, "cgroup.procs", text)) {
            _exit(SKIPPED);
        }
        size_t bytes = mbi_cgroup_memory_bytes(CGROUP_MEMBERSHIP, CGROUP_MOUNTS);
        bool right = bytes == size_min(bytes_outside, memory_limit);
        if (!right) {
            fprintf(stderr, "in %s: %zu bytes\n", group, bytes);
        }
        _exit(right ? 0 : 1);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid, "waitpid");
    rmdir(group);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        printf("skipped: no process may be moved to %s\n", group);
        exit(SKIPPED);
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
}

/* Whether the group could be made, and so the limits were checked. */
static bool check_hierarchy(const char *mount, const char *controllers)
{
    char own[PATH_BYTES];
    char group[2 * PATH_BYTES];
    if (!find_group(controllers, own)) {
        printf("%s: this process is in no such hierarchy\n", mount);
        return false;
    }
    snprintf(group, sizeof group, "%s/cgroup.procs", mount);
    if (access(group, W_OK) != 0) {
        printf("%s: %s\n", group, strerror(errno));
        return false;
    }
    snprintf(group, sizeof group, "%s%s/memorybucket-test-%d", mount, own, (int)getpid());
    if (mkdir(group, 0755) != 0) {
        printf("%s: %s\n", group, strerror(errno));
        return false;
    }
    bool v2 = strcmp(controllers, ":") == 0;
    if (!write_limit(group, v2 ? "memory.max" : "memory.limit_in_bytes", "1073741824")) {
        printf("%s: no limit can be set here: %s\n", group, strerror(errno));
        rmdir(group);
        return false;
    }
    check_inside(group);
    return true;
}

int main(void)
{
    if (check_hierarchy("/sys/fs/cgroup", ":")
        || check_hierarchy("/sys/fs/cgroup/memory", "memory:")) {
        return 0;
    }
    puts("skipped, as no group with limits could be made");
    return SKIPPED;
}
