/* shared_file: openat, mkdirat, unlinkat, fallocate, mmap. As system calls: some of the C library's
 * functions are cancellation points. */
#include "core/shared_file.h"

#include "core/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FOLDER_MODE = 0700, FILE_MODE = 0600, OTHERS_BITS = 0077 };

/* A system call's result, or its negative errno. */
static int result_of(long result)
{
    return result < 0 ? -errno : (int)result;
}

static int open_at(int folder, const char *name, int flags)
{
    int file;
    do {
        file = result_of(syscall(SYS_openat, folder, name, flags | O_CLOEXEC | O_NOFOLLOW,
                                 FILE_MODE));
    } while (file == -EINTR);
    return file;
}

/* Whether only this process's user, or root, can put anything into the open folder. */
static int check_folder(int folder)
{
    struct statx status;
    int error = result_of(syscall(SYS_statx, folder, "", AT_EMPTY_PATH, STATX_UID | STATX_MODE,
                                  &status));
    if (error != 0) {
        return error;
    }
    bool closed = status.stx_uid == mbi_os_user()
                  && (status.stx_mode & OTHERS_BITS) == 0;
    return closed ? 0 : -EPERM;
}

static int open_folder(const char *path)
{
    (void)syscall(SYS_mkdirat, AT_FDCWD, path, FOLDER_MODE);
    int folder = open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
    if (folder == -ELOOP) {
        return -ENOTDIR;
    }
    int error = folder >= 0 ? check_folder(folder) : 0;
    if (error != 0) {
        syscall(SYS_close, folder);
        return error;
    }
    return folder;
}

/* Memory is set aside now: a page that is missing later would end the process with SIGBUS. */
static int fill(int file, void *start, size_t bytes)
{
    int error;
    do {
        error = result_of(syscall(SYS_fallocate, file, 0, (off_t)0, (off_t)bytes));
    } while (error == -EINTR);
    if (error != 0) {
        return error;
    }
    void *mapped = mmap(start, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
    return mapped != MAP_FAILED ? 0 : -errno;
}

static int make_in(int folder, const char *name, void *start, size_t bytes)
{
    (void)syscall(SYS_unlinkat, folder, name, 0); /* of an earlier program in this process */
    int file = open_at(folder, name, O_RDWR | O_CREAT | O_EXCL);
    if (file < 0) {
        return file;
    }
    int error = fill(file, start, bytes);
    if (error != 0) {
        (void)syscall(SYS_unlinkat, folder, name, 0);
    }
    syscall(SYS_close, file);
    return error;
}

int mbi_shared_file_make(const char *folder, const char *name, void *start, size_t bytes)
{
    int saved_errno = errno;
    int opened = open_folder(folder);
    int error = opened;
    if (opened >= 0) {
        error = make_in(opened, name, start, bytes);
        syscall(SYS_close, opened);
    }
    errno = saved_errno;
    return error;
}

void mbi_shared_file_remove(const char *folder, const char *name)
{
    int saved_errno = errno;
    int opened = open_folder(folder);
    if (opened >= 0) {
        (void)syscall(SYS_unlinkat, opened, name, 0);
        syscall(SYS_close, opened);
    }
    errno = saved_errno;
}

void mbi_shared_file_part_from(void *start, size_t bytes)
{
    int saved_errno = errno;
    void *mapped = mmap(start, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    (void)mapped; /* where the kernel refuses, the file stays mapped, which has no name any more */
    errno = saved_errno;
}
