/* pool_sort: aging, sorting, taking sorted slots, and the marks of released pages. */
#include "core/pool_sort.h"

#include "core/centre.h"
#include "core/config.h"
#include "core/limit.h"
#include "core/probes.h"

_Static_assert((int)SORTED_SLOTS_MAX >= (int)MAGAZINE_ROUNDS_STEP,
               "sorted slots that are taken can fill whole lines");

/* Of the ordered slots up to `slots` count as sorted only, or were taken. */
static void pool_unorder_locked(struct pool *pool, uint64_t slots)
{
    uint64_t before = counter_read(&pool->ordered);
    uint64_t less = size_min(before, slots);
    if (less != 0) {
        counter_subtract(&pool->ordered, less);
        pool->ordered_min = size_min(pool->ordered_min, before - less);
        centre_tell_ordered(-(int64_t)(less * pool->slot_bytes));
    }
}

static void pool_take_sorted_of_locked(struct pool *pool, struct span *span, size_t rounds_wanted,
                                       struct sorted_slots *taken)
{
    struct free_map *map = &span->map;
    size_t rounds = size_min(rounds_wanted, SORTED_SLOTS_MAX);
    /* All pages that the slots overlap may have been released. */
    size_t slot_pages_max = (pool->slot_bytes - 1) / map->page_bytes + 2;
    size_t pages_max = size_min(slot_pages_max * rounds, map->pages_released);
    size_t charged = mbi_limit_charge(pages_max, map->page_bytes);
    size_t pages = charged;
    taken->from = map;
    taken->count = mbi_free_map_take(map, rounds, taken->numbers, &pages);
    if (MBI_UNLIKELY(map->unseal_refused)) {
        map->unseal_refused = false;
        mbi_pool_commit_refused = true;
    }
    taken->pages = pages;
    bounded_give_back(&mbi_committed, (charged - pages) * map->page_bytes);
    counter_add(&pool->committed_bytes, pages * map->page_bytes);
    counter_subtract(&pool->released_bytes, pages * map->page_bytes);
    counter_subtract(&pool->sorted_slots, taken->count);
    pool_unorder_locked(pool, taken->count);
    if (taken->count != 0) {
        char *end = (char *)free_map_slot(map, taken->numbers[taken->count - 1] + 1);
        if (end > span->touched_end) {
            span->touched_end = end;
        }
    }
}

void mbi_pool_take_sorted_locked(struct pool *pool, size_t rounds_wanted,
                                 struct sorted_slots *taken)
{
    taken->count = 0;
    taken->pages = 0;
    for (size_t i = 0; i < SPAN_COUNT && taken->count == 0; i++) {
        if (pool->spans[i].map.slots != 0) {
            pool_take_sorted_of_locked(pool, &pool->spans[i], rounds_wanted, taken);
        }
    }
}

/* Whether they are several, side by side. */
static bool sorted_are_a_run(const struct sorted_slots *taken)
{
    size_t i = 1;
    while (i < taken->count && taken->numbers[i] == taken->numbers[i - 1] + 1) {
        i++;
    }
    return i > 1 && i == taken->count;
}

uint64_t mbi_pool_link_sorted(const struct sorted_slots *taken)
{
    uint64_t chain = 0;
    const uint32_t *numbers = taken->numbers;
    if (taken->pages > 1 && sorted_are_a_run(taken)) {
        mbi_pool_populate(free_map_slot(taken->from, numbers[0]), taken->from->slot_bytes,
                          taken->count);
    }
    for (size_t i = taken->count; i-- > 0;) {
        chain = chain_push(chain, free_map_slot(taken->from, numbers[i]));
    }
    return chain;
}

uint64_t mbi_pool_take_old_batch_locked(struct pool *pool)
{
    for (size_t i = 0; i < CENTRAL_STACKS; i++) {
        uint32_t *list = pool->aged[i] != 0 ? &pool->aged[i] : &pool->surplus[i];
        if (*list != 0) {
            counter_add(&pool->departed.refills, 1);
            centre_tell(-(int64_t)pool_batch_bytes(pool));
            return batch_list_pop(list, &pool->space, pool->rounds);
        }
    }
    return 0;
}

bool mbi_pool_has_old_batch_locked(const struct pool *pool)
{
    bool any = false;
    for (size_t i = 0; i < CENTRAL_STACKS; i++) {
        any |= pool->aged[i] != 0 || pool->surplus[i] != 0;
    }
    return any;
}

/* What was ordered all through the window counts as sorted only. True if any slot was ordered. */
static bool pool_age_ordered_locked(struct pool *pool)
{
    bool any = counter_read(&pool->ordered) != 0;
    pool_unorder_locked(pool, pool->ordered_min);
    pool->ordered_min = counter_read(&pool->ordered);
    return any;
}

bool mbi_pool_age(struct pool *pool, bool central)
{
    if (counter_read(&pool->carved) == 0) {
        return false;
    }
    bool surplus = false;
    if (!mbi_pool_lock(pool)) {
        return true; /* not known */
    }
    uint16_t slots = (uint16_t)pool_reserved_slots(pool);
    flag_set(&pool->is_still, slots == pool->slots_seen);
    pool->slots_seen = slots;
    bool takes = central && flag_is_set(&pool->pushed); /* else the stacks are never read */
    for (size_t i = 0; i < CENTRAL_STACKS; i++) {
        surplus |= pool->surplus[i] != 0;
    }
    for (size_t i = 0; i < CENTRAL_STACKS; i++) {
        if (!surplus) {
            pool->surplus[i] = pool->aged[i];
            pool->aged[i] = takes ? (uint32_t)batch_stack_detach(pool_stack(pool, i)) : 0;
        }
    }
    bool any = pool_age_ordered_locked(pool) || mbi_pool_has_old_batch_locked(pool)
               || pool->loose != 0;
    mbi_pool_unlock(pool);
    return any;
}

static bool pool_cover_locked(struct pool *pool)
{
    bool covered = true;
    for (size_t i = 0; i < SPAN_COUNT && covered; i++) {
        covered = mbi_free_map_cover(&pool->spans[i].map, span_carved_slots(&pool->spans[i]));
    }
    return covered;
}

/* Fresh slots, which are covered; returns how many. */
static size_t pool_sort_run_locked(struct pool *pool, struct fresh_run run)
{
    if (run.rounds == 0) {
        return 0;
    }
    struct slot *first = (struct slot *)(void *)run.first;
    struct free_map *map = &pool_span_of(pool, slot_space_number(&pool->space, first))->map;
    size_t index = free_map_index(map, first);
    for (size_t i = 0; i < run.rounds; i++) {
        mbi_free_map_add(map, index + i);
    }
    counter_add(&pool->sorted_slots, run.rounds);
    return run.rounds;
}

size_t mbi_pool_sort_lanes(struct pool *pool, size_t slots_max)
{
    size_t sorted = 0;
    size_t more = mbi_pool_has_idle(pool);
    while (more != 0 && sorted < slots_max && mbi_pool_lock(pool)) {
        size_t part = size_min(slots_max - sorted, SORTED_SLOTS_MAX);
        more = pool_cover_locked(pool)
                   ? pool_sort_run_locked(pool, mbi_pool_carve_idle_locked(pool, part))
                   : 0;
        sorted += more;
        mbi_pool_unlock(pool);
    }
    return sorted;
}

static size_t pool_take_surplus_locked(struct pool *pool, size_t count, uint64_t chains[])
{
    size_t taken = 0;
    size_t loose = pool->loose != 0;
    if (loose != 0) {
        chains[taken++] = pool->loose;
        mbi_pool_set_loose_locked(pool, 0);
    }
    for (size_t i = 0; i < CENTRAL_STACKS; i++) {
        while (taken < count && pool->surplus[i] != 0) {
            chains[taken++] = batch_list_pop(&pool->surplus[i], &pool->space, pool->rounds);
            counter_add(&pool->departed.refills, 1);
        }
    }
    centre_tell(-(int64_t)((taken - loose) * pool_batch_bytes(pool)));
    return taken;
}

size_t mbi_pool_take_surplus(struct pool *pool, size_t count, uint64_t chains[])
{
    size_t taken = 0;
    if (mbi_pool_lock(pool)) {
        taken = pool_cover_locked(pool) ? pool_take_surplus_locked(pool, count, chains) : 0;
        mbi_pool_unlock(pool);
    }
    return taken;
}

size_t mbi_pool_take_recent(struct pool *pool, size_t count, uint64_t chains[])
{
    size_t taken = 0;
    uint64_t retries = 0;
    uint64_t chain = 0;
    if (!flag_is_set(&pool->pushed) || !mbi_pool_lock(pool)) {
        return 0;
    }
    bool covered = pool_cover_locked(pool);
    while (covered && taken < count
           && (chain = batch_stack_pop(pool_stack(pool, 0), &pool->space, pool->rounds, &retries))
                  != 0) {
        chains[taken++] = chain;
    }
    counter_add(&pool->departed.refills, taken);
    counter_add(&pool->departed.cas_retries, retries);
    centre_tell(-(int64_t)(taken * pool_batch_bytes(pool)));
    mbi_pool_unlock(pool);
    return taken;
}

void mbi_pool_return_recent(struct pool *pool, size_t count, const uint64_t chains[])
{
    (void)mbi_pool_lock(pool);
    centre_tell((int64_t)(count * pool_batch_bytes(pool)));
    while (count != 0) {
        mbi_pool_push_batch(pool, chains[--count], &pool->departed);
    }
    mbi_pool_unlock(pool);
}

void mbi_pool_sort(struct pool *pool, const uint32_t *numbers, size_t count, bool ordered)
{
    (void)mbi_pool_lock(pool);
    for (size_t i = 0; i < count; i++) {
        struct free_map *map = &pool_span_of(pool, numbers[i])->map;
        mbi_free_map_add(map, free_map_index(map, slot_space_slot(&pool->space, numbers[i])));
    }
    counter_add(&pool->sorted_slots, count);
    if (ordered) {
        counter_add(&pool->ordered, count);
        centre_tell_ordered((int64_t)(count * pool->slot_bytes));
    }
    mbi_pool_unlock(pool);
}

size_t mbi_pool_sorted_bytes(const struct pool *pool)
{
    return size_above(pool_settled_slots(pool) * pool->slot_bytes,
                      counter_read(&pool->released_bytes));
}

/*
 * Carves and sorts the rest of the last page, when all its other slots are sorted: only then can it
 * go, as a thread could carve the rest during the system call. Carves some more, so that fresh runs
 * go on beginning on a cache line.
 */
static void complete_last_page_locked(struct pool *pool)
{
    struct span *span = pool_carved_span(pool);
    struct free_map *map = &span->map;
    size_t carved = map->slots != 0 ? span_carved_slots(span) : 0;
    size_t touched = (size_t)(span->touched_end - map->first);
    size_t missing = carved != 0 ? mbi_free_map_page_rest(map, carved, touched) : 0;
    if (missing == 0) {
        return;
    }
    size_t end = round_up(carved + missing, size_class_line_rounds(pool->class));
    if (end > map->slots_max || !mbi_free_map_cover(map, end)) {
        return;
    }
    (void)pool_sort_run_locked(pool, mbi_pool_carve_locked(pool, end - carved));
}

struct page_run mbi_pool_begin_release(struct pool *pool, struct span *span, size_t *tiles_max,
                                       size_t pages_max, bool any_huge)
{
    struct page_run run = { .begin = 0, .end = 0 };
    if (mbi_pool_lock(pool)) {
        complete_last_page_locked(pool);
        if (counter_read(&pool->ordered) != 0) { /* these are free, too, and stay for a window */
            size_t pages = mbi_pool_sorted_bytes(pool) / span->map.page_bytes;
            pages_max = size_min(pages_max, pages);
        }
        run = mbi_free_map_begin_release(&span->map, tiles_max, pages_max, any_huge);
        mbi_pool_unlock(pool);
    }
    return run;
}

void mbi_pool_end_release(struct pool *pool, struct span *span, struct page_run run,
                          const uint64_t gone[], size_t pages_gone)
{
    size_t bytes = pages_gone * span->map.page_bytes;
    (void)mbi_pool_lock(pool);
    mbi_free_map_end_release(&span->map, run);
    span->map.refused |= pages_gone != run.end - run.begin;
    if (run.is_huge && pages_gone == 0) {
        mbi_free_map_try_again(&span->map, run);
    }
    for (size_t i = 0; i < run.end - run.begin; i++) {
        if ((gone[i / 64] >> i % 64 & 1U) != 0) {
            mbi_free_map_note_released(&span->map, run.begin + i);
        }
    }
    counter_subtract(&pool->committed_bytes, bytes);
    counter_add(&pool->released_bytes, bytes);
    mbi_pool_unlock(pool);
    bounded_give_back(&mbi_committed, bytes);
    probe_release(pool->slot_bytes, bytes);
}

MBI_SELDOM void mbi_pool_retry_refused(struct pool *pool)
{
    if (mbi_pool_lock(pool)) {
        for (size_t i = 0; i < SPAN_COUNT; i++) {
            mbi_free_map_retry_refused(&pool->spans[i].map);
        }
        mbi_pool_unlock(pool);
    }
}
