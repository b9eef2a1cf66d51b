/*
 * locking_library: a library like many: it has a lock, and holds it across fork.
 *
 * Being a library, its constructor runs before those of the program, and its fork handlers are
 * registered as early as a stranger's can be.
 */
#include <pthread.h>

void lock_library(void);
void unlock_library(void);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void lock_library(void)
{
    pthread_mutex_lock(&lock);
}

void unlock_library(void)
{
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void register_handlers(void)
{
    pthread_atfork(lock_library, unlock_library, unlock_library);
}
