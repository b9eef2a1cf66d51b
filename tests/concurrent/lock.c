/*
 * lock: what core/lock.h promises to one thread and to several, with the gate closed and open.
 *
 * A thread beside does one thing at a time, when it is told to. Where a thread is to wait, the
 * other goes on as soon as the word says that somebody waits; the runner's time limit tells a wait
 * for ever.
 */
#include "testing.h"

#include "core/lock.h"

#include <errno.h>
#include <semaphore.h>

enum { AWAITED = 2 }; /* a word on which somebody may sleep */

static sem_t begin, done;
static void (*task)(void);

static void *run_tasks(void *argument)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    for (;;) {
        sem_wait(&begin);
        if (task == NULL) {
            return argument;
        }
        task();
        sem_post(&done);
    }
}

static void begin_beside(void (*function)(void))
{
    task = function;
    sem_post(&begin);
}

static void end_beside(void)
{
    sem_wait(&done);
}

static void do_beside(void (*function)(void))
{
    begin_beside(function);
    end_beside();
}

/* Asynchronously: no call under a lock is a cancellation point. Both threads begin so. */
static bool is_cancellable(void)
{
    int type;
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
    pthread_setcanceltype(type, NULL);
    return type == PTHREAD_CANCEL_ASYNCHRONOUS;
}

static void wait_for_sleeper(unsigned name)
{
    while (atomic_load_explicit(&mbi_locks[name].word, memory_order_acquire)
           != AWAITED) { /* [TEST] */
        usleep(1000);
    }
    usleep(20000); /* it sleeps by now, most likely; if not, less is shown */
}

static void alone(void)
{
    errno = 77;
    CHECK(is_cancellable(), "threads begin so");
    CHECK(mbi_lock_acquire(LOCK_TRIM), "nobody has it");
    CHECK(mbi_lock_has_any(), "it has one");
    CHECK(!mbi_lock_acquire(LOCK_TRIM) && !mbi_lock_try_acquire(LOCK_TRIM), "taken twice");
    CHECK(mbi_lock_try_acquire(LOCK_POOLS), "nobody has it");
    mbi_lock_release(LOCK_POOLS);
    CHECK(!is_cancellable(), "a thread with a lock can be cancelled");
    mbi_lock_release(LOCK_TRIM);
    CHECK(is_cancellable(), "a thread without a lock cannot be cancelled");
    CHECK(!mbi_lock_has_any(), "it has none");
    CHECK(errno == 77, "errno is %d", errno);
}

/* A thread that takes an earlier one is a signal handler: whoever has that may wait for this one. */
static void earlier_ones_are_refused(void)
{
    CHECK(mbi_lock_acquire(LOCK_POOLS + 1), "nobody has it");
    CHECK(!mbi_lock_acquire(LOCK_REGISTRY) && !mbi_lock_try_acquire(LOCK_POOLS), "not refused");
    CHECK(mbi_lock_acquire(LOCK_POOLS + 2), "nobody has it");
    mbi_lock_release(LOCK_POOLS + 2);
    mbi_lock_close_gate(mbi_lock_defer_cancel());
    CHECK(mbi_lock_acquire(LOCK_REGISTRY), "who closed it gets any lock");
    mbi_lock_release(LOCK_REGISTRY);
    mbi_lock_restore_cancel(mbi_lock_open_gate());
    mbi_lock_release(LOCK_POOLS + 1);
    CHECK(mbi_lock_acquire(LOCK_REGISTRY), "nobody has it");
    mbi_lock_release(LOCK_REGISTRY);
}

static void find_it_taken(void)
{
    CHECK(!mbi_lock_try_acquire(LOCK_TRIM), "two threads have one lock");
    CHECK(is_cancellable(), "a thread that got no lock cannot be cancelled");
}

static void wait_for_it(void)
{
    CHECK(mbi_lock_acquire(LOCK_TRIM), "nobody forks");
    mbi_lock_release(LOCK_TRIM);
}

static void holder_wakes_who_waits(void)
{
    CHECK(mbi_lock_acquire(LOCK_TRIM), "nobody has it");
    do_beside(find_it_taken);
    begin_beside(wait_for_it);
    wait_for_sleeper(LOCK_TRIM);
    mbi_lock_release(LOCK_TRIM);
    end_beside();
}

static void close_gate(void)
{
    mbi_lock_close_gate(mbi_lock_defer_cancel());
    CHECK(!mbi_lock_is_closed(), "it is open for who closed it");
    CHECK(mbi_lock_acquire(LOCK_HANDLER), "who closed it gets any lock");
    mbi_lock_release(LOCK_HANDLER);
    CHECK(!is_cancellable(), "a thread that forks can be cancelled");
}

static void open_gate(void)
{
    mbi_lock_restore_cancel(mbi_lock_open_gate());
    CHECK(is_cancellable(), "a thread that has forked cannot be cancelled");
}

static void closed_gate_refuses(void)
{
    do_beside(close_gate);
    CHECK(mbi_lock_is_closed(), "it is closed");
    CHECK(!mbi_lock_acquire(LOCK_POOLS) && !mbi_lock_try_acquire(LOCK_POOLS), "not refused");
    CHECK(is_cancellable(), "a thread that was refused cannot be cancelled");
    do_beside(open_gate);
    CHECK(!mbi_lock_is_closed() && mbi_lock_acquire(LOCK_POOLS), "refused, and nobody forks");
    mbi_lock_release(LOCK_POOLS);
}

/* Who closes the gate waits for a holder, who meanwhile gets a second lock. */
static void holder_is_not_refused(void)
{
    CHECK(mbi_lock_acquire(LOCK_TRIM), "nobody has it");
    begin_beside(close_gate);
    wait_for_sleeper(LOCK_TRIM);
    CHECK(mbi_lock_is_closed(), "it waits before it has closed the gate");
    CHECK(mbi_lock_acquire(LOCK_POOLS), "who has a lock is refused another");
    mbi_lock_release(LOCK_POOLS);
    CHECK(sem_trywait(&done) != 0, "it does not wait for a lock that is held");
    mbi_lock_release(LOCK_TRIM);
    end_beside();
    do_beside(open_gate);
}

static void take_patiently(void)
{
    mbi_lock_set_patient(true);
    mbi_lock_set_patient(true);
    mbi_lock_set_patient(false); /* of the inner pair */
    CHECK(mbi_lock_acquire(LOCK_REGISTRY), "a patient thread is refused");
    mbi_lock_release(LOCK_REGISTRY);
    mbi_lock_set_patient(false);
}

static void patient_waits_for_the_gate(void)
{
    mbi_lock_close_gate(mbi_lock_defer_cancel());
    begin_beside(take_patiently);
    usleep(50000);
    CHECK(sem_trywait(&done) != 0, "a patient thread does not wait");
    mbi_lock_restore_cancel(mbi_lock_open_gate());
    end_beside();
}

/* What the table says of each lock (LOCKS). */
enum { REFUSED, WAITS };
static unsigned waiting_name;

static void be_refused_all_that_are(void)
{
#define EXPECT_REFUSED(NAME, count, at_fork) \
    CHECK(at_fork == WAITS || !mbi_lock_acquire(LOCK_##NAME##_LAST), "%s is not refused", #NAME);
    LOCKS(EXPECT_REFUSED)
}

static void take_one_that_waits(void)
{
    CHECK(mbi_lock_acquire(waiting_name), "lock %u is refused", waiting_name);
    mbi_lock_release(waiting_name);
}

static void gate_does_what_the_table_says(void)
{
    static const struct {
        unsigned name;
        int at_fork;
    } table[] = {
#define ROW(NAME, count, at_fork) { LOCK_##NAME, at_fork },
        LOCKS(ROW)
    };
    mbi_lock_close_gate(mbi_lock_defer_cancel());
    do_beside(be_refused_all_that_are);
    mbi_lock_restore_cancel(mbi_lock_open_gate());
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].at_fork == WAITS) {
            waiting_name = table[i].name;
            mbi_lock_close_gate(mbi_lock_defer_cancel());
            begin_beside(take_one_that_waits);
            usleep(50000);
            CHECK(sem_trywait(&done) != 0, "lock %u does not wait", waiting_name);
            mbi_lock_restore_cancel(mbi_lock_open_gate());
            end_beside();
        }
    }
}

static void fork_waits_for_fork(void)
{
    mbi_lock_close_gate(mbi_lock_defer_cancel());
    begin_beside(close_gate);
    usleep(50000);
    CHECK(sem_trywait(&done) != 0, "two threads fork at once");
    mbi_lock_restore_cancel(mbi_lock_open_gate());
    end_beside();
    do_beside(open_gate);
}

/* As when a signal handler forks in the middle of a fork: it is open when both have ended. */
static void fork_within_fork(void)
{
    mbi_lock_close_gate(mbi_lock_defer_cancel());
    mbi_lock_close_gate(mbi_lock_defer_cancel());
    CHECK(mbi_lock_acquire(LOCK_POOLS), "who closed it gets any lock");
    mbi_lock_release(LOCK_POOLS);
    mbi_lock_restore_cancel(mbi_lock_open_gate());
    CHECK(!is_cancellable(), "a thread that still forks can be cancelled");
    begin_beside(take_patiently);
    usleep(50000);
    CHECK(sem_trywait(&done) != 0, "the inner fork opened the gate of the outer one");
    mbi_lock_restore_cancel(mbi_lock_open_gate());
    CHECK(is_cancellable(), "a thread that has forked cannot be cancelled");
    end_beside();
    do_beside(alone);
}

int main(void)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    sem_init(&begin, 0, 0);
    sem_init(&done, 0, 0);
    pthread_t other = start_thread(run_tasks, NULL);
    alone();
    do_beside(alone);
    earlier_ones_are_refused();
    holder_wakes_who_waits();
    closed_gate_refuses();
    holder_is_not_refused();
    patient_waits_for_the_gate();
    gate_does_what_the_table_says();
    fork_waits_for_fork();
    fork_within_fork();
    begin_beside(NULL);
    pthread_join(other, NULL);
    return 0;
}
