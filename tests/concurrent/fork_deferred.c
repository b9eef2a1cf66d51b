/*
 * fork_deferred: what is freed while another thread forks comes back, also when that fork ends, and
 * the next one begins, at the worst moment.
 *
 * The linker puts a function around the taking of locks: it closes the gate just before a free asks
 * for the pool's lock, and opens it, and looks for deferred frees, just after it has been refused.
 * So whoever opens finds nothing, each time, and only the thread that frees is left to look again:
 * when its free is refused, and when what it took off the list is refused once more.
 */
#include "testing.h"

#include "core/region.h"

#include <semaphore.h>

enum { REFUSALS = 4 };

static sem_t change_gate, gate_changed;
static bool is_closed; /* by the thread beside */
static _Thread_local unsigned refusals_left;

/* A fork without the fork: the gate belongs to the thread that closes it. */
static void *fork_beside(void *argument)
{
    for (int change = 0; change < 2 * REFUSALS; change++) {
        sem_wait(&change_gate);
        is_closed = !is_closed;
        if (is_closed) {
            mbi_lock_close_gate(mbi_lock_defer_cancel());
        } else {
            mbi_lock_restore_cancel(mbi_lock_open_gate());
            mbi_pools_free_deferred();
        }
        sem_post(&gate_changed);
    }
    return argument;
}

static void change(void)
{
    sem_post(&change_gate);
    sem_wait(&gate_changed);
}

bool __real_mbi_lock_try_acquire(unsigned name);
bool __wrap_mbi_lock_try_acquire(unsigned name);
bool __wrap_mbi_lock_try_acquire(unsigned name)
{
    if (refusals_left != 0) {
        change();
    }
    return __real_mbi_lock_try_acquire(name);
}

bool __real_mbi_lock_acquire(unsigned name);
bool __wrap_mbi_lock_acquire(unsigned name);
bool __wrap_mbi_lock_acquire(unsigned name)
{
    bool taken = __real_mbi_lock_acquire(name);
    if (refusals_left != 0) {
        CHECK(!taken, "lock %u is taken while another thread forks", name);
        refusals_left--;
        change();
    }
    return taken;
}

/* As a signal handler frees that interrupted the holder of the pool's lock: it does not try again. */
static void free_under_the_lock(void)
{
    void *object = mb_alloc(100);
    CHECK(object != NULL, "no memory");
    struct pool *pool = pool_at(region_class_of(object));
    CHECK(mbi_lock_acquire(pool_lock_name(pool)), "nobody forks");
    mbi_pool_free_direct(pool, object);
    mbi_lock_release(pool_lock_name(pool));
    CHECK(pools_have_deferred(), "it was freed while its pool was locked");
    mbi_pools_free_deferred();
    CHECK(!pools_have_deferred(), "a freed object waits");
}

int main(void)
{
    sem_init(&change_gate, 0, 0);
    sem_init(&gate_changed, 0, 0);
    void *object = mb_alloc(100);
    CHECK(object != NULL, "no memory");
    pthread_t other = start_thread(fork_beside, NULL);
    refusals_left = REFUSALS;
    mbi_pool_free_direct(pool_at(region_class_of(object)), object);
    CHECK(!pools_have_deferred(), "a freed object waits, and nobody will look for it");
    CHECK(refusals_left == 0, "it was refused %u times too few", refusals_left);
    pthread_join(other, NULL);
    free_under_the_lock();
    check_accounting(0);
    return 0;
}
