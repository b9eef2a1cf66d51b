/* pool_carve: where slots lie in their spans, and fresh ones. */
#include "core/config.h"
#include "core/limit.h"
#include "core/os.h"
#include "core/pool.h"
#include "core/probes.h"
#include "core/region.h"

/*
 * Colour: class c starts (1 + c * COLOUR_PAGES) pages into its span. Without it the spans, which
 * are a power of two apart, compete for the same cache and TLB sets. The first page is never
 * used, so that slot number 0 is free to mean "none"; without huge pages it is never mapped
 * either, and a run-off from the span below faults.
 */
enum { COLOUR_PAGES = 1, SPAN_PER_COLOURS = 8 /* a span gives at most an eighth to its colour */ };

/* Without huge pages none at all: those that the kernel makes by itself come back when they go. */
static enum os_pages pages_of(bool dense)
{
    if (!mbi_config.huge_pages) {
        return OS_PAGES_SMALL;
    }
    return dense ? OS_PAGES_HUGE : OS_PAGES_AS_SET;
}

/* The map of a span, which there is. */
static void map_lay_out(const struct pool *pool, struct free_map *map)
{
    size_t bytes;
    char *memory = mbi_region_map(pool->class, map == &pool->wide_map, &bytes);
    mbi_free_map_place(map, memory, bytes, pages_of(false));
}

/* Where the slots of a span lie; there may be no such span, and then it has none. */
static void span_lay_out(const struct pool *pool, char *span, size_t span_bytes,
                         struct free_map *map, struct extent *extent)
{
    size_t page_bytes = mbi_os_page_bytes();
    bool dense = map == &pool->dense_map;
    extent_init(extent, span, 0, pages_of(dense));
    if (span == NULL) {
        mbi_free_map_init(map, NULL, pool->slot_bytes, 0, page_bytes);
        return;
    }
    size_t colours = span_bytes / page_bytes / SPAN_PER_COLOURS;
    size_t colour = (1 + (size_t)pool->class * COLOUR_PAGES % colours) * page_bytes;
    size_t slots = (span_bytes - colour) / pool->slot_bytes;
    mbi_free_map_init(map, span + colour, pool->slot_bytes, slots, page_bytes);
    map_lay_out(pool, map);
    size_t bytes = round_up(colour + slots * pool->slot_bytes, page_bytes);
    /* A huge page begins with the span: then the colour is mapped too. */
    size_t unused = dense && mbi_config.huge_pages ? 0 : colour;
    extent_init(extent, span + unused, bytes - unused, pages_of(dense));
}

/* Starts carving at the beginning of a span; leaves the pool exhausted when there is none. */
static void pool_enter_span(struct pool *pool, bool wide)
{
    pool->wide = wide;
    const struct free_map *map = pool_carved_span(pool);
    pool->carve_next = map->first;
    pool->commit_end = pool_carved_extent(pool)->first;
    pool->carve_end = map->first + map->slots_max * pool->slot_bytes;
}

/* Slot numbers end the pool: dense and wide units together must fit 32 bits. */
static size_t pool_wide_bytes(const struct pool *pool)
{
    size_t units_max = SLOT_NUMBER_MASK - slot_space_dense_units(&pool->space);
    size_t span_bytes = mbi_region.wide_span_bytes;
    return span_bytes / SIZE_STEP_BYTES > units_max ? units_max * SIZE_STEP_BYTES : span_bytes;
}

static void pool_set_dense_units(struct pool *pool, uint64_t units)
{
    atomic_store_explicit(&pool->space.dense_units, (uint32_t)units,
                          memory_order_relaxed); /* [DENSE-UNITS] */
}

/* In full spans 0, as class c has (c + 1) pages of colour and slots of (c + 1) units. */
static uint8_t span_phase(const struct pool *pool, const char *span, const struct free_map *map)
{
    size_t colour = span != NULL ? (size_t)(map->first - span) : 0;
    return (uint8_t)(colour % pool->slot_bytes / SIZE_STEP_BYTES);
}

void mbi_pool_lay_out(struct pool *pool)
{
    pool->space.dense = mbi_region_dense_span(pool->class);
    pool->space.wide = mbi_region_wide_span(pool->class);
    pool_set_dense_units(pool, mbi_region.dense_span_bytes / SIZE_STEP_BYTES);
    span_lay_out(pool, pool->space.dense, mbi_region.dense_span_bytes, &pool->dense_map,
                 &pool->dense_extent);
    span_lay_out(pool, pool->space.wide, pool_wide_bytes(pool), &pool->wide_map,
                 &pool->wide_extent);
    pool->space.slot_reciprocal = slot_reciprocal(pool->slot_bytes / SIZE_STEP_BYTES);
    pool->space.dense_phase = span_phase(pool, pool->space.dense, &pool->dense_map);
    pool->space.wide_phase = span_phase(pool, pool->space.wide, &pool->wide_map);
    pool_enter_span(pool, pool->space.dense == NULL);
}

bool mbi_pool_end_span_early_locked(struct pool *pool)
{
    const struct extent *extent = pool_carved_extent(pool);
    struct free_map *map = pool_carved_span(pool);
    if (extent->end >= pool->carve_end) {
        return false;
    }
    /* The colour's pages, which huge pages have mapped, may be all there is. */
    size_t bytes = extent->end > map->first ? (size_t)(extent->end - map->first) : 0;
    map->slots_max = bytes / pool->slot_bytes;
    pool->carve_end = map->first + map->slots_max * pool->slot_bytes;
    if (!pool->wide) {
        pool_set_dense_units(pool, (size_t)(pool->carve_end - pool->space.dense) / SIZE_STEP_BYTES);
    }
    return true;
}

/*
 * The map of what is sorted grows with the span, from the first MiB of all pools together on: when
 * the kernel refuses memory it would refuse that for the map too, and nothing could go back. Trim
 * tries again what fails here.
 */
static void pool_cover_locked(struct pool *pool)
{
    enum { SMALL_PROCESS_BYTES = 1 << 20 };
    struct free_map *map = pool_carved_span(pool);
    size_t bytes = (size_t)(pool->commit_end - map->first);
    size_t slots = bytes / pool->slot_bytes;
    if (pool->commit_end > map->first && mbi_limit_committed() >= SMALL_PROCESS_BYTES) {
        (void)mbi_free_map_cover(map, slots < map->slots_max ? slots : map->slots_max);
    }
}

/* With `ahead` more may be mapped than is committed, in order to be called seldom. */
static bool pool_commit_bytes_locked(struct pool *pool, size_t bytes, bool ahead)
{
    if (!mbi_limit_charge(bytes)) {
        return false;
    }
    if (!mbi_extent_grow(pool_carved_extent(pool), pool->commit_end + bytes, ahead)) {
        mbi_pool_note_refused_commit();
        mbi_limit_return(bytes);
        return false;
    }
    pool->commit_end += bytes;
    counter_add(&pool->committed_bytes, bytes);
    pool_cover_locked(pool);
    probe_commit(pool->slot_bytes, bytes);
    return true;
}

/*
 * What is committed at a time: a block. Under a limit every size in use keeps the rest of its last
 * block from the others, so blocks are smaller then, but not huge pages.
 */
static size_t pool_block_bytes(void)
{
    enum { BLOCKS_IN_LIMIT = 4 * SIZE_CLASS_COUNT };
    size_t bytes = mbi_config.block_bytes;
    size_t bytes_max = mbi_limit_get() / BLOCKS_IN_LIMIT;
    while (bytes > bytes_max && bytes > mbi_os_page_bytes() && !mbi_config.huge_pages) {
        bytes /= 2;
    }
    return bytes;
}

/*
 * Commits the next block when fewer than `bytes` are left, or only as many pages as that takes when
 * the limit or the kernel allows no more; false when not even that.
 */
static bool pool_commit_locked(struct pool *pool, size_t bytes)
{
    char *wanted_end = pool->carve_next + bytes;
    if (wanted_end <= pool->commit_end) {
        return true;
    }
    size_t page_bytes = mbi_os_page_bytes();
    char *limit = (char *)round_up((uintptr_t)pool->carve_end, page_bytes);
    size_t needed_bytes = round_up((size_t)(wanted_end - pool->commit_end), page_bytes);
    size_t block_bytes = round_up(needed_bytes, pool_block_bytes());
    if (block_bytes > (size_t)(limit - pool->commit_end)) {
        block_bytes = (size_t)(limit - pool->commit_end);
    }
    return pool_commit_bytes_locked(pool, block_bytes, true)
           || pool_commit_bytes_locked(pool, needed_bytes, false);
}

struct slot_run mbi_pool_carve_locked(struct pool *pool, size_t rounds_wanted)
{
    struct slot_run run = { .first = NULL, .rounds = 0 };
    if (pool->carve_next == pool->carve_end && !pool->wide) {
        pool_enter_span(pool, true);
    }
    size_t rounds = (size_t)(pool->carve_end - pool->carve_next) / pool->slot_bytes;
    if (rounds > rounds_wanted) {
        rounds = rounds_wanted;
    }
    if (!pool_commit_locked(pool, rounds * pool->slot_bytes)) {
        bool any = pool->commit_end > pool->carve_next;
        rounds = any ? (size_t)(pool->commit_end - pool->carve_next) / pool->slot_bytes : 0;
    }
    if (rounds == 0) {
        return run;
    }
    run.first = pool->carve_next;
    run.rounds = rounds;
    pool->carve_next += rounds * pool->slot_bytes;
    const char *last = pool->carve_next - pool->slot_bytes;
    uint64_t last_number = slot_space_number(&pool->space, (const struct slot *)(const void *)last);
    atomic_store_explicit(&pool->space.carved_end, last_number + pool->slot_bytes / SIZE_STEP_BYTES,
                          memory_order_relaxed); /* [CARVED] */
    counter_add(&pool->carved, rounds);
    probe_carve(pool->slot_bytes, rounds);
    return run;
}
