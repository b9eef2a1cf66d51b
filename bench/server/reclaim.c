/* reclaim: retired items, the thread of grace periods, and what ThreadSanitizer must be told. */
#include "reclaim.h"

#include "allocator.h"
#include "item.h"

#include <pthread.h>
#include <stdatomic.h>

/*
 * liburcu is compiled without ThreadSanitizer, which so does not see that a grace period orders the
 * readers' accesses before the free.
 */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
static char readers_went_on;
#define READER_GOES_ON() __tsan_release(&readers_went_on)
#define READERS_WENT_ON() __tsan_acquire(&readers_went_on)

/* Within liburcu the table's own thread frees what others queued, in an order unseen, too. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:liburcu-cds.so";
}
#else
#define READER_GOES_ON() ((void)0)
#define READERS_WENT_ON() ((void)0)
#endif

static pthread_t grace_thread;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t asked = PTHREAD_COND_INITIALIZER;
/* Under the mutex. Periods are numbered from 1; `begun` is the last whose wait has started. */
static bool is_asked;
static bool is_stopped;
static uint64_t begun;

/*
 * [ENDED] the last period that has ended: release by the grace thread, acquire by a worker that
 * then frees, so that the readers' accesses, which the period waited for, are before the free.
 */
static _Atomic uint64_t ended;

static void *grace_run(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&mutex);
    for (;;) {
        while (!is_asked && !is_stopped) {
            pthread_cond_wait(&asked, &mutex);
        }
        if (is_stopped) {
            break;
        }
        is_asked = false;
        uint64_t period = ++begun;
        pthread_mutex_unlock(&mutex);
        urcu_qsbr_synchronize_rcu();
        READERS_WENT_ON();
        atomic_store_explicit(&ended, period, memory_order_release); /* [ENDED] */
        pthread_mutex_lock(&mutex);
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

void reclaim_start(void)
{
    pthread_create(&grace_thread, NULL, grace_run, NULL);
}

void reclaim_stop(void)
{
    pthread_mutex_lock(&mutex);
    is_stopped = true;
    pthread_cond_signal(&asked);
    pthread_mutex_unlock(&mutex);
    pthread_join(grace_thread, NULL);
}

/*
 * The number of a period that begins after this call. The mutex orders the caller's removals from
 * the table before the period's begin.
 */
static uint64_t grace_ask(void)
{
    pthread_mutex_lock(&mutex);
    uint64_t ticket = begun + 1;
    if (!is_asked) {
        is_asked = true;
        pthread_cond_signal(&asked);
    }
    pthread_mutex_unlock(&mutex);
    return ticket;
}

void reclaim_thread_begin(void)
{
    urcu_qsbr_register_thread();
    reclaim_asleep();
}

void reclaim_thread_end(struct retired *retired)
{
    reclaim_wait(retired);
    urcu_qsbr_unregister_thread();
}

void reclaim_awake(void)
{
    urcu_qsbr_thread_online();
}

void reclaim_asleep(void)
{
    READER_GOES_ON();
    urcu_qsbr_thread_offline();
}

void reclaim_retire(struct retired *retired, struct item *item)
{
    item->ring_next = retired->fresh;
    retired->fresh = item;
    retired->fresh_bytes += item_bytes(item);
}

/* Frees a list, in batches. */
static void list_free(struct item *item)
{
    enum { BATCH = 64 };
    void *batch[BATCH];
    size_t count = 0;
    while (item != NULL) {
        batch[count++] = item;
        item = item->ring_next;
        if (count == BATCH || item == NULL) {
            allocator_item_free_batch(count, batch);
            count = 0;
        }
    }
}

void reclaim_turn_end(struct retired *retired, bool hurries)
{
    enum { ENOUGH_BYTES = 1 << 16 };
    hurries |= retired->fresh_bytes > ENOUGH_BYTES;
    if (retired->waiting != NULL
        && atomic_load_explicit(&ended, memory_order_acquire) >= retired->ticket) { /* [ENDED] */
        list_free(retired->waiting);
        retired->waiting = NULL;
    }
    if (hurries && retired->waiting == NULL && retired->fresh != NULL) {
        retired->waiting = retired->fresh;
        retired->fresh = NULL;
        retired->fresh_bytes = 0;
        retired->ticket = grace_ask();
    }
}

bool reclaim_wait(struct retired *retired)
{
    if (retired->waiting == NULL && retired->fresh == NULL) {
        return false;
    }
    READER_GOES_ON(); /* the call below takes the calling thread for asleep */
    urcu_qsbr_synchronize_rcu();
    READERS_WENT_ON();
    list_free(retired->waiting);
    list_free(retired->fresh);
    *retired = (struct retired){ .ticket = retired->ticket };
    return true;
}
