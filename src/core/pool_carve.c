/* pool_carve: where slots lie in their spans, and fresh ones. */
#include "core/centre.h"
#include "core/config.h"
#include "core/huge.h"
#include "core/limit.h"
#include "core/os.h"
#include "core/pool.h"
#include "core/probes.h"
#include "core/region.h"

/*
 * Colour: class c starts (1 + c * COLOUR_PAGES) pages into its span (docs/architecture.md, decision
 * 3). The first page is never used, so that slot number 0 can mean "none". Without huge pages it is
 * never mapped either, and a run-off from the span below faults.
 */
enum { COLOUR_PAGES = 1, SPAN_PER_COLOURS = 8 /* a span gives at most an eighth to its colour */ };

/* Sets where the slots of a span lie, in its first `span_bytes`; 0 where there is no such span. */
static void span_lay_out(struct pool *pool, enum span_name name, size_t span_bytes)
{
    struct span *span = &pool->spans[name];
    char *start = mbi_region_span(pool->class, name);
    size_t page_bytes = mbi_os_page_bytes();
    size_t colour = 0;
    size_t slots = 0;
    if (span_bytes != 0) {
        size_t colours = size_max(span_bytes / page_bytes / SPAN_PER_COLOURS, 1);
        colour = (1 + (size_t)pool->class * COLOUR_PAGES % colours) * page_bytes;
        slots = (span_bytes - colour) / pool->slot_bytes;
    }
    mbi_free_map_init(&span->map, start + colour, pool->slot_bytes, slots, page_bytes);
    size_t map_bytes;
    char *map = mbi_region_map(pool->class, name, &map_bytes);
    mbi_free_map_place(&span->map, map, map_bytes, huge_pages_of_map());

    size_t bytes = round_up(colour + slots * pool->slot_bytes, page_bytes);
    size_t unused = huge_unmapped_bytes(colour);
    extent_init(&span->extent, start + unused, bytes - unused, huge_pages_of_span());
    span->carve_next = span->map.first;
    span->touched_end = span->map.first;
    span->commit_end = span->extent.first;
    pool->space.start[name] = start;
    pool->space.phase[name] = (uint16_t)(colour % pool->slot_bytes / SLOT_UNIT_BYTES);
}

static void pool_set_units(struct pool *pool, enum span_name span, size_t units)
{
    if (span < SPAN_COUNT - 1) {
        atomic_store_explicit(&pool->space.units[span], (uint32_t)units,
                              memory_order_relaxed); /* [SPAN-UNITS] */
    }
}

static void pool_lay_out_locked(struct pool *pool, size_t class)
{
    size_t units_left = SLOT_NUMBER_MASK; /* slot numbers end the pool */
    pool->class = (uint8_t)class;
    pool->slot_bytes = (uint32_t)size_class_slot_bytes(class);
    pool->rounds = (uint16_t)mbi_config.magazine_rounds[class];
    pool->central = &mbi_pool_stacks[pool_index(pool)];
    for (enum span_name name = 0; name < SPAN_COUNT; name++) {
        size_t units = size_min(mbi_region.span_bytes[name] / SLOT_UNIT_BYTES, units_left);
        units_left -= units;
        pool_set_units(pool, name, units);
        span_lay_out(pool, name, units * SLOT_UNIT_BYTES);
    }
    pool->space.slot_reciprocal = slot_reciprocal(pool->slot_bytes / SLOT_UNIT_BYTES);
    pool->carving = 0;
}

/* Without mbi_pool_lock, which writes its count to the pool and names it to probes. */
bool mbi_pool_lay_out(size_t class)
{
    struct pool *pool = pool_at(class);
    if (!mbi_lock_acquire(pool_lock_name(pool))) {
        return false;
    }
    if (!pool_is_laid_out(class)) { /* else another thread has just done so */
        pool_lay_out_locked(pool, class);
        /* release [LAID-STORE]: pairs with [LAID-LOAD]. Other pools' bits are in the word. */
        atomic_fetch_or_explicit(&mbi_pools_hints.laid_out[class / POOL_BITS],
                                 (uint64_t)1 << class % POOL_BITS, memory_order_release);
    }
    mbi_lock_release(pool_lock_name(pool));
    return true;
}

/*
 * Ends the carved span with the last whole slot before foreign memory, where none of ours can be
 * mapped. True if it did not end there already: then carving goes on in the next span.
 */
static bool pool_end_span_early_locked(struct pool *pool)
{
    struct span *span = pool_carved_span(pool);
    struct free_map *map = &span->map;
    if (span->extent.end >= free_map_end(map)) {
        return false;
    }
    /* With huge pages the colour is mapped, and may be all there is. */
    map->slots_max =
        size_above((uintptr_t)span->extent.end, (uintptr_t)map->first) / pool->slot_bytes;
    size_t used_bytes = (size_t)(free_map_end(map) - pool->space.start[pool->carving]);
    pool_set_units(pool, pool->carving, used_bytes / SLOT_UNIT_BYTES);
    return true;
}

/*
 * Lets the free map grow with the span, once all pools together have a MiB: when the kernel refuses
 * memory it would refuse the map's, too, and nothing could go back. Trim tries again what fails
 * here.
 */
static void span_cover(struct span *span)
{
    enum { SMALL_PROCESS_BYTES = 1 << 20 };
    struct free_map *map = &span->map;
    if (span->commit_end > map->first && bounded_taken(&mbi_committed) >= SMALL_PROCESS_BYTES) {
        size_t slots = (size_t)(span->commit_end - map->first) / map->slot_bytes;
        (void)mbi_free_map_cover(map, size_min(slots, map->slots_max));
    }
}

/* What is committed from here on is in huge pages that came whole; or, with NULL, is not. */
static void pool_set_whole_from(struct pool *pool, const char *start)
{
    uint64_t number = start != NULL ? slot_space_number(&pool->space, (const void *)start) : 0;
    atomic_store_explicit(&pool->whole_from, (uint32_t)number,
                          memory_order_relaxed); /* [FRESH-WHOLE] */
}

static uint32_t pool_whole_from(const struct pool *pool)
{
    return atomic_load_explicit(&pool->whole_from, memory_order_relaxed); /* [FRESH-WHOLE] */
}

/* With `ahead` more may be mapped than is committed (mbi_extent_grow). */
static bool pool_commit_bytes_locked(struct pool *pool, size_t bytes, bool ahead)
{
    struct span *span = pool_carved_span(pool);
    if (mbi_limit_charge(1, bytes) == 0) {
        return false;
    }
    if (!mbi_extent_grow(&span->extent, span->commit_end + bytes, ahead)) {
        mbi_pool_commit_refused = true;
        bounded_give_back(&mbi_committed, bytes);
        return false;
    }
    span->commit_end += bytes;
    counter_add(&pool->committed_bytes, bytes);
    centre_tell_growth(bytes);
    span_cover(span);
    probe_commit(pool->slot_bytes, bytes);
    return true;
}

/* The most to commit at a time: every size in use keeps the rest of its last block from others. */
static size_t pool_block_bytes_max(void)
{
    enum { BLOCKS_IN_LIMIT = 4 * SMALL_CLASS_COUNT };
    return bounded_most(&mbi_committed) / BLOCKS_IN_LIMIT;
}

/* The bytes to commit at a time. Smaller under a limit. */
static size_t pool_block_bytes(void)
{
    size_t bytes = mbi_config.block_bytes;
    while (bytes > pool_block_bytes_max()) {
        bytes /= 2;
    }
    return size_max(bytes, huge_block_bytes_min());
}

/*
 * Commits on to the end of the huge page that `wanted_end` is in, and takes those that nothing of
 * was committed before. One that could not be noted would never be split, and comes as small pages:
 * there was no memory for the free map. False, and nothing done, where the span or what may be
 * committed ends before.
 */
static MBI_SELDOM bool pool_commit_huge_locked(struct pool *pool, const char *wanted_end,
                                               size_t bytes_max)
{
    struct span *span = pool_carved_span(pool);
    uintptr_t begin = (uintptr_t)span->commit_end;
    uintptr_t end = round_up((uintptr_t)wanted_end, HUGE_PAGE_BYTES);
    uintptr_t first_whole = round_up(begin, HUGE_PAGE_BYTES);
    if (end - begin > bytes_max || !pool_commit_bytes_locked(pool, end - begin, true)) {
        return false;
    }
    size_t whole_bytes = 0;
    if (first_whole < end
        && mbi_free_map_can_note_huge(&span->map, (char *)end - HUGE_PAGE_BYTES)) {
        whole_bytes = mbi_huge_take((char *)first_whole, end - first_whole);
    }
    for (size_t done = 0; done < whole_bytes; done += HUGE_PAGE_BYTES) {
        mbi_free_map_note_huge(&span->map, (char *)first_whole + done);
    }
    if (whole_bytes == 0 || whole_bytes != end - first_whole) {
        pool_set_whole_from(pool, NULL);
    } else if (pool_whole_from(pool) == 0 || begin != first_whole) {
        pool_set_whole_from(pool, (char *)first_whole);
    }
    return true;
}

/*
 * Commits the next block when fewer than `bytes` are left, or only the pages for `bytes` when the
 * limit or the kernel allows no more; false when not even these.
 */
static bool pool_commit_locked(struct pool *pool, size_t bytes)
{
    const struct span *span = pool_carved_span(pool);
    const char *wanted_end = span->carve_next + bytes;
    if (wanted_end <= span->commit_end) {
        return true;
    }
    size_t page_bytes = mbi_os_page_bytes();
    size_t needed_bytes = round_up((size_t)(wanted_end - span->commit_end), page_bytes);
    size_t left_bytes = round_up((size_t)(free_map_end(&span->map) - span->commit_end), page_bytes);
    size_t block_bytes = size_min(round_up(needed_bytes, pool_block_bytes()), left_bytes);
    if (huge_is_next(pool->slot_bytes, pool_committed_ever(pool), pool_block_bytes_max())
        && pool_commit_huge_locked(pool, wanted_end, left_bytes)) {
        return true;
    }
    pool_set_whole_from(pool, NULL);
    return pool_commit_bytes_locked(pool, block_bytes, true)
           || pool_commit_bytes_locked(pool, needed_bytes, false);
}

static struct fresh_run pool_count_carved_locked(struct pool *pool, struct fresh_run run)
{
    if (run.rounds != 0) {
        counter_add(&pool->carved, run.rounds);
        probe_carve(pool->slot_bytes, run.rounds);
    }
    return run;
}

/* Up to so many of the slots behind those that were carved or reserved last. */
static struct fresh_run pool_reserve_locked(struct pool *pool, size_t rounds_wanted)
{
    struct fresh_run run = { .first = NULL, .rounds = 0 };
    struct span *span = pool_carved_span(pool);
    while (span->carve_next == free_map_end(&span->map) && pool->carving < SPAN_COUNT - 1) {
        span = &pool->spans[++pool->carving];
    }
    size_t left = (size_t)(free_map_end(&span->map) - span->carve_next) / pool->slot_bytes;
    size_t rounds = size_min(left, rounds_wanted);
    if (!pool_commit_locked(pool, rounds * pool->slot_bytes)) {
        size_t bytes = size_above((uintptr_t)span->commit_end, (uintptr_t)span->carve_next);
        rounds = bytes / pool->slot_bytes;
    }
    if (rounds == 0) {
        return run;
    }
    run.first = span->carve_next;
    run.rounds = rounds;
    span->carve_next += rounds * pool->slot_bytes;
    uint64_t first = slot_space_number(&pool->space, (struct slot *)(void *)run.first);
    uint64_t end = first + rounds * pool->slot_bytes / SLOT_UNIT_BYTES;
    /* release [CARVED-STORE]: pairs with [CARVED-LOAD]. */
    atomic_store_explicit(&pool->space.carved_end, (uint32_t)end, memory_order_release);
    return run;
}

struct fresh_run mbi_pool_carve_locked(struct pool *pool, size_t rounds_wanted)
{
    return pool_count_carved_locked(pool, pool_reserve_locked(pool, rounds_wanted));
}

/* Goes on in the next span where foreign memory ends one. */
static struct fresh_run pool_reserve_for_use_locked(struct pool *pool, size_t rounds_wanted)
{
    struct fresh_run run = pool_reserve_locked(pool, rounds_wanted);
    while (run.rounds == 0 && pool_end_span_early_locked(pool)) { /* once for each span */
        run = pool_reserve_locked(pool, rounds_wanted);
    }
    pool_carved_span(pool)->touched_end = pool_carved_span(pool)->carve_next;
    return run;
}

static struct fresh_run pool_take_from_lane_locked(struct pool *pool, struct fresh_run *lane,
                                                   size_t rounds_wanted)
{
    struct fresh_run run = { lane->first, size_min(lane->rounds, rounds_wanted) };
    if (run.rounds != 0) { /* else nothing is written, and the lane may never have had memory */
        lane->first += run.rounds * pool->slot_bytes;
        lane->rounds -= run.rounds;
        counter_subtract(&pool->in_lanes, run.rounds);
    }
    return run;
}

/*
 * What a lane gets: whole batches that fill a block. For shorter runs an eighth of what the pool
 * has, or just the run where that is only a few slots: a lane takes a page for each processor, and
 * in small pools that is more than it spares. Nothing that is not committed yet, if the run is: so
 * no block is committed that parked caches could spare (pool_needs_block).
 */
static size_t pool_lane_rounds(struct pool *pool, size_t rounds_wanted)
{
    enum { SHARE = 8, SHARE_ROUNDS_MIN = 128 };
    const struct span *span = pool_carved_span(pool);
    bool batches = rounds_wanted >= pool->rounds;
    size_t unit = batches ? pool->rounds : size_class_line_rounds(pool->class);
    size_t rounds = pool_block_bytes() / pool->slot_bytes;
    if (!batches) {
        size_t share = counter_read(&pool->carved) / SHARE;
        rounds = share >= SHARE_ROUNDS_MIN ? size_min(rounds, share) : 0;
    }
    size_t bytes = size_above((uintptr_t)span->commit_end, (uintptr_t)span->carve_next);
    size_t committed = bytes / pool->slot_bytes;
    if (committed >= rounds_wanted) {
        rounds = size_min(rounds, committed);
    }
    return size_max(rounds / unit * unit, rounds_wanted);
}

/* Of the lane of the calling thread's processor, which gets fresh slots when it is empty. */
static struct fresh_run pool_take_from_own_lane_locked(struct pool *pool, size_t rounds_wanted)
{
    struct fresh_run *lane = &pool_lanes(pool)[central_here()];
    if (lane->rounds == 0) {
        *lane = pool_reserve_for_use_locked(pool, pool_lane_rounds(pool, rounds_wanted));
        counter_add(&pool->in_lanes, lane->rounds);
    }
    return pool_take_from_lane_locked(pool, lane, rounds_wanted);
}

static struct fresh_run pool_take_from_any_lane_locked(struct pool *pool, size_t rounds_wanted)
{
    struct fresh_run run = { .first = NULL, .rounds = 0 };
    for (size_t i = 0; i < CENTRAL_STACKS && run.rounds == 0; i++) {
        run = pool_take_from_lane_locked(pool, &pool_lanes(pool)[i], rounds_wanted);
    }
    return run;
}

/* Where a lane gets no more, other lanes may hold slots, or less than it asks for is left. */
static struct fresh_run pool_take_from_lanes_locked(struct pool *pool, size_t rounds_wanted)
{
    struct fresh_run run = pool_take_from_own_lane_locked(pool, rounds_wanted);
    if (MBI_UNLIKELY(run.rounds == 0)) {
        run = pool_take_from_any_lane_locked(pool, rounds_wanted);
    }
    return MBI_LIKELY(run.rounds != 0) ? run : pool_reserve_for_use_locked(pool, rounds_wanted);
}

/* Whether pages of a huge one are left, about: by the counters, which need no lock. */
static MBI_SELDOM bool pool_has_rest(const struct pool *pool)
{
    uint64_t committed = pool_committed_ever(pool);
    uint64_t reserved = pool_reserved_slots(pool) * pool->slot_bytes;
    return size_above(committed, reserved) >= HUGE_SMALL_PAGE_BYTES
           && huge_is_next(pool->slot_bytes, committed, HUGE_PAGE_BYTES);
}

/*
 * The rest of the last huge page, up to where the next fresh run begins on a cache line; none where
 * there is no memory for the free map to cover it. While the pool grows it stays: threads would get
 * it again as small pages.
 */
static MBI_SELDOM struct fresh_run pool_take_rest_locked(struct pool *pool, size_t rounds_max)
{
    struct fresh_run run = { .first = NULL, .rounds = 0 };
    struct span *span = pool_carved_span(pool);
    size_t bytes = size_above((uintptr_t)span->commit_end, (uintptr_t)span->carve_next);
    size_t rounds = size_min(bytes / pool->slot_bytes, rounds_max);
    rounds = round_down(rounds, size_class_line_rounds(pool->class));
    bool any = flag_is_set(&pool->is_still) && pool_has_rest(pool) && rounds != 0
               && mbi_free_map_cover(&span->map, span_carved_slots(span) + rounds);
    return any ? pool_reserve_locked(pool, rounds) : run;
}

struct fresh_run mbi_pool_carve_idle_locked(struct pool *pool, size_t rounds_max)
{
    struct fresh_run run = pool_take_from_any_lane_locked(pool, rounds_max);
    if (run.rounds == 0) {
        run = pool_take_rest_locked(pool, rounds_max);
    }
    return pool_count_carved_locked(pool, run);
}

bool mbi_pool_has_idle(const struct pool *pool)
{
    return counter_read(&pool->in_lanes) != 0
           || (flag_is_set(&pool->is_still) && pool_committed_ever(pool) >= HUGE_POOL_BYTES
               && pool_has_rest(pool));
}

struct fresh_run mbi_pool_carve_for_use_locked(struct pool *pool, size_t rounds_wanted)
{
    struct fresh_run run = central_mask() != 0 ? pool_take_from_lanes_locked(pool, rounds_wanted)
                                               : pool_reserve_for_use_locked(pool, rounds_wanted);
    return pool_count_carved_locked(pool, run);
}

void mbi_pool_populate(const void *first, size_t slot_bytes, size_t rounds)
{
    enum { PAGES_MIN = 4 }; /* fewer are not worth the call */
    size_t page_bytes = mbi_os_page_bytes();
    uintptr_t start = round_up((uintptr_t)first, page_bytes);
    uintptr_t end = round_up((uintptr_t)first + rounds * slot_bytes, page_bytes);
    if (slot_bytes <= page_bytes && size_above(end, start) >= PAGES_MIN * page_bytes) {
        mbi_os_populate((void *)start, end - start);
    }
}

void mbi_pool_touch_run(const struct pool *pool, struct fresh_run run)
{
    enum { PAGE_BYTES_MIN = 4096 }; /* where pages are larger, some are written to twice */
    size_t index = 0;
    uint32_t whole_from = pool_whole_from(pool);
    struct slot *first = (struct slot *)(void *)run.first;
    if (whole_from == 0 || slot_space_number(&pool->space, first) < whole_from) {
        mbi_pool_populate(run.first, pool->slot_bytes, run.rounds);
    }
    while (index < run.rounds) {
        char *slot = run.first + index * pool->slot_bytes;
        /* relaxed [FRESH]: no other thread has the slot. An exchange is a write that reads. */
        uint64_t word = atomic_exchange_explicit((_Atomic uint64_t *)(void *)slot, 0,
                                                 memory_order_relaxed);
        pool_expect_fresh(pool, word);
        /* Slots that begin in the same page need no write: on to the first one behind it. */
        size_t page_rest = PAGE_BYTES_MIN - (uintptr_t)slot % PAGE_BYTES_MIN;
        index += (page_rest + pool->slot_bytes - 1) / pool->slot_bytes;
    }
}

uint64_t mbi_pool_link_run(const struct pool *pool, struct fresh_run run)
{
    mbi_pool_touch_run(pool, run);
    uint64_t chain = 0;
    for (size_t i = run.rounds; i-- > 0;) {
        struct slot *slot = (struct slot *)(void *)(run.first + i * pool->slot_bytes);
        pool_expect_fresh(pool, slot->rest);
        chain = chain_push(chain, slot);
    }
    return chain;
}
