/*
 * fork_background: a thread that forks does not wait for one that starts or stops the background
 * thread, and in the child nobody waits for that one either, also where no such thread was ever
 * started.
 */
#include "testing.h"

#include <semaphore.h>
#include <sys/wait.h>

enum { CHILD_SECONDS = 60 };

static _Thread_local bool stands;
static sem_t standing;
static sem_t go;

/* Who stands has the mutex until it may go. */
int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    if (stands) {
        stands = false;
        sem_post(&standing);
        sem_wait(&go);
    }
    return __real_pthread_mutex_unlock(mutex);
}

static void *stop(void *argument)
{
    stands = true;
    mb_background_stop();
    CHECK(!stands, "nothing was unlocked");
    return argument;
}

static void fork_beside_stop(void)
{
    pthread_t thread = start_thread(stop, NULL);
    sem_wait(&standing);
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        alarm(CHILD_SECONDS);
        mb_background_stop();
        if (!TEST_IS_SANITIZED) { /* those of gcc 12 have no threads in a child */
            CHECK(mb_background_start() == 0, "no background thread in a child");
            mb_background_stop();
        }
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "child: status %x", (unsigned)status);
    sem_post(&go);
    pthread_join(thread, NULL);
}

int main(void)
{
    sem_init(&standing, 0, 0);
    sem_init(&go, 0, 0);
    mb_free(mb_alloc(1));
    fork_beside_stop();
    CHECK(mb_background_start() == 0, "no background thread");
    fork_beside_stop();
    return 0;
}
