/* mbrun_preload: LD_PRELOAD, and what the loader makes of it. */
#include "cli/mbrun_preload.h"

#include "cli/library_path.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* False without memory. */
static bool add_to_environment(const char *path, bool is_first)
{
    const char *others = getenv("LD_PRELOAD");
    char *both = NULL;
    if (others != NULL && *others != '\0'
        && asprintf(&both, "%s:%s", is_first ? path : others, is_first ? others : path) < 0) {
        return false;
    }
    bool done = setenv("LD_PRELOAD", both != NULL ? both : path, 1) == 0;
    free(both);
    return done;
}

int mbrun_preload(const char *library, bool is_first)
{
    char path[PATH_MAX];
    if (!library_path_find(library, path)) {
        fprintf(stderr, "mbrun: %s is not in %s, seen from mbrun's folder\n", library,
                MBRUN_LIBRARY_FROM_BIN);
        return EXIT_OWN;
    }
    if (strpbrk(path, ": ") != NULL) {
        fprintf(stderr, "mbrun: %s: LD_PRELOAD cannot hold a path with a colon or a space\n", path);
        return EXIT_OWN;
    }
    if (!add_to_environment(path, is_first)) {
        fprintf(stderr, "mbrun: LD_PRELOAD: %s\n", strerror(errno));
        return EXIT_OWN;
    }
    return 0;
}

/* The kernel's limit: a script's interpreter may be a script. */
enum { INTERPRETERS_MAX = 4 };

/* The file that execvp will run; false when there is none. */
static bool find_program(const char *name, char path[PATH_MAX])
{
    if (strchr(name, '/') != NULL) {
        return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX;
    }
    const char *folder = getenv("PATH");
    folder = folder != NULL ? folder : "/bin:/usr/bin"; /* execvp's default */
    for (;;) {
        int bytes = (int)strcspn(folder, ":");
        int length = snprintf(path, PATH_MAX, "%.*s%s%s", bytes, folder, bytes > 0 ? "/" : "",
                              name);
        struct stat status;
        if (length < PATH_MAX && stat(path, &status) == 0 && S_ISREG(status.st_mode)
            && access(path, X_OK) == 0) {
            return true;
        }
        folder += bytes;
        if (*folder++ == '\0') {
            return false;
        }
    }
}

/* The interpreter that a script's "#!" names; false when the file is no script. */
static bool find_interpreter(int file, char path[PATH_MAX])
{
    char line[PATH_MAX];
    ssize_t bytes = pread(file, line, sizeof line - 1, 0);
    if (bytes < 2 || line[0] != '#' || line[1] != '!') {
        return false;
    }
    line[bytes] = '\0';
    const char *begin = line + 2 + strspn(line + 2, " \t");
    return snprintf(path, PATH_MAX, "%.*s", (int)strcspn(begin, " \t\n"), begin) > 0;
}

/* Tells a static-pie program from the loader, which has no interpreter either. */
static bool is_position_independent_program(int file, const ElfW(Phdr) *dynamic)
{
    ElfW(Dyn) entry;
    for (size_t at = 0; at + sizeof entry <= dynamic->p_filesz; at += sizeof entry) {
        if (pread(file, &entry, sizeof entry, (off_t)(dynamic->p_offset + at)) != sizeof entry) {
            return false;
        }
        if (entry.d_tag == DT_FLAGS_1) {
            return (entry.d_un.d_val & DF_1_PIE) != 0;
        }
    }
    return false;
}

/*
 * Whether an ELF program starts without the loader: it names no interpreter. False for another
 * machine's program, about which the loader complains itself.
 */
static bool is_static(int file)
{
    ElfW(Ehdr) header;
    if (pread(file, &header, sizeof header, 0) != sizeof header
        || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0
        || header.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)) {
        return false;
    }
    bool is_program = header.e_type == ET_EXEC;
    for (size_t i = 0; i < header.e_phnum; i++) {
        ElfW(Phdr) segment;
        off_t at = (off_t)(header.e_phoff + i * header.e_phentsize);
        if (pread(file, &segment, sizeof segment, at) != sizeof segment
            || segment.p_type == PT_INTERP) {
            return false;
        }
        if (segment.p_type == PT_DYNAMIC) {
            is_program = is_program || is_position_independent_program(file, &segment);
        }
    }
    return is_program;
}

/*
 * Why the loader ignores LD_PRELOAD: the kernel gives the program rights that its caller lacks, and
 * the loader starts in secure mode. NULL when neither is so.
 */
static const char *why_secure(const char *path)
{
    struct stat status;
    struct statvfs mount;
    if (stat(path, &status) != 0 || statvfs(path, &mount) != 0
        || (mount.f_flag & ST_NOSUID) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) {
        return NULL;
    }
    if ((status.st_mode & S_ISUID) != 0 && status.st_uid != getuid()) {
        return "it is set-user-ID: the loader ignores LD_PRELOAD";
    }
    if ((status.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP)
        && status.st_gid != getgid()) {
        return "it is set-group-ID: the loader ignores LD_PRELOAD";
    }
    if (getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0) {
        return "it has file capabilities: the loader ignores LD_PRELOAD";
    }
    return NULL;
}

const char *mbrun_why_not_preloaded(const char *name)
{
    char path[PATH_MAX];
    bool goes_on = find_program(name, path);
    const char *why = NULL;
    for (int i = 0; goes_on && i < INTERPRETERS_MAX; i++) {
        int file = open(path, O_RDONLY | O_CLOEXEC);
        goes_on = file >= 0 && find_interpreter(file, path);
        if (!goes_on && file >= 0 && is_static(file)) {
            why = "it is linked statically: no library can be preloaded";
        } else if (!goes_on) { /* also of a file that may be run but not read */
            why = why_secure(path);
        }
        if (file >= 0) {
            close(file);
        }
    }
    return why;
}

int mbrun_become(char **program)
{
    execvp(program[0], program);
    fprintf(stderr, "mbrun: %s: %s\n", program[0], strerror(errno));
    return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}
