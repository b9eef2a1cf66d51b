/* excess: the bound, and the passes through the pools. */
#include "core/excess.h"

#include "core/centre.h"
#include "core/limit.h"
#include "core/trim.h"

/*
 * Parts of `most`: see excess_is_worth and excess_is_gone. A pool below POOL_PART is left alone:
 * all such pools together are within the bound.
 */
enum { ROOM_PART = 8, CENTRE_PART = 16, CENTRE_REST_PART = 32, POOL_PART = SIZE_CLASS_COUNT };
_Static_assert(GROWTH_FLOOR_BYTES >= EXCESS_FLOOR_BYTES / CENTRE_REST_PART,
               "mbi_excess_is_due does not look below that");

/*
 * Steps write these a few times each, with the trim lock, and slow paths the peak; every slow path
 * reads them while there is something in the centre. relaxed [EXCESS]: a thread that reads an old
 * value begins a step late or in vain; a step reads what it acts upon under the locks.
 */
static struct {
    _Alignas(ISOLATION_BYTES) _Atomic size_t sorted_bytes; /* in memory, when last counted */
    _Atomic size_t central_bytes_min; /* up to this much in the centre all was tried in vain */
    _Atomic size_t wanted_bytes;      /* sorted, and then taken again */
    _Atomic size_t swing_bytes;       /* the same, less what was not taken again */
    _Atomic size_t peak_bytes;        /* the most in use in this window; any thread writes it */
    _Atomic size_t peak_bytes_before; /* the same of the last window */
    _Atomic bool stepping;            /* a thread does a step */
    _Atomic bool working;             /* the passes are not done */
} hints;

/*
 * With the trim lock. The first pass through the pools takes the surplus, the second the aged
 * batches, the third all: in its turn a pool's batches grow older as often as passes have ended.
 */
enum { TURNS = (TRIM_AGES + 1) * SIZE_CLASS_COUNT };
static struct {
    _Alignas(ISOLATION_BYTES) unsigned turns; /* that have ended */
    struct trim_turn turn;     /* the next passes begin with this pool */
    size_t sorted_bytes;       /* of all pools, in memory */
    size_t sorted_slots_bytes; /* in memory or not, when last counted */
} state;

static size_t hint_read(_Atomic size_t *hint)
{
    return atomic_load_explicit(hint, memory_order_relaxed); /* [EXCESS] */
}

static void hint_set(_Atomic size_t *hint, size_t value)
{
    atomic_store_explicit(hint, value, memory_order_relaxed); /* [EXCESS] */
}

static size_t in_use_beside(size_t free_bytes)
{
    return size_above(bounded_taken(&mbi_committed), free_bytes);
}

/* The most that may be free above a floor, but for what a peak spares. */
static size_t share_and_wanted(size_t share_bytes)
{
    size_t wanted_bytes = hint_read(&hints.wanted_bytes);
    return share_bytes + size_min(wanted_bytes, EXCESS_WANTED_BYTES + share_bytes);
}

/* What swings, as far as the last peak was above what is in use. */
static size_t spared_above(size_t in_use_bytes)
{
    size_t peak_bytes = size_max(hint_read(&hints.peak_bytes), hint_read(&hints.peak_bytes_before));
    return size_min(hint_read(&hints.swing_bytes), size_above(peak_bytes, in_use_bytes));
}

/* The most that may be free, while `free_bytes` are. */
static size_t excess_most(size_t free_bytes)
{
    size_t in_use_bytes = in_use_beside(free_bytes);
    size_t share_bytes = in_use_bytes / EXCESS_SHARE;
    return EXCESS_FLOOR_BYTES
           + size_max(share_and_wanted(share_bytes), share_bytes + spared_above(in_use_bytes));
}

static size_t growth_most(size_t central_bytes)
{
    size_t floor_bytes = central_mask() == 0 ? GROWTH_FLOOR_BYTES : GROWTH_FLOOR_SPREAD_BYTES;
    return floor_bytes + share_and_wanted(in_use_beside(central_bytes) / GROWTH_SHARE);
}

/* Whether more is free than may be, and enough of it in the centre, where a step can take it. */
static bool excess_is_worth(size_t central_bytes, size_t sorted_bytes)
{
    size_t most = excess_most(central_bytes + sorted_bytes);
    return central_bytes + sorted_bytes > most && central_bytes > most / CENTRE_PART;
}

static bool excess_is_gone(size_t central_bytes, size_t sorted_bytes)
{
    size_t most = excess_most(central_bytes + sorted_bytes);
    return central_bytes + sorted_bytes <= most - most / ROOM_PART
           || central_bytes <= most / CENTRE_REST_PART;
}

/* Whether pools have grown while too much lay in the centre; if not so much, that is forgotten. */
static bool growth_is_worth(size_t central_bytes)
{
    if (MBI_LIKELY(centre_grown() == 0)) {
        return false;
    }
    bool is_worth = central_bytes > growth_most(central_bytes);
    if (!is_worth) {
        centre_set_grown(0);
    }
    return is_worth;
}

/* Of what two threads note at the same time the smaller may stay; a later one mends that. */
static void note_peak(size_t central_bytes)
{
    size_t in_use_bytes = in_use_beside(central_bytes + hint_read(&hints.sorted_bytes));
    if (MBI_UNLIKELY(in_use_bytes > hint_read(&hints.peak_bytes))) {
        hint_set(&hints.peak_bytes, in_use_bytes);
    }
}

bool mbi_excess_is_due(void)
{
    size_t central_bytes = centre_bytes();
    note_peak(central_bytes);
    if (MBI_LIKELY(central_bytes <= EXCESS_FLOOR_BYTES / CENTRE_REST_PART)
        || flag_is_set(&hints.stepping)) {
        return false;
    }
    return flag_is_set(&hints.working)
           || (central_bytes > hint_read(&hints.central_bytes_min)
               && (growth_is_worth(central_bytes)
                   || excess_is_worth(central_bytes, hint_read(&hints.sorted_bytes))));
}

static void hint_add(_Atomic size_t *hint, size_t value)
{
    hint_set(hint, hint_read(hint) + value);
}

/*
 * Counts what is sorted. What is missing since last time was taken again: `wanted` grows by it, and
 * `swing` by as much as it is more than what is left.
 */
static void count_sorted(void)
{
    size_t slots_bytes = 0;
    state.sorted_bytes = 0;
    for (size_t class = pools_next(0); class < SIZE_CLASS_COUNT; class = pools_next(class + 1)) {
        const struct pool *pool = pool_at(class);
        slots_bytes += pool_settled_slots(pool) * pool->slot_bytes;
        state.sorted_bytes += mbi_pool_sorted_bytes(pool);
    }
    if (slots_bytes < state.sorted_slots_bytes) {
        size_t taken = state.sorted_slots_bytes - slots_bytes;
        hint_add(&hints.wanted_bytes, taken);
        hint_add(&hints.swing_bytes, size_above(taken, slots_bytes));
    }
    state.sorted_slots_bytes = slots_bytes;
    hint_set(&hints.sorted_bytes, state.sorted_bytes);
}

/* Whether more may lie in the pool's centre than is left alone. */
static bool pool_is_worth(const struct pool *pool)
{
    uint64_t slots = counter_read(&pool->carved) - pool_settled_slots(pool);
    return slots * pool->slot_bytes > EXCESS_FLOOR_BYTES / POOL_PART;
}

/* A piece of work on the pool whose turn it is; false when the turn is over. */
static bool work_on_pool(struct trim_allowance *left)
{
    const struct pool *pool = pool_at(state.turn.class);
    size_t before_bytes = mbi_pool_sorted_bytes(pool);
    if (!pool_is_worth(pool)) { /* then only slots that are sorted already may go */
        state.turn.slots_left = 0;
        state.turn.ages_left = 0;
    }
    bool more = mbi_trim_go_on(&state.turn, left);
    size_t after_bytes = mbi_pool_sorted_bytes(pool);
    state.sorted_bytes = size_above(state.sorted_bytes + after_bytes, before_bytes);
    return more;
}

static void go_on(struct trim_allowance *left)
{
    if (!pool_is_laid_out(state.turn.class) || !work_on_pool(left)) {
        state.turns++;
        mbi_trim_begin_turn(&state.turn, (state.turn.class + 1) % SIZE_CLASS_COUNT,
                            state.turns / SIZE_CLASS_COUNT);
    }
}

static void begin_passes(void)
{
    state.turns = 0;
    mbi_trim_begin_turn(&state.turn, state.turn.class, 0);
}

/*
 * What follows is not tried again before more lies in the centre, or a window has ended. Growth
 * goes on with the passes that it finds: so these are new ones.
 */
static void end_passes(bool gone, size_t most)
{
    hint_set(&hints.central_bytes_min, gone ? 0 : centre_bytes() + most / CENTRE_PART);
    count_sorted();
    begin_passes();
}

static void work(struct trim_allowance left)
{
    bool gone = false;
    while (!trim_is_used_up(&left) && !gone && state.turns < TURNS) {
        go_on(&left);
        gone = excess_is_gone(centre_bytes(), state.sorted_bytes);
    }
    if (gone || state.turns == TURNS) {
        flag_set(&hints.working, false);
        end_passes(gone, excess_most(centre_bytes() + state.sorted_bytes));
    }
    hint_set(&hints.sorted_bytes, state.sorted_bytes);
}

/*
 * Gives pages back of the pool whose turn it is, and then sorts as much more of it as may still go.
 * No more: what is sorted and stays in memory spares none, and threads need a lock for it. These
 * are whole magazines, as no less is sorted: so all of it counts.
 */
static MBI_SELDOM void go_on_for_growth(struct trim_allowance *left, size_t *sorted_bytes_left)
{
    if (!pool_is_laid_out(state.turn.class)) {
        go_on(left);
        return;
    }
    struct pool *pool = pool_at(state.turn.class);
    size_t bytes = 0;
    (void)mbi_trim_release(pool, left, &bytes);
    if (!trim_is_used_up(left)) {
        size_t wanted_bytes = size_min(left->pages * mbi_os_page_bytes(), *sorted_bytes_left);
        size_t magazines = size_max(wanted_bytes / pool_batch_bytes(pool), 1);
        size_t slots_kept = size_above(left->slots, magazines * pool->rounds);
        left->slots -= slots_kept;
        size_t slots = left->slots;
        go_on(left);
        size_t sorted = slots - left->slots;
        left->slots += slots_kept;
        *sorted_bytes_left = size_above(*sorted_bytes_left, sorted * pool->slot_bytes);
    }
}

/*
 * The passes go on with the next growth, and begin anew when all was tried. Small programs never
 * come here, so they have this code not in memory (decision 19).
 */
static MBI_SELDOM void answer_growth(struct trim_allowance left)
{
    size_t page_bytes = mbi_os_page_bytes();
    size_t grown = centre_grown();
    size_t sorted_bytes = grown * GROWTH_SORTED;
    bool gone = false;
    left.pages = size_min(left.pages, size_max(grown * GROWTH_TIMES / page_bytes, 1));
    size_t pages = left.pages;
    left.any_huge = false; /* that would be far more than has grown */
    while (!trim_is_used_up(&left) && sorted_bytes != 0 && !gone && state.turns < TURNS) {
        go_on_for_growth(&left, &sorted_bytes);
        gone = centre_bytes() <= growth_most(centre_bytes());
    }
    if (gone || state.turns == TURNS) {
        end_passes(gone, growth_most(centre_bytes()));
    }
    size_t released_for = (pages - left.pages) * page_bytes / GROWTH_TIMES;
    size_t sorted_for = grown - sorted_bytes / GROWTH_SORTED;
    centre_set_grown(size_above(centre_grown(), size_max(released_for, sorted_for)));
}

bool mbi_excess_step(const struct trim_allowance *most)
{
    bool working = flag_is_set(&hints.working);
    bool growing = false;
    if (!working) {
        count_sorted();
        working = excess_is_worth(centre_bytes(), state.sorted_bytes);
        growing = !working && growth_is_worth(centre_bytes());
        if (working) {
            begin_passes();
            flag_set(&hints.working, true);
        }
    }
    flag_set(&hints.stepping, true);
    if (working) {
        work(*most);
    } else if (growing) {
        answer_growth(*most);
    }
    flag_set(&hints.stepping, false);
    centre_note_change(); /* there may be more, and threads that looked meanwhile saw the step */
    return working || growing;
}

void mbi_excess_end_window(void)
{
    hint_set(&hints.central_bytes_min, 0);
    count_sorted();
    hint_set(&hints.wanted_bytes, hint_read(&hints.wanted_bytes) / 2);
    hint_set(&hints.swing_bytes, hint_read(&hints.swing_bytes) / 2);
    hint_set(&hints.peak_bytes_before, hint_read(&hints.peak_bytes));
    hint_set(&hints.peak_bytes, 0);
    centre_note_change();
}
