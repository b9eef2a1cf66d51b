/*
 * free_map_bits: which slots, pages and tiles of a span overlap, and the bits and counts of the
 * slots that are here (core/free_map.h).
 *
 * Ladder: beside free_map. Callers: the files of free_map only, under the pool's lock.
 */
#ifndef MEMORYBUCKET_CORE_FREE_MAP_BITS_H
#define MEMORYBUCKET_CORE_FREE_MAP_BITS_H

#include "core/free_map.h"

enum { WORD_BITS = 64 };

/* Slots that begin below this byte of the span. */
static inline size_t slots_begun(const struct free_map *map, size_t byte)
{
    return (byte + map->slot_bytes - 1) / map->slot_bytes;
}

static inline size_t slots_of_tiles(const struct free_map *map, size_t tiles)
{
    return slots_begun(map, tiles * TILE_BYTES);
}

static inline size_t tile_of(const struct free_map *map, size_t index)
{
    return index * map->slot_bytes / TILE_BYTES;
}

static inline size_t pages_per_tile(const struct free_map *map)
{
    return (size_t)TILE_BYTES >> map->page_shift;
}

/* The slots that overlap a page, from the first to the one past the last. */
static inline size_t page_first_slot(const struct free_map *map, size_t page)
{
    return page * map->page_bytes / map->slot_bytes;
}

static inline size_t page_end_slot(const struct free_map *map, size_t page)
{
    return slots_begun(map, (page + 1) * map->page_bytes);
}

/* The pages that a slot overlaps. */
static inline struct page_run slot_pages(const struct free_map *map, size_t index)
{
    return (struct page_run){
        .begin = index * map->slot_bytes >> map->page_shift,
        .end = (((index + 1) * map->slot_bytes - 1) >> map->page_shift) + 1,
    };
}

/* Slots that begin below the end of a tile, as far as there are any. */
static inline size_t tile_end_slot(const struct free_map *map, size_t tile)
{
    return size_min(slots_of_tiles(map, tile + 1), map->slots_max);
}

/* The bits of [begin, end) that lie in the word of `begin`; *stop becomes their end. */
static inline uint64_t word_mask(size_t begin, size_t end, size_t *stop)
{
    size_t word_end = round_down(begin, WORD_BITS) + WORD_BITS;
    *stop = size_min(end, word_end);
    return UINT64_MAX << begin % WORD_BITS & UINT64_MAX >> (word_end - *stop);
}

/* True when the bits [begin, end) are all set. */
static inline bool bits_all_set(const struct free_map *map, size_t begin, size_t end)
{
    while (begin < end) {
        size_t stop;
        uint64_t mask = word_mask(begin, end, &stop);
        if ((map->bits[begin / WORD_BITS] & mask) != mask) {
            return false;
        }
        begin = stop;
    }
    return true;
}

static inline void bits_assign(struct free_map *map, size_t begin, size_t end, bool value)
{
    while (begin < end) {
        size_t stop;
        uint64_t mask = word_mask(begin, end, &stop);
        uint64_t *word = &map->bits[begin / WORD_BITS];
        assert((*word & mask) == (value ? 0 : mask));
        *word = value ? *word | mask : *word & ~mask;
        begin = stop;
    }
}

static inline bool slot_is_here(const struct free_map *map, size_t index)
{
    return (map->bits[index / WORD_BITS] >> index % WORD_BITS & 1U) != 0;
}

static inline struct tile *tile_at(const struct free_map *map, size_t tile)
{
    return tile_index_at(map->tiles, tile);
}

static inline bool page_is_released(const struct free_map *map, size_t page)
{
    size_t per_tile = pages_per_tile(map);
    unsigned released = tile_at(map, page / per_tile)->released;
    return (released >> page % per_tile & 1U) != 0;
}

static inline bool tile_is_sealed(const struct free_map *map, size_t tile)
{
    return tile_at(map, tile)->sealed;
}

/* Whether no page that its slots overlap was given back: the last one may end in the next tile. */
static inline bool tile_is_all_ready(const struct free_map *map, size_t tile)
{
    return (tile_at(map, tile)->released | tile_at(map, tile + 1)->released) == 0;
}

/* Whether all its pages were given back, and it is not sealed. */
static inline bool tile_is_gone(const struct free_map *map, size_t tile)
{
    unsigned all_pages = (1U << pages_per_tile(map)) - 1;
    return tile_at(map, tile)->released == all_pages && !tile_at(map, tile)->sealed;
}

/* Whether it has a slot that overlaps no sealed tile. Only its last may end in the next tile. */
static inline bool tile_is_open(const struct free_map *map, size_t tile)
{
    const struct tile *it = tile_at(map, tile);
    if (it->slots != 1 || !tile_is_sealed(map, tile + 1)) {
        return it->slots != 0 && !it->sealed;
    }
    size_t last = tile_end_slot(map, tile) - 1;
    bool crosses = slot_pages(map, last).end > (tile + 1) * pages_per_tile(map);
    return !it->sealed && !(crosses && slot_is_here(map, last));
}

/* Adds to a tile's slots, and to those that are ready; subtracts what is negative. */
static inline void tile_add(struct free_map *map, size_t tile, ptrdiff_t slots, ptrdiff_t ready)
{
    struct tile *it = tile_at(map, tile);
    it->slots = (uint16_t)(it->slots + slots);
    it->ready = (uint16_t)(it->ready + ready);
    tile_index_assign(map->tiles, TILES_HERE, tile, it->slots != 0);
    tile_index_assign(map->tiles, TILES_OPEN, tile, tile_is_open(map, tile));
    tile_index_assign(map->tiles, TILES_READY, tile, it->ready != 0);
    tile_index_assign(map->tiles, TILES_GONE, tile, tile_is_gone(map, tile));
}

/* How many pages that a slot overlaps were given back. */
static inline size_t slot_released_pages(const struct free_map *map, size_t index)
{
    struct page_run pages = slot_pages(map, index);
    size_t released = 0;
    for (size_t page = pages.begin; page < pages.end; page++) {
        released += page_is_released(map, page);
    }
    return released;
}

static inline bool slot_is_ready(const struct free_map *map, size_t index)
{
    return slot_released_pages(map, index) == 0;
}

/*
 * Puts the slots [begin, end) here or takes them away. Either all of them overlap pages that were
 * given back (`gone`), or at most the first and the last do.
 */
static inline void slots_assign(struct free_map *map, size_t begin, size_t end, bool here,
                                bool gone)
{
    size_t last = end - 1;
    size_t first = begin;
    bits_assign(map, begin, end, here);
    map->slots = here ? map->slots + (end - begin) : map->slots - (end - begin);
    while (begin < end) {
        size_t tile = tile_of(map, begin);
        size_t stop = size_min(end, tile_end_slot(map, tile));
        ptrdiff_t count = (ptrdiff_t)(stop - begin);
        ptrdiff_t ready = count - (begin == first && !slot_is_ready(map, first))
                          - (stop == end && last != first && !slot_is_ready(map, last));
        ready = gone ? 0 : ready;
        tile_add(map, tile, here ? count : -count, here ? ready : -ready);
        begin = stop;
    }
}

/* The same for the slots that overlap a run of pages. Either all pages were given back, or none. */
static inline void run_assign(struct free_map *map, struct page_run run, bool here)
{
    slots_assign(map, page_first_slot(map, run.begin), page_end_slot(map, run.end - 1),
                 here, page_is_released(map, run.begin));
}

/* Of a slot that overlaps this page and others: it is ready or not by this page, if it is here. */
static inline void crossing_slot_add(struct free_map *map, size_t index, size_t page,
                                     ptrdiff_t ready)
{
    size_t others = slot_released_pages(map, index) - page_is_released(map, page);
    if (slot_is_here(map, index) && others == 0) {
        tile_add(map, tile_of(map, index), 0, ready); /* perhaps the tile before */
    }
}

/*
 * Marks a page as given back, or not, and counts the slots that so stop being ready, or become it.
 * All its slots are here, but those that are away with a page beside it that is being given back.
 */
static inline void page_set_released(struct free_map *map, size_t page, bool released)
{
    size_t tile = page / pages_per_tile(map);
    size_t first = page_first_slot(map, page);
    size_t last = page_end_slot(map, page) - 1;
    bool first_crosses = slot_pages(map, first).begin != page;
    bool last_crosses = slot_pages(map, last).end != page + 1;
    ptrdiff_t sign = released ? -1 : 1;

    uint16_t bit = (uint16_t)(1U << page % pages_per_tile(map));
    struct tile *it = tile_at(map, tile);
    it->released = (uint16_t)(released ? it->released | bit : it->released & ~bit);
    map->pages_released = released ? map->pages_released + 1 : map->pages_released - 1;

    if (first_crosses) {
        crossing_slot_add(map, first, page, sign);
    }
    if (last_crosses && (last != first || !first_crosses)) {
        crossing_slot_add(map, last, page, sign);
    }
    size_t inside = size_above(last + 1 - last_crosses, first + first_crosses);
    tile_add(map, tile, 0, sign * (ptrdiff_t)inside);
}

/* Makes a sealed tile writable; false when the kernel refuses. The caller updates its sets. */
bool mbi_free_map_unseal(struct free_map *map, size_t tile);

#endif
