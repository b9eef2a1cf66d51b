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

/*
 * Steps write these a few times each, with the trim lock; every slow path reads them while there is
 * something in the centre. relaxed [EXCESS]: a thread that reads an old value begins a step late or
 * in vain; a step reads what it acts upon under the locks.
 */
static struct {
    _Alignas(ISOLATION_BYTES) _Atomic size_t sorted_bytes; /* in memory, when last counted */
    _Atomic size_t central_bytes_min; /* up to this much in the centre all was tried in vain */
    _Atomic size_t wanted_bytes;      /* sorted, and then taken again */
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

/* The most that may be free, while `free_bytes` are. */
static size_t excess_most(size_t free_bytes)
{
    size_t share = size_above(bounded_taken(&mbi_committed), free_bytes) / EXCESS_SHARE;
    size_t wanted = size_min(hint_read(&hints.wanted_bytes), EXCESS_WANTED_BYTES + share);
    return EXCESS_FLOOR_BYTES + share + wanted;
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

bool mbi_excess_is_due(void)
{
    size_t central_bytes = centre_bytes();
    if (MBI_LIKELY(central_bytes <= EXCESS_FLOOR_BYTES / CENTRE_REST_PART)
        || flag_is_set(&hints.stepping)) {
        return false;
    }
    return flag_is_set(&hints.working)
           || (central_bytes > hint_read(&hints.central_bytes_min)
               && excess_is_worth(central_bytes, hint_read(&hints.sorted_bytes)));
}

/* Counts what is sorted. What is missing since last time was taken again: `wanted` grows by it. */
static void count_sorted(void)
{
    size_t slots_bytes = 0;
    state.sorted_bytes = 0;
    for (size_t class = pools_next(0); class < SIZE_CLASS_COUNT; class = pools_next(class + 1)) {
        const struct pool *pool = pool_at(class);
        slots_bytes += counter_read(&pool->sorted_slots) * pool->slot_bytes;
        state.sorted_bytes += mbi_pool_sorted_bytes(pool);
    }
    if (slots_bytes < state.sorted_slots_bytes) {
        size_t taken = state.sorted_slots_bytes - slots_bytes;
        hint_set(&hints.wanted_bytes, hint_read(&hints.wanted_bytes) + taken);
    }
    state.sorted_slots_bytes = slots_bytes;
    hint_set(&hints.sorted_bytes, state.sorted_bytes);
}

/* Whether more may lie in the pool's centre than is left alone. */
static bool pool_is_worth(const struct pool *pool)
{
    uint64_t slots = counter_read(&pool->carved) - counter_read(&pool->sorted_slots);
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

static void work(struct trim_allowance left)
{
    bool gone = false;
    while (!trim_is_used_up(&left) && !gone && state.turns < TURNS) {
        go_on(&left);
        gone = excess_is_gone(centre_bytes(), state.sorted_bytes);
    }
    if (gone || state.turns == TURNS) {
        size_t most = excess_most(centre_bytes() + state.sorted_bytes);
        hint_set(&hints.central_bytes_min, gone ? 0 : centre_bytes() + most / CENTRE_PART);
        flag_set(&hints.working, false);
        count_sorted();
    }
    hint_set(&hints.sorted_bytes, state.sorted_bytes);
}

bool mbi_excess_step(const struct trim_allowance *most)
{
    bool working = flag_is_set(&hints.working);
    if (!working) {
        count_sorted();
        working = excess_is_worth(centre_bytes(), state.sorted_bytes);
        if (working) {
            state.turns = 0;
            mbi_trim_begin_turn(&state.turn, state.turn.class, 0);
            flag_set(&hints.working, true);
        }
    }
    if (working) {
        flag_set(&hints.stepping, true);
        work(*most);
        flag_set(&hints.stepping, false);
    }
    return working;
}

void mbi_excess_end_window(void)
{
    hint_set(&hints.central_bytes_min, 0);
    count_sorted();
    hint_set(&hints.wanted_bytes, hint_read(&hints.wanted_bytes) / 2);
}
