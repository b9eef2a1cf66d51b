/*
 * reach: whether the loader will preload a library into a program.
 *
 * Ladder: above nothing. Only mbrun is built from it.
 *
 * A program without an interpreter in its ELF header starts without the loader. With more rights
 * than its caller it starts with the loader in its secure mode, which ignores LD_PRELOAD.
 */
#include "cli/reach.h"

#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* As the kernel: a script's interpreter may be a script. */
enum { INTERPRETERS_MAX = 4 };

/* The file that execvp takes; false when there is none. */
static bool find_program(const char *name, char path[PATH_MAX])
{
    if (strchr(name, '/') != NULL) {
        return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX;
    }
    const char *folder = getenv("PATH");
    folder = folder != NULL ? folder : "/bin:/usr/bin"; /* as execvp has it then */
    for (;;) {
        int bytes = (int)strcspn(folder, ":");
        int length = snprintf(path, PATH_MAX, "%.*s%s%s", bytes, folder, bytes > 0 ? "/" : "", name);
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

/* What "#!" at the beginning of a file names; false when it is no script. */
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

/* Such a program relocates itself; the loader, which has no interpreter either, is none. */
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

/* Of other machines' programs the loader itself complains, where they run at all. */
static bool is_static(int file)
{
    ElfW(Ehdr) header;
    if (pread(file, &header, sizeof header, 0) != sizeof header
        || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0
        || header.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)) {
        return false;
    }
    bool self_made = header.e_type == ET_EXEC;
    for (size_t i = 0; i < header.e_phnum; i++) {
        ElfW(Phdr) segment;
        off_t at = (off_t)(header.e_phoff + i * header.e_phentsize);
        if (pread(file, &segment, sizeof segment, at) != sizeof segment
            || segment.p_type == PT_INTERP) {
            return false;
        }
        if (segment.p_type == PT_DYNAMIC) {
            self_made = self_made || is_position_independent_program(file, &segment);
        }
    }
    return self_made;
}

/* Whether the kernel will give a program's process rights that its caller does not have. */
static const char *more_rights(const char *path)
{
    struct stat status;
    struct statvfs mount;
    if (stat(path, &status) != 0 || statvfs(path, &mount) != 0
        || (mount.f_flag & ST_NOSUID) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) {
        return NULL;
    }
    if ((status.st_mode & S_ISUID) != 0 && status.st_uid != getuid()) {
        return "it is set-user-ID: the loader ignores LD_PRELOAD there";
    }
    if ((status.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP)
        && status.st_gid != getgid()) {
        return "it is set-group-ID: the loader ignores LD_PRELOAD there";
    }
    if (getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0) {
        return "it has file capabilities: the loader ignores LD_PRELOAD there";
    }
    return NULL;
}

static const char *why_not(int file, const char *path)
{
    return file >= 0 && is_static(file) ? "it is linked statically: no library can be preloaded"
                                        : more_rights(path);
}

const char *reach_why_not(const char *name)
{
    char path[PATH_MAX];
    if (!find_program(name, path)) {
        return NULL;
    }
    for (int i = 0; i < INTERPRETERS_MAX; i++) {
        int file = open(path, O_RDONLY | O_CLOEXEC); /* -1: who may run it may not always read it */
        bool is_script = file >= 0 && find_interpreter(file, path);
        const char *why = is_script ? NULL : why_not(file, path);
        if (file >= 0) {
            close(file);
        }
        if (!is_script) {
            return why;
        }
    }
    return NULL;
}
