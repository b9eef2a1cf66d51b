/*
 * refuse_membarrier: what a sandbox does to a process that is already up: membarrier(2), on which
 * liburcu has settled when it was loaded, fails from now on.
 */
#ifndef MEMORYBUCKET_TESTS_REFUSE_MEMBARRIER_H
#define MEMORYBUCKET_TESTS_REFUSE_MEMBARRIER_H

#include "testing.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* EPERM or ENOSYS, by name; 0 for any other. */
static inline int refusal_from_name(const char *name)
{
    return strcmp(name, "EPERM") == 0 ? EPERM : strcmp(name, "ENOSYS") == 0 ? ENOSYS : 0;
}

/*
 * For the calling thread and those that it starts from now on. False where the kernel has no
 * seccomp, or no membarrier that could be missed.
 */
static inline bool refuse_membarrier(int error)
{
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) {
        return false;
    }
    /* The process's own calls only: it has one architecture, so that the number is enough. */
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = { sizeof program / sizeof program[0], program };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
        || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) != 0) {
        return false;
    }
    CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0 && errno == error,
          "membarrier is not refused: errno %d", errno);
    return true;
}

#endif
