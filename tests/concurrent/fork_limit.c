/*
 * fork_limit: at the memory limit a request trims, so that other sizes' memory serves it. Another
 * thread's fork refuses it the lock for that, and has ended when the request looks again. It is
 * served all the same: not for want of memory may it fail.
 */
#include "border.h"
#include "testing.h"

#include "core/limit.h"
#include "core/lock.h"

#include <errno.h>
#include <semaphore.h>

enum { SIZE = 48, UPPER_SIZE = 3000, OBJECTS = 10000 };

static bool forks; /* whenever the trim lock is wanted */
static unsigned refused;
static sem_t close_it, is_closed, open_it, is_open;

/* What a fork does to the locks, for as long as the other thread likes. */
static void *fork_when_told(void *argument)
{
    for (;;) {
        sem_wait(&close_it);
        int cancel_type = mbi_lock_defer_cancel();
        mbi_lock_close_gate(cancel_type);
        sem_post(&is_closed);
        sem_wait(&open_it);
        mbi_lock_restore_cancel(mbi_lock_open_gate());
        sem_post(&is_open);
    }
    return argument;
}

bool __real_mbi_lock_acquire(unsigned name);
bool __wrap_mbi_lock_acquire(unsigned name);
bool __wrap_mbi_lock_acquire(unsigned name)
{
    if (name != LOCK_TRIM || !forks) {
        return __real_mbi_lock_acquire(name);
    }
    sem_post(&close_it);
    sem_wait(&is_closed);
    bool taken = __real_mbi_lock_acquire(name);
    refused += !taken;
    sem_post(&open_it);
    sem_wait(&is_open);
    return taken;
}

int main(void)
{
    static void *objects[OBJECTS];
    setenv("MB_DECAY_MS", "-1", 1); /* nothing goes back by itself, without the lock */
    sem_init(&close_it, 0, 0);
    sem_init(&is_closed, 0, 0);
    sem_init(&open_it, 0, 0);
    sem_init(&is_open, 0, 0);
    (void)start_thread(fork_when_told, NULL);
    use_objects(objects, OBJECTS, small_or_upper(SIZE, UPPER_SIZE));
    mb_thread_flush();
    (void)mb_memory_limit_set(bounded_taken(&mbi_committed));

    forks = true;
    void *object = mb_alloc(border_bytes());
    forks = false;
    CHECK(refused != 0, "the request did not want to trim");
    CHECK(object != NULL, "errno %d, beside %d free objects", errno, OBJECTS);
    mb_free(object);
    object = mb_alloc(border_bytes());
    CHECK(object != NULL, "errno %d, with no fork", errno);
    mb_free(object);
    check_accounting(0);
    return 0;
}
