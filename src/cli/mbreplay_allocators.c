/*
 * mbreplay_allocators: finds allocators by letting a process say where its malloc is.
 *
 * The processes are mbreplay itself, with another LD_PRELOAD. Each dies with the one that waits for
 * it, so that none is left when that is killed.
 */
#include "cli/mbreplay_allocators.h"

#include "cli/library_path.h"
#include "cli/mbreplay_base.h"
#include "cli/mbreplay_run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DROPIN_NAME "libmemorybucket-malloc.so"

/* The first argument of a process that is not for the user. */
static const char probe_word[] = "--in-child=probe";
static const char run_word[] = "--in-child=run";

const char mbreplay_allocators_all[] = "system,mimalloc,jemalloc,tcmalloc,memorybucket";

static const struct known {
    const char *name;
    const char *package;
    const char *libraries[4]; /* the first that the loader finds */
} all_known[] = {
    { "system", NULL, { NULL } },
    { "mimalloc", "libmimalloc2.0", { "libmimalloc.so.2", "libmimalloc.so.3", "libmimalloc.so" } },
    { "jemalloc", "libjemalloc2", { "libjemalloc.so.2", "libjemalloc.so" } },
    { "tcmalloc", "libtcmalloc-minimal4",
      { "libtcmalloc_minimal.so.4", "libtcmalloc.so.4", "libtcmalloc_minimal.so" } },
    { "memorybucket", NULL, { NULL } },
};

/* ---- processes ------------------------------------------------------------------------------ */

/* Becomes mbreplay with another malloc. Between fork and exec of a process of one thread. */
static _Noreturn void become(const char *preloaded, char *const arguments[], pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent) {
        int set = preloaded != NULL ? setenv("LD_PRELOAD", preloaded, 1) : unsetenv("LD_PRELOAD");
        char own[PATH_MAX];
        ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
        own[length > 0 ? length : 0] = '\0';
        if (set == 0) { /* by its name, which is the process's then */
            execv(own, arguments);
        }
        mbreplay_say("a process cannot be started: %s", strerror(errno));
    }
    _exit(EXIT_FAILURE);
}

/* The child's status as of wait(2), or -1. */
static int wait_for(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    return status;
}

/* Where malloc lies in a process that has this library preloaded; NULL: none. */
static bool probe(const char *preloaded, char path[PATH_MAX])
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        mbreplay_die("a pipe: %s", strerror(errno));
    }
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0) {
        char *arguments[] = { "mbreplay", (char *)probe_word, NULL };
        int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC); /* the loader's complaints */
        dup2(nothing, STDERR_FILENO);
        dup2(ends[1], STDOUT_FILENO);
        become(preloaded, arguments, parent);
    }
    close(ends[1]);
    FILE *from = fdopen(ends[0], "r");
    bool got = from != NULL && fgets(path, PATH_MAX, from) != NULL;
    if (from != NULL) {
        fclose(from);
    }
    path[got ? strcspn(path, "\n") : 0] = '\0';
    return child > 0 && wait_for(child) == 0 && *path == '/';
}

/* ---- finding them --------------------------------------------------------------------------- */

static const char *name_in(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* Up to ".so": a link's name and that of the file that it leads to may differ behind it. */
static bool same_stem(const char *one, const char *other)
{
    size_t length = strcspn(name_in(one), ".");
    return length == strcspn(name_in(other), ".")
           && strncmp(name_in(one), name_in(other), length) == 0;
}

/* The drop-in of this installation, by the name that the loader's list will have. */
static bool find_dropin(char path[PATH_MAX])
{
    char beside[PATH_MAX];
    return library_path_find(DROPIN_NAME, beside) && realpath(beside, path) != NULL;
}

static bool find_preloaded(const char *library, struct allocator *allocator)
{
    allocator->is_preloaded = true;
    return probe(library, allocator->library) && same_stem(library, allocator->library);
}

static bool find_known(const struct known *known, struct allocator *allocator)
{
    if (strcmp(known->name, "system") == 0) {
        return probe(NULL, allocator->library) && same_stem("libc.so", allocator->library);
    }
    if (strcmp(known->name, "memorybucket") == 0) {
        char dropin[PATH_MAX];
        return find_dropin(dropin) && find_preloaded(dropin, allocator);
    }
    for (size_t i = 0; known->libraries[i] != NULL; i++) {
        if (find_preloaded(known->libraries[i], allocator)) {
            return true;
        }
    }
    return false;
}

/* A library that the user names by its path. */
static bool find_path(const char *path, struct allocator *allocator)
{
    char real[PATH_MAX];
    if (strpbrk(path, ": ") != NULL) {
        mbreplay_say("%s: LD_PRELOAD cannot hold a path with a colon or a space", path);
    } else if (realpath(path, real) == NULL) {
        mbreplay_say("%s: %s", path, strerror(errno));
    } else if (!probe(real, allocator->library) || strcmp(real, allocator->library) != 0) {
        mbreplay_say("%s: it cannot be loaded, or has no malloc", path);
    } else {
        allocator->is_preloaded = true;
        return true;
    }
    return false;
}

static bool find_one(const char *name, struct allocator *allocator)
{
    *allocator = (struct allocator){ .rounds = 0 };
    snprintf(allocator->name, sizeof allocator->name, "%s", name_in(name));
    if (strchr(name, '/') != NULL) {
        return find_path(name, allocator);
    }
    for (size_t i = 0; i < sizeof all_known / sizeof all_known[0]; i++) {
        const struct known *known = &all_known[i];
        if (strcmp(known->name, name) == 0) {
            bool found = find_known(known, allocator);
            if (!found) {
                mbreplay_say("%s is left out: it is not installed%s%s%s", name,
                             known->package != NULL ? " (Debian: " : "",
                             known->package != NULL ? known->package : "",
                             known->package != NULL ? ")" : "");
            }
            return found;
        }
    }
    mbreplay_say("--allocators: %s: no such allocator; accepted: %s, and paths of libraries", name,
                 mbreplay_allocators_all);
    exit(2);
}

size_t mbreplay_allocators_find(const char *list, struct allocator found[ALLOCATORS_MAX],
                                bool *complete)
{
    size_t count = 0;
    char *names = strdup(list);
    char *rest = names;
    *complete = true;
    for (char *name = strsep(&rest, ","); names != NULL && name != NULL;
         name = strsep(&rest, ",")) {
        if (count == ALLOCATORS_MAX) {
            mbreplay_say("--allocators: accepted: at most %d", ALLOCATORS_MAX);
            exit(2);
        }
        if (find_one(name, &found[count])) {
            count++;
        } else {
            *complete = false;
        }
    }
    free(names);
    return count;
}

/* ---- running them --------------------------------------------------------------------------- */

bool mbreplay_allocator_run(struct allocator *allocator, const struct plan *plan, int file)
{
    char number[16];
    snprintf(number, sizeof number, "%d", file);
    pid_t parent = getpid();
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        char *arguments[] = { "mbreplay",      (char *)run_word,   number,
                              allocator->name, allocator->library, NULL };
        become(allocator->is_preloaded ? allocator->library : NULL, arguments, parent);
    }
    int status = child > 0 ? wait_for(child) : -1;
    if (child < 0) {
        mbreplay_say("a process cannot be started: %s", strerror(errno));
    } else if (WIFSIGNALED(status)) {
        mbreplay_say("%s: signal %d ended the replay: %s", allocator->name, WTERMSIG(status),
                     strsignal(WTERMSIG(status)));
    } else if (status == 0 && (!plan->result.complete
                               || plan->result.operations != plan->operations
                               || plan->result.bytes != plan->asked_bytes)) {
        mbreplay_say("%s: it did not do what was recorded", allocator->name);
    } else if (status == 0) {
        allocator->results[allocator->rounds++] = plan->result;
        return true;
    }
    return false;
}

bool mbreplay_allocator_is_child(int argc, char **argv)
{
    return (argc == 2 && strcmp(argv[1], probe_word) == 0)
           || (argc == 5 && strcmp(argv[1], run_word) == 0);
}

int mbreplay_allocator_child(int argc, char **argv)
{
    if (argc == 2) {
        return mbreplay_run_probe();
    }
    return mbreplay_run((int)strtol(argv[2], NULL, 10), argv[3], argv[4]);
}
