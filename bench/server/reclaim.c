/* reclaim: retired items, and the grace periods that they wait for. */
#include "reclaim.h"

#include "item.h"
#include "memory.h"
#include "options.h"

#include <string.h>
#include <sys/param.h>

static char readers_went_on; /* what ThreadSanitizer knows grace periods by */

#ifdef __SANITIZE_THREAD__
/* Within liburcu the table's own thread frees what others queued, in an order unseen, too. */
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:liburcu-cds.so";
}
#endif

static void go_to_sleep(void)
{
    TELL_RELEASE(&readers_went_on);
    urcu_qsbr_thread_offline();
}

void reclaim_thread_begin(void)
{
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

void reclaim_make_room(struct retired *retired)
{
    if (retired->fresh.count > RETIRED_MAX - RETIRED_AT_ONCE) {
        reclaim_wait(retired);
    }
}

void reclaim_retire(struct retired *retired, struct item *item)
{
    /* reclaim_make_room has made it. */
    retired->fresh.items[retired->fresh.count++] = item;
    retired->fresh_bytes += item_bytes(item);
}

static void free_all(struct retired_items *retired)
{
    memory_items_free(retired->count, retired->items);
    retired->count = 0;
}

static void period_end(struct rcu_head *period)
{
    struct retired *retired = caa_container_of(period, struct retired, period);
    TELL_ACQUIRE(&readers_went_on);
    atomic_store_explicit(&retired->has_period, false, memory_order_release); /* [PERIOD] */
}

void reclaim_turn_end(struct retired *retired, bool hurries)
{
    /* Worth waking a thread for: less where that would be a large part of -m. */
    size_t enough_bytes = MIN(1 << 16, options.memory_bytes / 1024);
    if (!atomic_load_explicit(&retired->has_period, memory_order_acquire)) { /* [PERIOD] */
        free_all(&retired->waiting);
        if (retired->fresh_bytes > (hurries ? 0 : enough_bytes)) {
            retired->waiting.count = retired->fresh.count;
            memcpy(retired->waiting.items, retired->fresh.items,
                   retired->fresh.count * sizeof retired->fresh.items[0]);
            retired->fresh.count = 0;
            retired->fresh_bytes = 0;
            atomic_store_explicit(&retired->has_period, true, memory_order_relaxed); /* [PERIOD] */
            urcu_qsbr_call_rcu(&retired->period, period_end);
        }
    } else if (retired->fresh_bytes > 4 * enough_bytes) {
        reclaim_wait(retired); /* liburcu's thread takes its time, some 10 ms */
    }
    go_to_sleep();
}

bool reclaim_wait(struct retired *retired)
{
    if (retired->waiting.count + retired->fresh.count == 0) {
        return false;
    }
    TELL_RELEASE(&readers_went_on); /* the call below takes the calling thread for asleep */
    urcu_qsbr_synchronize_rcu();
    TELL_ACQUIRE(&readers_went_on);
    free_all(&retired->waiting);
    free_all(&retired->fresh);
    retired->fresh_bytes = 0;
    return true;
}
