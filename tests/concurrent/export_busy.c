/*
 * export_busy: a process forks in the middle of a publication. The child has no thread that ends it, and
 * publishes all the same.
 */
#include "insight/snapshot_take.h"

#include "testing.h"

#include <sys/wait.h>

enum { CHILD_SECONDS = 60 };
static bool forks;

bool __real_mbi_snapshot_take(struct snapshot_room *room, bool on_slow_path);

bool __wrap_mbi_snapshot_take(struct snapshot_room *room, bool on_slow_path)
{
    if (forks) {
        forks = false;
        pid_t child = fork();
        CHECK(child >= 0, "fork: %m");
        if (child == 0) {
            alarm(CHILD_SECONDS);
            CHECK(mb_export_start(0) == 0, "the child does not publish");
            mb_export_stop();
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0, "the child's status %x", status);
    }
    return __real_mbi_snapshot_take(room, on_slow_path);
}

int main(void)
{
    char folder[] = "/tmp/mb-export-XXXXXX";
    char path[64];
    CHECK(mkdtemp(folder) != NULL && setenv("XDG_RUNTIME_DIR", folder, 1) == 0, "%s: %m", folder);
    mb_free(mb_alloc(1)); /* with it comes what the library does at a fork */
    forks = true;
    CHECK(mb_export_start(0) == 0, "no start");
    CHECK(!forks, "it was not published");
    mb_export_stop();
    snprintf(path, sizeof path, "%s/memorybucket", folder);
    CHECK(rmdir(path) == 0, "%s: %m", path);
    return rmdir(folder);
}
