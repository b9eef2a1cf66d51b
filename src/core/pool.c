/* pool: carving, loose slots, and the way to the centre. */
#include "core/pool.h"

#include "core/config.h"
#include "core/os.h"
#include "core/region.h"

struct pool mbi_pools[SIZE_CLASS_COUNT];

/*
 * Colour: class c starts (1 + c * COLOUR_PAGES) pages into its span. Without it the spans, which
 * are a power of two apart, compete for the same cache and TLB sets. The first page is never
 * used, so that slot number 0 is free to mean "none" and a run-off from the span below faults.
 */
enum { COLOUR_PAGES = 1, SPAN_PER_COLOURS = 8 /* a span gives at most an eighth to its colour */ };

static void pool_lock(struct pool *pool)
{
    mbi_lock_acquire(&pool->lock);
    counter_add(&pool->mutex_acquisitions, 1);
}

static void pool_unlock(struct pool *pool)
{
    mbi_lock_release(&pool->lock);
}

/* Starts carving at the beginning of a span; leaves the pool exhausted when there is none. */
static void pool_enter_span(struct pool *pool, char *span, size_t span_bytes, size_t page_bytes)
{
    if (span == NULL) {
        pool->carve_next = pool->commit_end = pool->carve_end = NULL;
        return;
    }
    size_t colours = span_bytes / page_bytes / SPAN_PER_COLOURS;
    size_t colour = (1 + pool->class * COLOUR_PAGES % colours) * page_bytes;
    size_t slots = (span_bytes - colour) / pool->slot_bytes;
    pool->carve_next = span + colour;
    pool->commit_end = pool->carve_next;
    pool->carve_end = pool->carve_next + slots * pool->slot_bytes;
}

static void pool_enter_wide_span(struct pool *pool)
{
    size_t span_bytes = mbi_region.wide_span_bytes;
    /* Slot numbers end the pool: dense and wide units together must fit 32 bits. */
    size_t units_max = SLOT_NUMBER_MASK - pool->space.dense_units;
    if (span_bytes / SIZE_STEP_BYTES > units_max) {
        span_bytes = units_max * SIZE_STEP_BYTES;
    }
    pool->wide = true;
    pool_enter_span(pool, pool->space.wide, span_bytes, mbi_os_page_bytes());
}

void mbi_pools_init(void)
{
    size_t page_bytes = mbi_os_page_bytes();
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        struct pool *pool = &mbi_pools[class];
        mbi_lock_init(&pool->lock);
        pool->class = class;
        pool->slot_bytes = size_class_slot_bytes(class);
        pool->rounds = mbi_config.magazine_rounds[class];
        pool->space.dense = mbi_region_dense_span(class);
        pool->space.wide = mbi_region_wide_span(class);
        pool->space.dense_units = mbi_region.dense_span_bytes / SIZE_STEP_BYTES;
        if (pool->space.dense != NULL) {
            pool_enter_span(pool, pool->space.dense, mbi_region.dense_span_bytes, page_bytes);
        } else {
            pool_enter_wide_span(pool);
        }
    }
}

struct slot *mbi_pool_pop_batch(struct pool *pool, struct transfer_counts *counts)
{
    uint64_t retries = 0;
    struct slot *first = batch_stack_pop(&pool->central, &pool->space, &retries);
    if (first != NULL) {
        counter_add(&counts->refills, 1);
    }
    if (MBI_UNLIKELY(retries != 0)) {
        counter_add(&counts->cas_retries, retries);
    }
    return first;
}

void mbi_pool_push_batch(struct pool *pool, struct slot *first, struct transfer_counts *counts)
{
    uint64_t retries = 0;
    batch_stack_push(&pool->central, &pool->space, first, &retries);
    counter_add(&counts->flushes, 1);
    if (MBI_UNLIKELY(retries != 0)) {
        counter_add(&counts->cas_retries, retries);
    }
}

/* Commits the next block when fewer than `bytes` are left; false when the kernel refuses. */
static bool pool_commit_locked(struct pool *pool, size_t bytes)
{
    size_t ready = (size_t)(pool->commit_end - pool->carve_next);
    if (ready >= bytes) {
        return true;
    }
    size_t page_bytes = mbi_os_page_bytes();
    char *limit = (char *)round_up((uintptr_t)pool->carve_end, page_bytes);
    size_t block_bytes = round_up(bytes - ready, mbi_config.block_bytes);
    if (block_bytes > (size_t)(limit - pool->commit_end)) {
        block_bytes = (size_t)(limit - pool->commit_end);
    }
    if (!mbi_os_commit(pool->commit_end, block_bytes)) {
        return false;
    }
    pool->commit_end += block_bytes;
    counter_add(&pool->committed_bytes, block_bytes);
    return true;
}

static struct slot_run pool_carve_locked(struct pool *pool, size_t rounds_wanted)
{
    struct slot_run run = { .first = NULL, .rounds = 0, .linked = false };
    if (pool->carve_next == pool->carve_end && !pool->wide) {
        pool_enter_wide_span(pool);
    }
    size_t rounds = (size_t)(pool->carve_end - pool->carve_next) / pool->slot_bytes;
    if (rounds > rounds_wanted) {
        rounds = rounds_wanted;
    }
    if (rounds == 0 || !pool_commit_locked(pool, rounds * pool->slot_bytes)) {
        return run;
    }
    run.first = (struct slot *)(void *)pool->carve_next;
    run.rounds = rounds;
    pool->carve_next += rounds * pool->slot_bytes;
    counter_add(&pool->carved, rounds);
    return run;
}

static struct slot_run pool_obtain_locked(struct pool *pool, size_t rounds_wanted)
{
    if (pool->loose == NULL) {
        return pool_carve_locked(pool, rounds_wanted);
    }
    struct slot_run run = { .first = pool->loose, .linked = true };
    run.rounds = counter_read(&pool->loose_rounds);
    pool->loose = NULL;
    counter_subtract(&pool->loose_rounds, run.rounds);
    return run;
}

struct slot_run mbi_pool_obtain(struct pool *pool, size_t rounds_wanted)
{
    pool_lock(pool);
    struct slot_run run = pool_obtain_locked(pool, rounds_wanted);
    pool_unlock(pool);
    return run;
}

struct slot *mbi_pool_link_run(const struct pool *pool, struct slot_run run)
{
    char *cursor = (char *)run.first;
    struct slot *slot = run.first;
    for (size_t round = 1; round < run.rounds; round++) {
        cursor += pool->slot_bytes;
        slot->next = (struct slot *)(void *)cursor;
        slot = slot->next;
    }
    slot->next = NULL;
    return run.first;
}

/*
 * Adds a chain to the loose list and, when that makes up a batch, cuts one off the front: the
 * chain's own slots come first. Both are shorter than a batch, so one cut is enough, and the walk is
 * bounded by a batch. Returns the batch or NULL.
 */
static struct slot *pool_add_loose_locked(struct pool *pool, struct slot *first, size_t rounds)
{
    size_t missing = pool->rounds - rounds;
    struct slot *last = first;
    while (last->next != NULL) {
        last = last->next;
    }
    last->next = pool->loose;

    uint64_t loose_rounds = counter_read(&pool->loose_rounds);
    if (loose_rounds < missing) {
        pool->loose = first;
        counter_add(&pool->loose_rounds, rounds);
        return NULL;
    }
    for (size_t round = 0; round < missing; round++) {
        last = last->next;
    }
    pool->loose = last->next;
    last->next = NULL;
    counter_subtract(&pool->loose_rounds, missing);
    return first;
}

void mbi_pool_return_loose(struct pool *pool, struct slot *first, size_t rounds)
{
    pool_lock(pool);
    struct slot *batch = pool_add_loose_locked(pool, first, rounds);
    if (batch != NULL) {
        mbi_pool_push_batch(pool, batch, &pool->departed);
    }
    pool_unlock(pool);
}

void mbi_pool_fold_counts(struct pool *pool, const struct transfer_counts *counts)
{
    struct transfer_counts *departed = &pool->departed;
    pool_lock(pool);
    counter_add(&departed->refills, counter_read(&counts->refills));
    counter_add(&departed->flushes, counter_read(&counts->flushes));
    counter_add(&departed->cas_retries, counter_read(&counts->cas_retries));
    pool_unlock(pool);
}

void mbi_pool_add_orphans(struct pool *pool, size_t slots)
{
    pool_lock(pool);
    counter_add(&pool->orphaned, slots);
    pool_unlock(pool);
}

struct slot *mbi_pool_alloc_direct(struct pool *pool)
{
    pool_lock(pool);
    struct slot *first = pool->loose;
    if (first == NULL) {
        struct slot_run run = { .linked = true };
        run.first = mbi_pool_pop_batch(pool, &pool->departed);
        run.rounds = pool->rounds;
        if (run.first == NULL) {
            run = pool_carve_locked(pool, MAGAZINE_ROUNDS_STEP);
        }
        first = run.first;
        if (first != NULL) {
            if (!run.linked) {
                mbi_pool_link_run(pool, run);
            }
            counter_add(&pool->loose_rounds, run.rounds);
        }
    }
    if (first != NULL) {
        pool->loose = first->next;
        counter_subtract(&pool->loose_rounds, 1);
    }
    pool_unlock(pool);
    return first;
}

void mbi_pool_free_direct(struct pool *pool, struct slot *slot)
{
    slot->next = NULL;
    mbi_pool_return_loose(pool, slot, 1);
}

size_t mbi_pool_resident_bytes(struct pool *pool)
{
    mbi_lock_acquire(&pool->lock);
    bool wide = pool->wide;
    char *end = pool->commit_end;
    mbi_lock_release(&pool->lock);

    char *dense = pool->space.dense;
    if (!wide) {
        return dense != NULL ? mbi_os_resident_bytes(dense, (size_t)(end - dense)) : 0;
    }
    /* The dense span is used up: all of it but its colour is committed. */
    size_t resident = 0;
    if (dense != NULL) {
        resident += mbi_os_resident_bytes(dense, mbi_region.dense_span_bytes);
    }
    if (pool->space.wide != NULL) {
        resident += mbi_os_resident_bytes(pool->space.wide, (size_t)(end - pool->space.wide));
    }
    return resident;
}

/*
 * Follows a chain that should have `rounds` slots; false, after a message, when it doesn't or
 * leaves the pool's spans. `where` names the chain in the message.
 */
static bool chain_check(const struct pool *pool, const struct slot *slot, uint64_t rounds,
                        const char *where)
{
    uint64_t found = 0;
    for (; slot != NULL && found <= rounds; slot = slot->next) {
        if (region_class_of(slot) != pool->class) {
            mbi_message("check: pool %zu: slot %p %s is not in its spans", pool->class,
                        (const void *)slot, where);
            return false;
        }
        found++;
    }
    if (found != rounds) {
        mbi_message("check: pool %zu: a chain %s has %s than %llu rounds", pool->class, where,
                    found < rounds ? "fewer" : "more", (unsigned long long)rounds);
    }
    return found == rounds;
}

size_t mbi_pool_check(struct pool *pool)
{
    /* relaxed [CHECK]: the caller vouches that no other thread is at work. */
    uint64_t head = atomic_load_explicit(&pool->central.head, memory_order_relaxed);
    uint64_t number = head & SLOT_NUMBER_MASK;
    size_t slots = 0;

    while (number != 0) {
        uint64_t packed = batch_read_packed(slot_space_slot(&pool->space, number));
        const struct slot *second = slot_space_slot(&pool->space, packed & SLOT_NUMBER_MASK);
        if (!chain_check(pool, second, pool->rounds - 1, "in the centre")) {
            return SIZE_MAX;
        }
        slots += pool->rounds;
        if (slots > counter_read(&pool->carved)) {
            mbi_message("check: pool %zu: the centre holds more than was carved", pool->class);
            return SIZE_MAX;
        }
        number = packed >> SLOT_NUMBER_BITS;
    }
    if (!chain_check(pool, pool->loose, counter_read(&pool->loose_rounds), "on the loose list")) {
        return SIZE_MAX;
    }
    return slots;
}
