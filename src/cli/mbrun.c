/*
 * mbrun: starts a program on the drop-in malloc.
 *
 * Puts libmemorybucket-malloc.so last in LD_PRELOAD and becomes the program. Last, so that tools
 * which watch malloc (heaptrack) stand in front of it, as they do in front of the C library's.
 */
#include <errno.h>
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

/* As of env(1). */
enum { EXIT_OWN = 125, EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 };

#define DROPIN_NAME "libmemorybucket-malloc.so"

static const char usage[] =
    "Usage: mbrun PROGRAM [ARGS...]\n"
    "Runs PROGRAM with MemoryBucket as its malloc (through LD_PRELOAD), and with its exit status.\n"
    "\n"
    "The pools serve requests of up to 32 KiB, and the next malloc in link order what is larger.\n"
    "MB_POOL_MAX, from 512 to 32K bytes, sets another border.\n"
    "MB_STATS=1 writes what the pools served to stderr at its exit; memorybucket(7) has all\n"
    "variables.\n"
    "Set-user-ID and statically linked programs run without MemoryBucket, and mbrun says so.\n"
    "\n"
    "Exit status: that of PROGRAM, or 127 when it is not found, 126 when it cannot be run, 125\n"
    "when mbrun itself fails.\n";

/* The drop-in, where CMake installs it as seen from bin/, or in a build tree's lib/. */
static bool find_dropin(char path[PATH_MAX])
{
    static const char *const folders[] = { MBRUN_LIBRARY_FROM_BIN, "../lib" };
    char own[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    own[length > 0 ? length : 0] = '\0';
    const char *slash = strrchr(own, '/');
    for (size_t i = 0; slash != NULL && i < sizeof folders / sizeof folders[0]; i++) {
        int bytes = snprintf(path, PATH_MAX, "%.*s/%s/" DROPIN_NAME, (int)(slash - own), own,
                             folders[i]);
        if (bytes < PATH_MAX && access(path, R_OK) == 0) {
            return true;
        }
    }
    return false;
}

/* Appends to LD_PRELOAD; false without memory. */
static bool preload(const char *path)
{
    const char *others = getenv("LD_PRELOAD");
    char *both = NULL;
    if (others != NULL && *others != '\0' && asprintf(&both, "%s:%s", others, path) < 0) {
        return false;
    }
    bool done = setenv("LD_PRELOAD", both != NULL ? both : path, 1) == 0;
    free(both);
    return done;
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

/*
 * Why nothing can be preloaded into what execvp(name) will run, in words that end a sentence. NULL
 * when it can be, and when that is unknown: the file cannot be found or read, say.
 */
static const char *why_not_preloaded(const char *name)
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

int main(int argc, char **argv)
{
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    int first = argc >= 2 && strcmp(argv[1], "--") == 0 ? 2 : 1;
    if (first >= argc || (first == 1 && argv[1][0] == '-')) {
        if (first < argc) {
            fprintf(stderr, "mbrun: %s: no such option\n", argv[1]);
        }
        fputs(usage, stderr);
        return EXIT_OWN;
    }
    char path[PATH_MAX];
    if (!find_dropin(path)) {
        fprintf(stderr, "mbrun: %s is not in %s, seen from mbrun's folder\n", DROPIN_NAME,
                MBRUN_LIBRARY_FROM_BIN);
        return EXIT_OWN;
    }
    if (strpbrk(path, ": ") != NULL) {
        fprintf(stderr, "mbrun: %s: LD_PRELOAD cannot hold a path with a colon or a space\n", path);
        return EXIT_OWN;
    }
    if (!preload(path)) {
        fprintf(stderr, "mbrun: LD_PRELOAD: %s\n", strerror(errno));
        return EXIT_OWN;
    }
    const char *why_not = why_not_preloaded(argv[first]);
    if (why_not != NULL) {
        fprintf(stderr, "mbrun: %s runs without MemoryBucket, as %s\n", argv[first], why_not);
    }
    execvp(argv[first], argv + first);
    fprintf(stderr, "mbrun: %s: %s\n", argv[first], strerror(errno));
    return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}
