/* excess: the bound, and the passes through the pools. */
#include "core/excess.h"

#include "core/centre.h"
#include "core/limit.h"
#include "core/os.h"
#include "core/trim.h"

/* Parts of `most`: see excess_is_worth and excess_is_gone. A pool below POOL_PART is left alone. */
enum { ROOM_PART = 8, CENTRE_PART = 16, CENTRE_REST_PART = 32, POOL_PART = 64 };
_Static_assert((int)POOL_PART >= (int)SIZE_CLASS_COUNT, "pools left alone are within the bound");

/*
 * Written with the trim lock, a few times a step; read by every slow path while there is something
 * in the centre. relaxed [EXCESS]: a thread that reads an old value begins a step too late or in
 * vain; a step reads what it acts upon under the locks.
 */
static struct {
    _Alignas(ISOLATION_BYTES) _Atomic size_t sorted_bytes; /* in memory, when last counted */
    _Atomic size_t central_bytes_min; /* with less in the centre all has been tried already */
    _Atomic size_t wanted_bytes;      /* sorted, and then taken again */
    _Atomic bool stepping;            /* a thread does a step */
    _Atomic bool working;             /* the passes are not done */
} hints;

enum pass { PASS_SURPLUS, PASS_AGED, PASS_ALL, PASS_COUNT };

/* With the trim lock. */
static struct {
    _Alignas(ISOLATION_BYTES) enum pass pass;
    size_t pools_left;         /* of this pass */
    size_t class;              /* of the pool whose turn it is, also when passes begin anew */
    unsigned ages_left;        /* how often the pool's batches become older still in this pass */
    size_t sorted_bytes;       /* of all pools, in memory */
    size_t sorted_slots_bytes; /* in memory or not, when last counted */
} state;

/* How often batches have to become older to be surplus, in each pass. */
static const unsigned ages[PASS_COUNT] = { 0, 1, 2 };

static size_t hint_read(_Atomic size_t *hint)
{
    return atomic_load_explicit(hint, memory_order_relaxed); /* [EXCESS] */
}

static void hint_set(_Atomic size_t *hint, size_t value)
{
    atomic_store_explicit(hint, value, memory_order_relaxed); /* [EXCESS] */
}

/* The most that may be free, when so much is. */
static size_t excess_most(size_t free_bytes)
{
    size_t share = size_above(mbi_limit_committed(), free_bytes) / EXCESS_SHARE;
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

/* Those that are fewer than when last counted were taken again: `wanted` grows by them. */
static void count_sorted(void)
{
    size_t slots_bytes = 0;
    state.sorted_bytes = 0;
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        const struct pool *pool = &mbi_pools[class];
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

static void begin_pass(enum pass pass)
{
    state.pass = pass;
    state.pools_left = SIZE_CLASS_COUNT;
    state.ages_left = ages[pass];
}

static void next_pool(void)
{
    state.class = (state.class + 1) % SIZE_CLASS_COUNT;
    state.ages_left = ages[state.pass];
    if (--state.pools_left == 0 && state.pass != PASS_ALL) {
        begin_pass(state.pass + 1);
    }
}

/* More may lie in its centre than what is left alone. */
static bool pool_is_worth(const struct pool *pool)
{
    uint64_t slots = counter_read(&pool->carved) - counter_read(&pool->sorted_slots);
    return slots * pool->slot_bytes > EXCESS_FLOOR_BYTES / POOL_PART;
}

/* A piece of work on the pool whose turn it is; false when the step's allowance is used up. */
static bool work_on_pool(struct trim_allowance *left)
{
    struct pool *pool = &mbi_pools[state.class];
    size_t slots = pool_is_worth(pool) ? mbi_trim_sort(pool, left->slots) : 0;
    state.sorted_bytes += slots * pool->slot_bytes;
    left->slots = size_above(left->slots, slots);
    if (slots != 0) {
        return left->slots != 0;
    }
    if (state.ages_left != 0 && pool_is_worth(pool)) {
        state.ages_left--;
        (void)mbi_pool_age(pool, state.pass == PASS_ALL);
        return true;
    }
    size_t bytes = 0;
    bool more = mbi_trim_release(pool, left, &bytes);
    state.sorted_bytes -= size_min(bytes, state.sorted_bytes);
    if (!more) {
        next_pool();
    }
    return !more;
}

static void work(void)
{
    struct trim_allowance left = trim_whole_step;
    bool may_go_on = true;
    bool gone = false;
    while (may_go_on && !gone && state.pools_left != 0) {
        may_go_on = work_on_pool(&left);
        gone = excess_is_gone(centre_bytes(), state.sorted_bytes);
    }
    if (gone || state.pools_left == 0) {
        size_t most = excess_most(centre_bytes() + state.sorted_bytes);
        hint_set(&hints.central_bytes_min, gone ? 0 : centre_bytes() + most / CENTRE_PART);
        flag_set(&hints.working, false);
        count_sorted();
    }
    hint_set(&hints.sorted_bytes, state.sorted_bytes);
}

bool mbi_excess_step(void)
{
    bool working = flag_is_set(&hints.working);
    if (!working) {
        count_sorted();
        working = excess_is_worth(centre_bytes(), state.sorted_bytes);
        if (working) {
            begin_pass(PASS_SURPLUS);
            flag_set(&hints.working, true);
        }
    }
    if (working) {
        flag_set(&hints.stepping, true);
        work();
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
