/* pool: loose slots, and the way to the centre. */
#include "core/pool.h"

#include "core/centre.h"
#include "core/config.h"
#include "core/pool_sort.h"
#include "core/probes.h"
#include "core/upcalls.h"

struct pools_hints mbi_pools_hints;
struct centre mbi_centre;

/* Out of line: tools work best with a probe that stands in one place. */
static MBI_COLD bool pool_lock_slow(struct pool *pool)
{
    probe_mutex_wait(pool->slot_bytes);
    bool taken = mbi_lock_acquire(pool_lock_name(pool));
    if (taken) {
        counter_add(&pool->mutex_waits, 1);
    }
    return taken;
}

/* Tries first, so that only waits that happen are counted, and fire the probe. */
bool mbi_pool_lock(struct pool *pool)
{
    if (MBI_UNLIKELY(!mbi_lock_try_acquire(pool_lock_name(pool))) && !pool_lock_slow(pool)) {
        return false;
    }
    counter_add(&pool->mutex_acquisitions, 1);
    return true;
}

void mbi_pool_unlock(struct pool *pool)
{
    mbi_lock_release(pool_lock_name(pool));
}

_Thread_local bool mbi_pool_commit_refused __attribute__((tls_model("initial-exec")));

/* Also stores the chain's rounds, for readers without the lock. */
void mbi_pool_set_loose_locked(struct pool *pool, uint64_t chain)
{
    pool->loose = chain;
    atomic_store_explicit(&pool->loose_rounds, chain_rounds(chain),
                          memory_order_relaxed); /* [COUNT] */
}

void mbi_pools_spread(unsigned processors)
{
    unsigned stacks = 1;
    while (stacks < processors && stacks < CENTRAL_STACKS) {
        stacks *= 2;
    }
    /* Or-ed: where threads do this at the same time it only grows. */
    atomic_fetch_or_explicit(&mbi_pools_hints.central_mask, stacks - 1,
                             memory_order_relaxed); /* [SPREAD] */
}

/* Out of line: bpftrace 0.17 does not find a probe without a PID that is in several places. */
static MBI_COLD void pool_note_retries(const struct pool *pool, struct transfer_counts *counts,
                                       enum probe_direction direction, uint64_t retries)
{
    counter_add(&counts->cas_retries, retries);
    probe_cas_retry(pool->slot_bytes, direction, retries);
}

/*
 * Takes the oldest of the last few batches of another processor's stack, and moves the younger ones
 * to `own`, the oldest of them on top: 0 when there is none. What was pushed last is still in the
 * other processor's caches, and a thread that takes what others free would get just that from a
 * stack, each time; so it gets it in the order in which it came. A few, as this waits for a line of
 * each. Meanwhile two of them at most are on no stack.
 */
static MBI_COLD uint64_t pool_pop_oldest(struct pool *pool, struct batch_stack *own,
                                         struct batch_stack *other, uint64_t *retries)
{
    enum { MOVED_MAX = 7 };
    uint64_t oldest = batch_stack_pop(other, &pool->space, pool->rounds, retries);
    for (unsigned moved = 0; oldest != 0 && moved < MOVED_MAX; moved++) {
        uint64_t older = batch_stack_pop(other, &pool->space, pool->rounds, retries);
        if (older == 0) {
            break;
        }
        batch_stack_push(own, &pool->space, oldest, retries);
        pools_set_pending(true); /* decay may have seen it on no stack */
        oldest = older;
    }
    return oldest;
}

/* A batch of the other processors' stacks; 0 when they have none. */
static MBI_COLD uint64_t pool_pop_of_others(struct pool *pool, unsigned here, uint64_t *retries)
{
    unsigned mask = central_mask();
    uint64_t chain = 0;
    for (unsigned i = 1; chain == 0 && i <= mask; i++) {
        chain = pool_pop_oldest(pool, pool_stack(pool, here), pool_stack(pool, (here + i) & mask),
                                retries);
    }
    return chain;
}

/*
 * A flush is counted before its CAS, a refill after it: so flushes less refills is never below the
 * batches that are there. A fork may fall into another thread's transfer: in the child that batch
 * counts as the centre's, not as live.
 */
uint64_t mbi_pool_pop_batch(struct pool *pool, struct transfer_counts *counts)
{
    if (!flag_is_set(&pool->pushed)) {
        return 0;
    }
    uint64_t retries = 0;
    unsigned here = central_here();
    uint64_t chain =
        batch_stack_pop(pool_stack(pool, here), &pool->space, pool->rounds, &retries);
    if (MBI_UNLIKELY(chain == 0) && central_mask() != 0) {
        chain = pool_pop_of_others(pool, here, &retries);
    }
    if (chain != 0) {
        counter_add(&counts->refills, 1);
        probe_refill(pool->slot_bytes, pool->rounds);
    }
    if (MBI_UNLIKELY(retries != 0)) {
        pool_note_retries(pool, counts, PROBE_REFILL, retries);
    }
    return chain;
}

void mbi_pool_push_batch(struct pool *pool, uint64_t chain, struct transfer_counts *counts)
{
    assert(chain_rounds(chain) == pool->rounds);
    uint64_t retries = 0;
    counter_add(&counts->flushes, 1);
    if (MBI_UNLIKELY(!flag_is_set(&pool->pushed))) {
        flag_set(&pool->pushed, true); /* first: a thread that expects the batch looks */
    }
    batch_stack_push(pool_stack(pool, central_here()), &pool->space, chain, &retries);
    pools_set_pending(true);
    probe_flush(pool->slot_bytes, pool->rounds);
    if (MBI_UNLIKELY(retries != 0)) {
        pool_note_retries(pool, counts, PROBE_FLUSH, retries);
    }
}

struct fresh_run mbi_pool_obtain(struct pool *pool, size_t rounds_wanted, uint64_t *chain)
{
    struct fresh_run run = { .first = NULL, .rounds = 0 };
    struct sorted_slots taken;
    taken.count = 0;
    *chain = 0;
    if (!mbi_pool_lock(pool)) {
        return run;
    }
    *chain = pool->loose;
    if (*chain != 0) {
        mbi_pool_set_loose_locked(pool, 0);
    } else {
        *chain = mbi_pool_take_old_batch_locked(pool);
    }
    if (*chain == 0 && counter_read(&pool->sorted_slots) != 0) {
        mbi_pool_take_sorted_locked(pool, rounds_wanted, &taken);
    }
    if (*chain == 0 && taken.count == 0) {
        run = mbi_pool_carve_for_use_locked(pool, rounds_wanted);
    }
    mbi_pool_unlock(pool);
    if (taken.count != 0) {
        *chain = mbi_pool_link_sorted(&taken);
    }
    return run;
}

struct slot *mbi_pool_take_zeroed(struct pool *pool)
{
    struct fresh_run run = { .first = NULL, .rounds = 0 };
    if (!mbi_pool_lock(pool)) {
        return NULL;
    }
    if (pool->loose == 0 && !mbi_pool_has_old_batch_locked(pool)
        && counter_read(&pool->sorted_slots) == 0) {
        run = mbi_pool_carve_for_use_locked(pool, 1);
    }
    mbi_pool_unlock(pool);
    mbi_pool_touch_run(pool, run);
    return (struct slot *)(void *)run.first;
}

/* Moves slots from the front of `from` to `to`, until `to` has `rounds`; `from` has enough. */
static void chain_move(const struct pool *pool, uint64_t *to, uint64_t *from, uint32_t rounds)
{
    /* A quick test first, for the first span: exiting threads bring all they had through here. */
    const uintptr_t first = (uintptr_t)pool->space.start[0];
    const size_t first_bytes = slot_space_carved_first_bytes(&pool->space);
    uint64_t source = *from;
    uint64_t target = *to;
    while (chain_rounds(target) < rounds) {
        struct slot *slot = chain_first(source);
        if (MBI_UNLIKELY((uintptr_t)slot - first >= first_bytes)
            && MBI_UNLIKELY(!slot_space_has(&pool->space, slot))) {
            mbi_slot_space_corrupted(&pool->space, source);
        }
        /* Freed twice, a slot is met a second time, and its word counts for one place only. */
        uint64_t rest = slot->rest;
        if (MBI_UNLIKELY(chain_rounds(rest) != chain_rounds(source) - 1)) {
            mbi_slot_space_corrupted(&pool->space, rest);
        }
        source = rest;
        target = chain_push(target, slot);
    }
    *from = source;
    *to = target;
}

/* Walks the shorter one, of the chain and the loose slots, and joins it to the longer. */
bool mbi_pool_return_loose(struct pool *pool, uint64_t chain)
{
    assert(chain != 0 && chain_rounds(chain) < pool->rounds);
    if (!mbi_pool_lock(pool)) {
        return false;
    }
    if (MBI_UNLIKELY(chain_first(chain) == chain_first(pool->loose))) {
        mbi_slot_space_corrupted(&pool->space, chain); /* freed twice, with no cache */
    }
    counter_add(&pool->returned_loose, chain_rounds(chain));
    bool is_longer = chain_rounds(chain) > chain_rounds(pool->loose);
    uint64_t longer = is_longer ? chain : pool->loose;
    uint64_t shorter = is_longer ? pool->loose : chain;
    uint32_t rounds = chain_rounds(longer) + chain_rounds(shorter);
    chain_move(pool, &longer, &shorter, (uint32_t)size_min(rounds, pool->rounds));
    if (rounds >= pool->rounds) {
        centre_tell((int64_t)pool_batch_bytes(pool));
        mbi_pool_push_batch(pool, longer, &pool->departed);
        counter_subtract(&pool->returned_loose, pool->rounds);
        longer = shorter;
    }
    mbi_pool_set_loose_locked(pool, longer);
    mbi_pool_unlock(pool);
    return true;
}

uint64_t mbi_pool_cut(const struct pool *pool, uint64_t *chain, uint32_t rounds)
{
    assert(rounds != 0 && rounds < chain_rounds(*chain));
    uint64_t rest = *chain;
    *chain -= rounds;
    for (;;) {
        struct slot *slot = chain_first(rest);
        uint64_t word = slot->rest;
        struct slot_place next = slot_space_place_of(&pool->space, chain_first(word));
        if (MBI_UNLIKELY(!slot_space_is_slot(&pool->space, next)
                         || chain_rounds(word) != chain_rounds(rest) - 1U)) {
            mbi_slot_space_corrupted(&pool->space, word);
        }
        if (chain_rounds(word) == rounds) {
            slot->rest = 0;
            return word;
        }
        slot->rest = word - rounds;
        rest = word;
    }
}

MBI_COLD uint64_t mbi_pool_keep_first(struct pool *pool, uint64_t chain, uint32_t rounds)
{
    uint32_t rounds_before = chain_rounds(chain);
    uint64_t others = mbi_pool_cut(pool, &chain, rounds_before - rounds);
    if (!mbi_pool_return_loose(pool, others)) {
        chain_move(pool, &chain, &others, rounds_before);
    }
    return chain;
}

void mbi_pool_fold_counts(struct pool *pool, const struct transfer_counts *counts)
{
    if (!mbi_pool_lock(pool)) {
        assert(false); /* the holder of the registry's lock is not refused */
        return;
    }
    transfer_counts_add(&pool->departed, counts);
    mbi_pool_unlock(pool);
}

void mbi_pool_add_orphans(struct pool *pool, size_t slots)
{
    if (mbi_pool_lock(pool)) { /* refused only if a handler forked under it and did not return */
        counter_add(&pool->orphaned, slots);
        mbi_pool_unlock(pool);
    }
}

/* The smallest run: what is left of it when a slot was taken is shorter than a batch. */
static size_t pool_few_rounds(const struct pool *pool)
{
    return size_min(MAGAZINE_ROUNDS_STEP, pool->rounds);
}

/* A chain of any slots that are not fresh, at most a batch. */
static uint64_t pool_find_free_locked(struct pool *pool)
{
    uint64_t chain = pool->loose;
    if (chain == 0) {
        chain = mbi_pool_pop_batch(pool, &pool->departed);
        centre_tell(chain != 0 ? -(int64_t)pool_batch_bytes(pool) : 0);
    }
    if (chain == 0) {
        chain = mbi_pool_take_old_batch_locked(pool);
    }
    if (chain == 0 && counter_read(&pool->sorted_slots) != 0) {
        struct sorted_slots taken;
        mbi_pool_take_sorted_locked(pool, pool_few_rounds(pool), &taken);
        chain = mbi_pool_link_sorted(&taken);
    }
    return chain;
}

/* In the smallest run. */
static uint64_t pool_find_fresh_locked(struct pool *pool)
{
    struct fresh_run run = mbi_pool_carve_for_use_locked(pool, pool_few_rounds(pool));
    return run.rounds != 0 ? mbi_pool_link_run(pool, run) : 0;
}

/*
 * Takes the lock, and then a chain of slots that are not fresh, if there are any. Before a block is
 * committed parked caches give the centre what they have: without the lock, which theirs precedes.
 */
static bool pool_lock_and_find_free(struct pool *pool, uint64_t *chain)
{
    for (bool asked = false;; asked = true) {
        if (!mbi_pool_lock(pool)) {
            return false;
        }
        *chain = pool_find_free_locked(pool);
        if (*chain != 0 || asked || !pool_needs_block(pool, pool_few_rounds(pool))) {
            return true;
        }
        mbi_pool_unlock(pool);
        (void)mbi_parked_give_block(pool->class);
    }
}

uint64_t mbi_pool_take_up_to(struct pool *pool, size_t rounds)
{
    uint64_t taken = 0;
    uint64_t loose;
    if (!pool_lock_and_find_free(pool, &loose)) {
        return 0;
    }
    if (loose == 0) {
        loose = pool_find_fresh_locked(pool);
    }
    if (chain_rounds(loose) <= rounds) {
        taken = loose;
        loose = 0;
    } else {
        chain_move(pool, &taken, &loose, (uint32_t)rounds);
    }
    mbi_pool_set_loose_locked(pool, loose);
    mbi_pool_unlock(pool);
    return taken;
}
