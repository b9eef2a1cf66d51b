/*
 * no_fork_cost: vfork, posix_spawn, system and popen take none of the library's locks.
 *
 * They start another program, which has no use for the locks in a copy of this one, and must not
 * wait for threads of this one. The linker puts __wrap_mbi_lock_close_gate, which counts, between
 * the fork handler and the gate. fork itself runs it, once.
 */
#include "testing.h"

#include "core/lock.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

void __real_mbi_lock_close_gate(int cancel_type);
void __wrap_mbi_lock_close_gate(int cancel_type);

/* ThreadSanitizer makes a fork of each vfork. */
#ifdef MBI_THREAD_SANITIZED
enum { PREPARES_OF_VFORK = 1 };
#else
enum { PREPARES_OF_VFORK = 0 };
#endif

static unsigned prepared;

void __wrap_mbi_lock_close_gate(int cancel_type)
{
    prepared++;
    __real_mbi_lock_close_gate(cancel_type);
}

static void wait_for(pid_t pid)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "status %x", (unsigned)status);
}

static void with_fork(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        _exit(0);
    }
    wait_for(pid);
}

static void with_vfork(void)
{
    pid_t pid = vfork();
    CHECK(pid >= 0, "vfork");
    if (pid == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    wait_for(pid);
}

static void with_posix_spawn(void)
{
    char *const arguments[] = { (char *)(uintptr_t)"true", NULL };
    pid_t pid;
    CHECK(posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, arguments + 1) == 0, "posix_spawn");
    wait_for(pid);
}

static void with_system(void)
{
    CHECK(system("exit 0") == 0, "system");
}

static void with_popen(void)
{
    char word[8] = "";
    FILE *stream = popen("echo hello", "r");
    CHECK(stream != NULL, "popen");
    CHECK(fscanf(stream, "%7s", word) == 1 && strcmp(word, "hello") == 0, "it says '%s'", word);
    CHECK(pclose(stream) == 0, "pclose");
}

static const struct {
    const char *name;
    void (*start)(void);
    unsigned prepares;
} ways[] = {
    { "fork", with_fork, 1 },
    { "vfork", with_vfork, PREPARES_OF_VFORK },
    { "posix_spawn", with_posix_spawn, 0 },
    { "system", with_system, 0 },
    { "popen", with_popen, 0 },
};

int main(void)
{
    mb_free(mb_alloc(1)); /* the library is up, and this thread has a cache */
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        prepared = 0;
        ways[i].start();
        CHECK(prepared == ways[i].prepares, "%s: the fork handler ran %u times", ways[i].name,
              prepared);
    }
    check_accounting(0);
    return 0;
}
