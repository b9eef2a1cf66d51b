/* background: start, loop, stop. */
#include "tcache/background.h"

#include "core/config.h"
#include "core/decay.h"
#include "core/large.h"
#include "core/lock.h"
#include "core/os.h"
#include "core/pool.h"
#include "core/upcalls.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#define SECOND_NS UINT64_C(1000000000)
/* Never shorter: the thread shall not spin where MB_DECAY_MS is 0. */
#define SLEEP_NS_MIN UINT64_C(1000000)
#define LOOK_NS_MIN UINT64_C(100000000)

/*
 * For starting and stopping. Not one of the library's locks: its holder creates the thread or waits
 * for its end, and fork does not wait for the holder. Neither that thread nor any allocation takes
 * it. Its holder cannot be cancelled.
 */
static pthread_mutex_t control = PTHREAD_MUTEX_INITIALIZER;
/* Under `control`, or in a child that has one thread. */
static bool running;
static pthread_t thread;

/* gcc 12's sanitizers cannot start a thread in the child of a process that had several. */
#if defined(MBI_THREAD_SANITIZED) || defined(__SANITIZE_ADDRESS__)
enum { CHILD_CAN_HAVE_THREADS = false };
#else
enum { CHILD_CAN_HAVE_THREADS = true };
#endif

/* The sleep, which stop ends. Threads hold its mutex only to read or write the flag. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool stop;
} sleeping = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/* False when the thread is to end. */
static bool sleep_for(uint64_t nanoseconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t sum = (uint64_t)until.tv_nsec + nanoseconds;
    until.tv_sec += (time_t)(sum / SECOND_NS);
    until.tv_nsec = (long)(sum % SECOND_NS);

    pthread_mutex_lock(&sleeping.mutex);
    int error = 0;
    while (!sleeping.stop && error == 0) {
        error = pthread_cond_timedwait(&sleeping.wake, &sleeping.mutex, &until);
    }
    bool stop = sleeping.stop;
    pthread_mutex_unlock(&sleeping.mutex);
    return !stop;
}

static void *background_run(void *argument)
{
    /* Named from within: from outside it takes a file, which a sandbox may not allow. */
    pthread_setname_np(pthread_self(), "memorybucket");
    uint64_t window_ns = (uint64_t)mbi_config.decay_ms * UINT64_C(1000000);
    uint64_t wait_ns;
    do {
        wait_ns = mbi_decay_poll();
        mbi_parked_drain_unwanted();
        mbi_large_decay();
        if (wait_ns == UINT64_MAX) { /* nothing is pending: look again */
            wait_ns = size_max(window_ns, LOOK_NS_MIN);
        }
        if (pools_exporting()) {
            mbi_export_poll(NULL, mbi_os_coarse_clock_ns());
            wait_ns = size_min(wait_ns, LOOK_NS_MIN);
        }
    } while (sleep_for(size_max(wait_ns, SLEEP_NS_MIN)));
    return argument;
}

static int create_thread(void)
{
    /* A new condition variable each time: in a forked child the old one has a waiter for ever. */
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&sleeping.wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sleeping.stop = false;

    sigset_t before = mbi_lock_block_signals(); /* the program's are not for this thread */
    int error = pthread_create(&thread, NULL, background_run, NULL);
    mbi_lock_restore_signals(&before);
    return -error;
}

_Atomic bool mbi_background_lost;

/* Under `control`. */
static int start_locked(void)
{
    flag_set(&mbi_background_lost, false); /* first: pthread_create allocates */
    int error = running ? 0 : create_thread();
    running = running || error == 0;
    return error;
}

int mbi_background_start(void)
{
    if (mbi_config.decay_ms < 0) {
        return -EINVAL;
    }
    int saved_errno = errno;
    struct cancelling cancelling = mbi_lock_forbid_cancel();
    pthread_mutex_lock(&control);
    int error = start_locked();
    pthread_mutex_unlock(&control);
    mbi_lock_allow_cancel(cancelling);
    errno = saved_errno;
    return error;
}

MBI_COLD void mbi_background_come_back(void)
{
    if (mbi_lock_has_any()) {
        return; /* a signal handler interrupted the lock's holder: a later slow path starts it */
    }
    int saved_errno = errno;
    struct cancelling cancelling = mbi_lock_forbid_cancel();
    if (pthread_mutex_trylock(&control) == 0) { /* else another thread starts or stops it */
        if (background_is_lost()) {
            (void)start_locked();
        }
        pthread_mutex_unlock(&control);
    }
    mbi_lock_allow_cancel(cancelling);
    errno = saved_errno;
}

void mbi_background_stop(void)
{
    struct cancelling cancelling = mbi_lock_forbid_cancel();
    pthread_mutex_lock(&control);
    flag_set(&mbi_background_lost, false);
    if (running) {
        pthread_mutex_lock(&sleeping.mutex);
        sleeping.stop = true;
        pthread_cond_signal(&sleeping.wake);
        pthread_mutex_unlock(&sleeping.mutex);
        pthread_join(thread, NULL);
        running = false;
    }
    pthread_mutex_unlock(&control);
    mbi_lock_allow_cancel(cancelling);
}

/* Another thread may have had the mutexes. They lie beside what a child writes anyway. */
void mbi_background_reset_in_child(void)
{
    control = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    sleeping.mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    if (running) {
        running = false;
        flag_set(&mbi_background_lost, CHILD_CAN_HAVE_THREADS);
    }
}
