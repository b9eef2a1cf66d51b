/* library_path: by the calling program's own path. */
#include "cli/library_path.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool library_path_find(const char *name, char path[PATH_MAX])
{
    static const char *const folders[] = { MBRUN_LIBRARY_FROM_BIN, "../lib" };
    char own[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    own[length > 0 ? length : 0] = '\0';
    const char *slash = strrchr(own, '/');
    for (size_t i = 0; slash != NULL && i < sizeof folders / sizeof folders[0]; i++) {
        int bytes = snprintf(path, PATH_MAX, "%.*s/%s/%s", (int)(slash - own), own, folders[i],
                             name);
        if (bytes < PATH_MAX && access(path, R_OK) == 0) {
            return true;
        }
    }
    return false;
}
