/* decay: windows, and the steps between them. */
#include "core/decay.h"

#include "core/centre.h"
#include "core/config.h"
#include "core/excess.h"
#include "core/order.h"
#include "core/os.h"
#include "core/trim.h"

#include <errno.h>

#define MILLISECOND_NS UINT64_C(1000000)
/* The coarse clock goes in steps of a timer tick, 1 to 10 ms. */
#define COARSE_NS (10 * MILLISECOND_NS)
/* Threads keep what they have not used for at least this time, however short the window is. */
#define THREADS_WINDOW_NS (100 * MILLISECOND_NS)

/* The least time between two steps, and the fewest slots that make one worth while. */
enum { STEP_GAP_NS = 50000, STEP_SLOTS_MIN = 512 };

/*
 * Steps write these, with the trim lock, but for `awaited`. The next step is due at due_ns, on the
 * monotonic clock. relaxed [DUE]: a hint; the trim lock decides which thread steps.
 */
struct decay_hints mbi_decay_hints;

/* Of steps, with the trim lock. Shares no line with what slow paths read. */
static struct {
    _Alignas(ISOLATION_BYTES) uint64_t window_ns;
    unsigned ages; /* of each turn: 1 where windows have no length: what is aged is surplus then */
    uint64_t window_end_ns;
    bool working;              /* the window began with surplus, and its work is not done */
    struct trim_turn turn;
    uint64_t slots_per_window; /* twice what there may be to sort: so all goes in half a window */
    uint64_t last_step_ns;
    uint64_t threads_told_ns; /* when the threads were last told that a window ended */
} decay;

struct decay_counts mbi_decay_counts;

void mbi_decay_init(void)
{
    decay.window_ns = mbi_config.decay_ms > 0 ? (uint64_t)mbi_config.decay_ms * MILLISECOND_NS : 0;
    decay.ages = decay.window_ns == 0;
}

void mbi_decay_await_window(void)
{
    if (!flag_is_set(&mbi_decay_hints.awaited)) { /* every slow path reads the line */
        flag_set(&mbi_decay_hints.awaited, true);
    }
    pools_set_pending(true);
}

/* Begins the next window. Batches that lay in the centre all through the last one are surplus. */
static void turn_window(uint64_t now_ns)
{
    uint64_t slots = 0;
    bool any = false;
    if (now_ns - decay.threads_told_ns >= THREADS_WINDOW_NS) {
        decay.threads_told_ns = now_ns;
        flag_set(&mbi_decay_hints.awaited, false); /* first: a thread that is told may await one */
        atomic_store_explicit(&mbi_decay_hints.windows, decay_windows() + 1,
                              memory_order_relaxed); /* [WINDOW] */
    }
    pools_set_pending(false); /* first: a push from now on shall be seen */
    for (size_t class = pools_next(0); class < SIZE_CLASS_COUNT; class = pools_next(class + 1)) {
        struct pool *pool = pool_at(class);
        any |= mbi_pool_age(pool, true);
        slots += counter_read(&pool->carved) - counter_read(&pool->sorted_slots);
    }
    if (any || flag_is_set(&mbi_decay_hints.awaited)) {
        pools_set_pending(true);
    }
    mbi_excess_end_window();
    decay.working = any;
    mbi_trim_begin_turn(&decay.turn, 0, decay.ages);
    decay.slots_per_window = 2 * slots;
    decay.window_end_ns = now_ns + decay.window_ns;
    decay.last_step_ns = now_ns;
}

/* What is to be sorted so long after the last step. */
static uint64_t slots_due(uint64_t elapsed_ns)
{
    if (elapsed_ns >= decay.window_ns) {
        return UINT64_MAX;
    }
    unsigned __int128 slots_ns = (unsigned __int128)decay.slots_per_window * elapsed_ns;
    return (uint64_t)(slots_ns / decay.window_ns);
}

/* The time that so many slots are the work of. */
static uint64_t time_of(uint64_t slots)
{
    return slots * decay.window_ns / size_max(decay.slots_per_window, 1);
}

/*
 * Sorts and releases as much as the time since the last step asks for, and `most` allows. Returns
 * whether that was too little: then the next step is due at once, and has the rest of that time.
 */
static bool work(uint64_t now_ns, const struct trim_allowance *most)
{
    uint64_t elapsed_ns = now_ns - decay.last_step_ns;
    uint64_t due = slots_due(elapsed_ns);
    bool late = decay.window_ns != 0 && due > most->slots;
    struct trim_allowance left = *most;
    left.slots = size_max(size_min(due, most->slots), STEP_SLOTS_MIN);
    while (decay.turn.class < SIZE_CLASS_COUNT && !trim_is_used_up(&left)) {
        if (!mbi_trim_go_on(&decay.turn, &left)) {
            mbi_trim_begin_turn(&decay.turn, decay.turn.class + 1, decay.ages);
        }
    }
    decay.working = decay.turn.class < SIZE_CLASS_COUNT;
    decay.last_step_ns += late ? size_min(time_of(most->slots), elapsed_ns) : elapsed_ns;
    return late || left.tiles == 0 || left.pages == 0 || left.calls == 0;
}

static void count_step(uint64_t begin_ns)
{
    _Atomic uint64_t *max_ns = &mbi_decay_counts.decay_step_ns_max;
    counter_add(&mbi_decay_counts.decay_steps, 1);
    counter_add(max_ns, size_above(mbi_os_clock_ns() - begin_ns, counter_read(max_ns)));
}

/* Returns when the next step is due. */
static uint64_t step_by_time(uint64_t now_ns, const struct trim_allowance *most)
{
    bool hurries = false;
    if (decay.working) {
        uint64_t begin_ns = mbi_os_clock_ns();
        hurries = work(now_ns, most);
        count_step(begin_ns);
    }
    if (!decay.working && now_ns >= decay.window_end_ns) {
        turn_window(now_ns);
        hurries = false;
    }
    return !decay.working ? decay.window_end_ns : hurries ? now_ns : now_ns + STEP_GAP_NS;
}

/* The time, exact only near `due`: the exact clock costs five times the coarse one. */
static uint64_t clock_near(uint64_t due, uint64_t coarse_ns)
{
    return due > coarse_ns + COARSE_NS ? coarse_ns : mbi_os_clock_ns();
}

/* What is too much goes back; where nothing is, what lies out of order is sorted. */
static void step_by_volume(const struct trim_allowance *most)
{
    uint64_t begin_ns = mbi_os_clock_ns();
    if (mbi_config.decay_ms > 0 && mbi_excess_step(most)) {
        count_step(begin_ns);
        counter_add(&mbi_decay_counts.decay_volume_steps, 1);
    } else {
        (void)mbi_order_step(most->slots);
    }
}

static uint64_t poll_pending(uint64_t coarse_ns, const struct trim_allowance *most, bool orders)
{
    if (MBI_UNLIKELY((mbi_config.decay_ms > 0 && mbi_excess_is_due()) || orders)) {
        if (mbi_lock_try_acquire(LOCK_TRIM)) {
            step_by_volume(most);
            mbi_lock_release(LOCK_TRIM);
        } else {
            centre_note_change();
        }
        return STEP_GAP_NS;
    }
    uint64_t due = atomic_load_explicit(&mbi_decay_hints.due_ns, memory_order_relaxed); /* [DUE] */
    uint64_t now_ns = clock_near(due, coarse_ns);
    if (now_ns < due) {
        return due - now_ns;
    }
    if (!mbi_lock_try_acquire(LOCK_TRIM)) {
        return STEP_GAP_NS;
    }
    /* Again, under the lock: another thread may have done the step meanwhile. */
    due = atomic_load_explicit(&mbi_decay_hints.due_ns, memory_order_relaxed); /* [DUE] */
    now_ns = mbi_os_clock_ns();
    if (now_ns >= due) {
        due = step_by_time(now_ns, most);
        atomic_store_explicit(&mbi_decay_hints.due_ns, due, memory_order_relaxed); /* [DUE] */
    }
    mbi_lock_release(LOCK_TRIM);
    return size_above(due, now_ns);
}

static uint64_t poll_if_any(uint64_t coarse_ns, const struct trim_allowance *most)
{
    centre_note_look();
    bool orders = mbi_config.decay_ms != 0 && order_is_due();
    if ((mbi_config.decay_ms < 0 && !orders) || !pools_pending()) {
        return UINT64_MAX;
    }
    int saved_errno = errno;
    uint64_t wait_ns = poll_pending(coarse_ns, most, orders);
    errno = saved_errno;
    return wait_ns;
}

uint64_t mbi_decay_poll_at(uint64_t coarse_ns)
{
    return poll_if_any(coarse_ns, &trim_short_step);
}

uint64_t mbi_decay_poll(void)
{
    return poll_if_any(mbi_os_coarse_clock_ns(), &trim_whole_step);
}
