/* reclaim: retired items, and what ThreadSanitizer must be told. */
#include "reclaim.h"

#include "item.h"
#include "memory.h"

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

static void go_to_sleep(void)
{
    READER_GOES_ON();
    urcu_qsbr_thread_offline();
}

void reclaim_thread_begin(struct retired *retired)
{
    CDS_INIT_LIST_HEAD(&retired->fresh);
    CDS_INIT_LIST_HEAD(&retired->waiting);
    urcu_qsbr_register_thread();
    go_to_sleep();
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

void reclaim_retire(struct retired *retired, struct item *item)
{
    cds_list_add(&item->ring, &retired->fresh);
    retired->fresh_bytes += item_bytes(item);
}

/* Frees a list, in batches. */
static void list_free(struct cds_list_head *list)
{
    enum { BATCH = 64 };
    void *batch[BATCH];
    size_t count = 0;
    struct item *item;
    struct item *next;
    cds_list_for_each_entry_safe(item, next, list, ring) {
        batch[count++] = item;
        if (count == BATCH) {
            memory_items_free(count, batch);
            count = 0;
        }
    }
    memory_items_free(count, batch);
    CDS_INIT_LIST_HEAD(list);
}

static void period_end(struct rcu_head *period)
{
    struct retired *retired = caa_container_of(period, struct retired, period);
    READERS_WENT_ON();
    atomic_store_explicit(&retired->has_period, false, memory_order_release); /* [PERIOD] */
}

void reclaim_turn_end(struct retired *retired, bool hurries)
{
    enum { ENOUGH_BYTES = 1 << 16, TOO_MANY_BYTES = 1 << 18 };
    if (!atomic_load_explicit(&retired->has_period, memory_order_acquire)) { /* [PERIOD] */
        list_free(&retired->waiting);
        if (retired->fresh_bytes > (hurries ? 0 : ENOUGH_BYTES)) {
            cds_list_splice(&retired->fresh, &retired->waiting);
            CDS_INIT_LIST_HEAD(&retired->fresh);
            retired->fresh_bytes = 0;
            atomic_store_explicit(&retired->has_period, true, memory_order_relaxed); /* [PERIOD] */
            urcu_qsbr_call_rcu(&retired->period, period_end);
        }
    } else if (retired->fresh_bytes > TOO_MANY_BYTES) {
        reclaim_wait(retired); /* liburcu's thread takes its time, some 10 ms */
    }
    go_to_sleep();
}

bool reclaim_wait(struct retired *retired)
{
    if (cds_list_empty(&retired->waiting) && cds_list_empty(&retired->fresh)) {
        return false;
    }
    READER_GOES_ON(); /* the call below takes the calling thread for asleep */
    urcu_qsbr_synchronize_rcu();
    READERS_WENT_ON();
    list_free(&retired->waiting);
    list_free(&retired->fresh);
    retired->fresh_bytes = 0;
    return true;
}
