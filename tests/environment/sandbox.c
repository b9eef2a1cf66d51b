/*
 * sandbox [never_parked|LIBRARY]: a sandbox that kills whoever calls membarrier(2), on which liburcu relies.
 *
 * Alone, linked to the library, it locks itself in once that is up, as liburcu's constructor makes
 * the call: then threads come and go, in far greater number than a grace period is due for, and
 * statistics are read between them. While nobody walks when a thread ends, nothing may ask for a
 * grace period. Before that a child whose sandbox kills whoever opens a file gets its background
 * thread back.
 *
 * With LIBRARY, the drop-in, it locks itself in and becomes a program below which the drop-in is
 * loaded: while nobody walks the drop-in makes no such call at all.
 */
#include "memorybucket/memorybucket.h"
#include "run_threads.h"

#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SKIPPED = 77, AT_ONCE = 8, ROUNDS = 100, OBJECTS = 300 };

#ifdef ON_DROPIN
#define ALLOCATE malloc
#define RELEASE free
static void check_reuse(void) /* statistics would load liburcu */
{
}
#else
#include "never_parked.h"
#define ALLOCATE mb_alloc
#define RELEASE mb_free
static void check_reuse(void)
{
    static struct mb_stats stats;
    CHECK(mb_stats_get(&stats, sizeof stats) == 0, "no statistics");
    CHECK(stats.vacant_caches < 30 * AT_ONCE, "caches were not reused");
}
#endif

static bool lock_in(unsigned forbidden)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, forbidden, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = { sizeof program / sizeof program[0], program };
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
           && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0;
}

static void *use(void *argument)
{
    void *objects[OBJECTS];
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = ALLOCATE(1 + i);
        CHECK(objects[i] != NULL, "no memory");
        memset(objects[i], 1, 1 + i);
    }
    for (size_t i = 0; i < OBJECTS; i++) {
        RELEASE(objects[i]);
    }
    return argument;
}

static void live_inside(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        run_threads(AT_ONCE, use, NULL);
        check_reuse();
    }
    puts("lives in the sandbox");
}

#ifdef ON_DROPIN
int main(int argc, char **argv)
{
    if (dlsym(RTLD_DEFAULT, "mb_stats_get") != NULL) {
        live_inside();
        return 0;
    }
    CHECK(argc == 2, "usage: sandbox LIBRARY");
    if (!lock_in(SYS_membarrier)) {
        puts("no seccomp");
        return SKIPPED;
    }
    setenv("LD_PRELOAD", argv[1], 1);
    execl("/proc/self/exe", argv[0], (char *)NULL);
    CHECK(false, "%s", strerror(errno));
}
#else
static void check_background(void)
{
    CHECK(mb_background_start() == 0, "no background thread");
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        if (lock_in(SYS_openat)) {
            use(NULL);
        }
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "the background thread opens files");
    mb_background_stop();
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "never_parked") == 0) {
        (void)park_no_cache();
    }
    run_threads(AT_ONCE, use, NULL);
    check_background();
    if (!lock_in(SYS_membarrier)) {
        puts("no seccomp");
        return SKIPPED;
    }
    live_inside();
    return 0;
}
#endif
