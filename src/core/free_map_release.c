/* free_map_release: pages are given back, tiles are sealed and unsealed. */
#include "core/free_map_bits.h"
#include "core/huge.h"
#include "core/os.h"

static bool page_is_releasable(const struct free_map *map, size_t page)
{
    size_t end = page_end_slot(map, page);
    return end <= map->covered && !page_is_released(map, page)
           && bits_all_set(map, page_first_slot(map, page), end);
}

/* Whether fewer slots are here than fill a page: no need to look closer. */
static bool tile_is_hopeless(const struct free_map *map, size_t tile)
{
    return (tile_at(map, tile)->slots + 2U) * map->slot_bytes < map->page_bytes;
}

/* Moves dirty_begin to the first dirty page that can go, or past at most *tiles_max tiles. */
static bool skip_to_releasable_page(struct free_map *map, size_t *tiles_max)
{
    size_t per_tile = pages_per_tile(map);
    while (free_map_is_dirty(map) && *tiles_max != 0) {
        size_t tile = map->dirty_begin / per_tile;
        size_t end = size_min((tile + 1) * per_tile, map->dirty_end);
        size_t page = tile_is_hopeless(map, tile) ? end : map->dirty_begin;
        while (page < end && !page_is_releasable(map, page)) {
            page++;
        }
        map->dirty_begin = page;
        if (page < end) {
            return true;
        }
        --*tiles_max;
    }
    return false;
}

/* Whether the page lies on a huge one that came whole, whose first page is *begin. */
static bool page_is_huge(const struct free_map *map, size_t page, size_t *begin)
{
    uintptr_t first = (uintptr_t)map->first;
    uintptr_t huge_page = round_down(first + page * map->page_bytes, HUGE_PAGE_BYTES);
    *begin = (huge_page - first) / map->page_bytes;
    return huge_page >= first && tile_at(map, *begin / pages_per_tile(map))->huge != 0;
}

static size_t tile_of_address(const struct free_map *map, const char *address)
{
    return (size_t)(address - map->first) / TILE_BYTES;
}

MBI_SELDOM bool mbi_free_map_can_note_huge(const struct free_map *map, const char *huge_page)
{
    return huge_page >= map->first
           && tile_of_address(map, huge_page) < mbi_free_map_tiles(map, map->covered);
}

MBI_SELDOM void mbi_free_map_note_huge(struct free_map *map, const char *huge_page)
{
    assert(mbi_free_map_can_note_huge(map, huge_page));
    tile_at(map, tile_of_address(map, huge_page))->huge = 1;
}

/*
 * The most runs of a huge page before the last of which it may still be split: with the first, the
 * second, the fourth, and so on. So it takes a few calls at most, and the last ones come late.
 */
enum { HUGE_RUNS_MAX = 128 };

/*
 * The run is the huge page that begins there, if all of that may go; it is huge no more. Else the
 * run is a part of it, and to be split. The kernel does not split what a child of fork shares, and
 * does not say so: so it is to be split again with a later run.
 */
static MBI_SELDOM void run_on_huge(struct free_map *map, struct page_run *run, size_t begin,
                                   bool any_huge)
{
    size_t end = begin + HUGE_PAGE_BYTES / map->page_bytes;
    size_t page = begin;
    struct tile *tile = tile_at(map, begin / pages_per_tile(map));
    while (any_huge && page < end && page_is_releasable(map, page)) {
        page++;
    }
    if (page == end) {
        *run = (struct page_run){ .begin = begin, .end = end, .is_huge = true };
        tile->huge = 0;
    } else {
        run->is_huge = is_power_of_two(tile->huge);
        bool again = huge_may_be_shared() && tile->huge < HUGE_RUNS_MAX;
        tile->huge = again ? (uint8_t)(tile->huge + 1) : 0;
    }
}

/* The run that begins with the first dirty page, which can go. */
static MBI_COLD struct page_run begin_run(struct free_map *map, size_t pages_max, bool any_huge)
{
    struct page_run run = { .begin = map->dirty_begin, .end = map->dirty_begin + 1 };
    size_t huge;
    size_t end = map->dirty_end;
    if (MBI_UNLIKELY(page_is_huge(map, run.begin, &huge))) { /* what is split ends with it */
        end = size_min(end, huge + HUGE_PAGE_BYTES / map->page_bytes);
        run_on_huge(map, &run, huge, any_huge);
    }
    while (run.end < end && run.end - run.begin < pages_max
           && page_is_releasable(map, run.end)
           && !(page_is_huge(map, run.end, &huge) && huge == run.end)) {
        run.end++;
    }
    map->dirty_begin = run.end;
    run_assign(map, run, false);
    return run;
}

struct page_run mbi_free_map_begin_release(struct free_map *map, size_t *tiles_max,
                                           size_t pages_max, bool any_huge)
{
    if (pages_max == 0 || !skip_to_releasable_page(map, tiles_max)) {
        return (struct page_run){ .begin = 0, .end = 0 };
    }
    return begin_run(map, pages_max, any_huge);
}

void mbi_free_map_end_release(struct free_map *map, struct page_run run)
{
    run_assign(map, run, true);
}

MBI_SELDOM void mbi_free_map_try_again(struct free_map *map, struct page_run run)
{
    size_t huge;
    if (page_is_huge(map, run.begin, &huge)) {
        tile_at(map, huge / pages_per_tile(map))->huge = 0;
    }
    map->dirty_begin = free_map_is_dirty(map) ? size_min(run.begin, map->dirty_begin) : run.begin;
    map->dirty_end = size_max(run.end, map->dirty_end);
}

void mbi_free_map_note_released(struct free_map *map, size_t page)
{
    page_set_released(map, page, true);
}

MBI_SELDOM void mbi_free_map_retry_refused(struct free_map *map)
{
    if (map->refused) {
        map->refused = false;
        map->dirty_begin = 0;
        map->dirty_end = slot_pages(map, map->covered - 1).end;
    }
}

/* The most tiles to look at for one run, under the lock, and to seal at once. */
enum { LOOK_TILES_MAX = 256, SEAL_TILES_MAX = 64 };

static bool page_is_gone(const struct free_map *map, size_t page)
{
    return page_is_released(map, page)
           && !tile_is_sealed(map, page / pages_per_tile(map));
}

MBI_SELDOM struct page_run mbi_free_map_next_released(const struct free_map *map, size_t *from,
                                                      size_t pages_max)
{
    size_t end = mbi_free_map_tiles(map, map->covered) * pages_per_tile(map);
    size_t stop = size_min(*from + LOOK_TILES_MAX * pages_per_tile(map), end);
    struct page_run run = { .begin = *from, .end = *from };
    while (run.begin < stop && !page_is_gone(map, run.begin)) {
        run.begin++;
    }
    run.end = run.begin;
    while (run.end < end && run.end - run.begin < pages_max && page_is_gone(map, run.end)) {
        run.end++;
    }
    *from = run.end < end ? run.end : SIZE_MAX;
    return run;
}

MBI_SELDOM struct page_run mbi_free_map_begin_release_again(struct free_map *map,
                                                             struct page_run run)
{
    struct page_run still = { .begin = run.begin, .end = run.begin };
    while (still.end < run.end && page_is_gone(map, still.end)) {
        still.end++;
    }
    if (still.begin != still.end) {
        run_assign(map, still, false);
    }
    return still;
}

/* Runs of sealed tiles, in all spans. relaxed [SEALS]: the number only bounds mappings. */
static _Atomic size_t seals;

static void seals_add(ptrdiff_t runs)
{
    atomic_fetch_add_explicit(&seals, (size_t)runs, memory_order_relaxed); /* [SEALS] */
}

size_t mbi_free_map_seals(void)
{
    return atomic_load_explicit(&seals, memory_order_relaxed); /* [SEALS] */
}

/* How many sealed neighbours the tiles [begin, end) have. */
static ptrdiff_t seals_around(const struct free_map *map, size_t begin, size_t end)
{
    return (begin != 0 && tile_is_sealed(map, begin - 1)) + tile_is_sealed(map, end);
}

/* Updates the sets of the tile before: its last slot may end in this one. */
static void update_tile_before(struct free_map *map, size_t tile)
{
    if (tile != 0) {
        tile_add(map, tile - 1, 0, 0);
    }
}

MBI_SELDOM bool mbi_free_map_unseal(struct free_map *map, size_t tile)
{
    if (!mbi_os_unseal(map->first + tile * TILE_BYTES, TILE_BYTES)) {
        map->unseal_refused = true;
        return false;
    }
    tile_at(map, tile)->sealed = false;
    seals_add(seals_around(map, tile, tile + 1) - 1);
    update_tile_before(map, tile);
    return true;
}

MBI_SELDOM struct page_run mbi_free_map_begin_seal(struct free_map *map, size_t *from,
                                                   size_t tiles_min)
{
    struct page_run none = { .begin = 0, .end = 0 };
    size_t tiles = mbi_free_map_tiles(map, map->covered);
    for (size_t looks = 0; looks < LOOK_TILES_MAX && *from < tiles; looks++) {
        size_t begin = tile_index_next(map->tiles, TILES_GONE, *from);
        size_t end = begin;
        if (begin >= tiles) {
            *from = tiles;
            break;
        }
        while (end < tiles && end - begin < SEAL_TILES_MAX && tile_is_gone(map, end)) {
            end++;
        }
        *from = end;
        if (end - begin >= tiles_min || seals_around(map, begin, end) != 0) {
            struct page_run run = { .begin = begin * pages_per_tile(map),
                                    .end = end * pages_per_tile(map) };
            run_assign(map, run, false);
            return run;
        }
    }
    *from = *from < tiles ? *from : SIZE_MAX;
    return none;
}

MBI_SELDOM void mbi_free_map_end_seal(struct free_map *map, struct page_run run, bool sealed)
{
    size_t begin = run.begin / pages_per_tile(map);
    size_t end = run.end / pages_per_tile(map);
    run_assign(map, run, true);
    if (!sealed) {
        return;
    }
    seals_add(1 - seals_around(map, begin, end));
    for (size_t tile = begin; tile < end; tile++) {
        tile_at(map, tile)->sealed = true;
        tile_add(map, tile, 0, 0);
    }
    update_tile_before(map, begin);
}
