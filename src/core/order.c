/* order: the passes, and what they leave out. */
#include "core/order.h"

#include "core/trim.h"

/* Of the first links of each batch so many sixteenths lead to the slot beside: it is in order. */
enum { LINKS = 8, IN_ORDER = 15, BATCHES_MIN = 8 };
enum { PASSES_LEFT_OUT_MAX = 31, LITTLE_LEFT_OUT_MAX = 7 };

/*
 * Steps write these, with the trim lock, and next_bytes any thread. relaxed [ORDER]: a thread that
 * reads an old value begins a step late, or one that finds little to do.
 */
static struct {
    _Alignas(ISOLATION_BYTES) _Atomic size_t next_bytes; /* that the lists hold: a pass is due */
    _Atomic bool working;                                /* a pass is not done */
} due;

struct left_out {
    uint8_t now;  /* passes that still leave the pool out */
    uint8_t last; /* it was left out of so many, the last time */
};

/* With the trim lock. */
static struct {
    size_t class; /* of the pool whose turn it is */
    bool begun;   /* some of its slots were sorted in this pass */
    struct left_out left_out[SIZE_CLASS_COUNT];
} turn;

static void set_next(size_t bytes)
{
    atomic_store_explicit(&due.next_bytes, bytes, memory_order_relaxed); /* [ORDER] */
}

/* As the lists shrink, the next pass comes as soon as they have grown again. */
bool mbi_order_is_due(size_t list_bytes)
{
    size_t next = atomic_load_explicit(&due.next_bytes, memory_order_relaxed); /* [ORDER] */
    if (list_bytes + ORDER_GROWTH_BYTES < next) {
        set_next(list_bytes + ORDER_GROWTH_BYTES);
    }
    return central_mask() == 0 && (flag_is_set(&due.working) || list_bytes >= next);
}

/* Looks at the first links of all batches in turn, as each waits for memory. */
static bool are_in_order(const struct pool *pool, size_t count, const uint64_t chains[])
{
    const intptr_t slot_bytes = (intptr_t)pool->slot_bytes;
    const size_t links = size_min(LINKS, pool->rounds - 1U);
    uint64_t at[TRIM_CHAINS_MAX];
    size_t in_order = 0;
    for (size_t i = 0; i < count; i++) {
        at[i] = chains[i];
    }
    for (size_t link = 0; link < links; link++) {
        for (size_t i = 0; i < count; i++) {
            uint64_t rest = trim_follow(pool, at[i]);
            intptr_t step = (intptr_t)chain_first(rest) - (intptr_t)chain_first(at[i]);
            in_order += step == slot_bytes || step == -slot_bytes;
            at[i] = rest;
        }
    }
    return in_order * 16 >= links * count * IN_ORDER;
}

/* The fewest batches that are worth a turn. */
static size_t batches_min(const struct pool *pool)
{
    size_t batches = size_max(ORDER_POOL_BYTES / pool_batch_bytes(pool), BATCHES_MIN);
    return size_min(batches, trim_chains(pool, TRIM_NUMBERS_MAX));
}

/* A pool that has little may soon have much. */
static void leave_out(struct left_out *left_out, bool has_little)
{
    size_t passes_max = has_little ? LITTLE_LEFT_OUT_MAX : PASSES_LEFT_OUT_MAX;
    size_t passes = size_min(2U * left_out->last + 1, passes_max);
    left_out->now = left_out->last = (uint8_t)passes;
}

/* Takes a few batches to see how they lie, and sorts them if they are enough, and out of order. */
static bool begin_turn(struct pool *pool, size_t *slots_left)
{
    uint64_t chains[TRIM_CHAINS_MAX];
    struct left_out *left_out = &turn.left_out[pool->class];
    size_t least = batches_min(pool);
    size_t count = mbi_pool_take_recent(pool, least, chains);
    *slots_left = size_above(*slots_left, count * LINKS); /* to look takes time, too */
    if (count < least || are_in_order(pool, count, chains)) {
        if (count != 0) {
            mbi_pool_return_recent(pool, count, chains);
        }
        leave_out(left_out, count < least);
        return false;
    }
    left_out->last = 0;
    *slots_left = size_above(*slots_left, mbi_trim_sort_chains(pool, count, chains, true));
    return true;
}

static bool go_on(struct pool *pool, size_t *slots_left)
{
    uint64_t chains[TRIM_CHAINS_MAX];
    size_t count = mbi_pool_take_recent(pool, trim_chains(pool, *slots_left), chains);
    *slots_left = size_above(*slots_left, mbi_trim_sort_chains(pool, count, chains, true));
    return count != 0;
}

/* A piece of the pool's turn; false when it is over. */
static bool work_on(struct pool *pool, size_t *slots_left)
{
    struct left_out *left_out = &turn.left_out[pool->class];
    if (turn.begun) {
        return go_on(pool, slots_left);
    }
    if (pool->slot_bytes > LINEAR_BYTES_MAX
        || counter_read(&pool->carved) * pool->slot_bytes < ORDER_POOL_BYTES) {
        return false;
    }
    if (left_out->now != 0) {
        left_out->now--;
        return false;
    }
    return begin_turn(pool, slots_left);
}

bool mbi_order_step(size_t slots_max)
{
    size_t slots_left = slots_max;
    flag_set(&due.working, true);
    while (slots_left != 0 && (turn.class = pools_next(turn.class)) != SIZE_CLASS_COUNT) {
        turn.begun = work_on(pool_at(turn.class), &slots_left);
        turn.class += !turn.begun;
    }
    if (turn.class == SIZE_CLASS_COUNT) {
        turn.class = 0;
        flag_set(&due.working, false);
        set_next(centre_list_bytes() + ORDER_GROWTH_BYTES);
    }
    centre_note_change(); /* there may be more, and threads that looked meanwhile saw the step */
    return slots_left != slots_max;
}
