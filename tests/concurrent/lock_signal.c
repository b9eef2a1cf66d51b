/*
 * lock_signal: a signal handler that takes a lock and gives it back, at each instruction of the
 * interrupted thread's calls that take and give another. Each knows at any moment what it has.
 */
#include "single_step.h"

#include "core/lock.h"

static volatile unsigned steps;
static volatile bool has_lock; /* between the two calls */

static bool take_another(void)
{
    steps++;
    CHECK(mbi_lock_acquire(LOCK_POOLS + 1), "nobody has it");
    CHECK(!mbi_lock_acquire(LOCK_POOLS + 1), "it is taken twice");
    mbi_lock_release(LOCK_POOLS + 1);
    mbi_lock_refused = false;
    CHECK(!has_lock || (!mbi_lock_try_acquire(LOCK_POOLS) && mbi_lock_refused),
          "the thread has it, and knows nothing of it");
    return true;
}

static void take_and_give(void)
{
    CHECK(mbi_lock_acquire(LOCK_POOLS), "nobody has it");
    has_lock = true;
    CHECK(mbi_lock_has_any(), "it has one");
    has_lock = false;
    mbi_lock_release(LOCK_POOLS);
}

int main(void)
{
    if (!CAN_SINGLE_STEP) {
        return SKIPPED;
    }
    CHECK(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL) == 0, "cancel type");
    single_step(take_and_give, take_another);
    int type;
    CHECK(pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type) == 0, "cancel type");
    CHECK(type == PTHREAD_CANCEL_ASYNCHRONOUS, "the thread stays deferred");
    CHECK(!mbi_lock_has_any(), "a lock is left");
    CHECK(steps > 50, "%u steps", steps);
    printf("%u steps\n", steps);
    return 0;
}
