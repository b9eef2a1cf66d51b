/*
 * fork_alone: the child of a process with one thread, for which the C library leaves its locks as
 * they are: threads that the child starts use the library, and streams of the C library, whose list
 * is locked while a stream is opened, closed, or all are flushed.
 */
#include "testing.h"

#include <sys/wait.h>

enum { CHILD_SECONDS = 60 };

static void *use_streams(void *argument)
{
    void *object = mb_alloc(40);
    FILE *stream = fopen("/dev/null", "r");
    CHECK(object != NULL && stream != NULL, "no memory, or no stream");
    fclose(stream);
    fflush(NULL);
    mb_free(object);
    return argument;
}

static void use(void)
{
    use_streams(NULL);
    if (!TEST_IS_SANITIZED) { /* those of gcc 12 have no threads in a child */
        pthread_join(start_thread(use_streams, NULL), NULL);
    }
}

int main(void)
{
    use_streams(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        alarm(CHILD_SECONDS);
        use();
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "child: status %x", (unsigned)status);
    use();
    return 0;
}
