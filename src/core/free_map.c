/* free_map: slots that come and go. */
#include "core/free_map.h"

#include "core/free_map_bits.h"

void mbi_free_map_init(struct free_map *map, char *first, size_t slot_bytes, size_t slots_max,
                       size_t page_bytes)
{
    assert((uintptr_t)first % page_bytes == 0);
    *map = (struct free_map){
        .first = first,
        .slot_bytes = slot_bytes,
        .slots_max = slots_max,
        .page_bytes = size_min(page_bytes, TILE_BYTES),
        .page_shift = (unsigned)__builtin_ctzll(size_min(page_bytes, TILE_BYTES)),
        .reciprocal = UINT64_MAX / (slot_bytes / SLOT_UNIT_BYTES) + 1,
    };
}

void mbi_free_map_place(struct free_map *map, char *memory, size_t bytes, enum os_pages pages)
{
    extent_init(&map->tiles_extent, memory, bytes / 2, pages);
    extent_init(&map->bits_extent, memory + bytes / 2, bytes - bytes / 2, pages);
    map->tiles = (struct tile_index *)(void *)map->tiles_extent.first;
    map->bits = (uint64_t *)(void *)map->bits_extent.first;
}

size_t mbi_free_map_tiles(const struct free_map *map, size_t carved)
{
    return carved != 0 ? tile_of(map, carved - 1) + 1 : 0;
}

static size_t bits_bytes(size_t slots)
{
    size_t words = (slots + WORD_BITS - 1) / WORD_BITS;
    return round_up(words * sizeof(uint64_t), mbi_os_page_bytes());
}

static size_t tiles_bytes(const struct free_map *map, size_t slots)
{
    /* One more: the last slot may end in it. */
    size_t tiles = mbi_free_map_tiles(map, slots) + 1;
    return round_up(tile_index_bytes(tiles), mbi_os_page_bytes());
}

/* Covers all slots that begin in the same tiles as the first `slots`. */
static bool cover_to(struct free_map *map, size_t slots, bool ahead)
{
    size_t covered = tile_end_slot(map, tile_of(map, slots - 1));
    struct extent *tiles = &map->tiles_extent;
    struct extent *bits = &map->bits_extent;
    if (!mbi_extent_grow(tiles, tiles->first + tiles_bytes(map, covered), ahead)
        || !mbi_extent_grow(bits, bits->first + bits_bytes(covered), ahead)) {
        return false;
    }
    map->covered = covered;
    return true;
}

bool mbi_free_map_cover(struct free_map *map, size_t slots)
{
    assert(slots <= map->slots_max);
    if (slots <= map->covered) {
        return true;
    }
    /* Twice as much as before each time, so that growing costs a few calls in all. */
    size_t wanted = size_min(size_max(slots, 2 * map->covered), map->slots_max);
    return cover_to(map, wanted, true) || cover_to(map, slots, false);
}

void mbi_free_map_add(struct free_map *map, size_t index)
{
    assert(index < map->covered);
    slots_assign(map, index, index + 1, true, false);
    struct page_run pages = slot_pages(map, index);
    if (!free_map_is_dirty(map)) {
        map->dirty_begin = pages.begin;
        map->dirty_end = pages.end;
    }
    map->dirty_begin = size_min(pages.begin, map->dirty_begin);
    map->dirty_end = size_max(pages.end, map->dirty_end);
}

/* Pages that come back into use for one request. */
struct reuse {
    size_t pages_left; /* that still may */
    bool refused;      /* the kernel did not unseal a tile: no other is tried */
};

static bool page_reuse(struct free_map *map, size_t page, struct reuse *reuse)
{
    size_t tile = page / pages_per_tile(map);
    if (tile_is_sealed(map, tile)) {
        reuse->refused = reuse->refused || !mbi_free_map_unseal(map, tile);
        if (reuse->refused) {
            return false;
        }
    }
    page_set_released(map, page, false);
    reuse->pages_left--;
    return true;
}

/* Brings a slot's pages back into use, if so many may come back and the kernel agrees. */
static bool slot_reuse_pages(struct free_map *map, size_t index, struct reuse *reuse)
{
    struct page_run pages = slot_pages(map, index);
    if (slot_released_pages(map, index) > reuse->pages_left) {
        return false;
    }
    /* If only the first ones come back, their other slots can be taken. */
    bool back = true;
    for (size_t page = pages.begin; page < pages.end && back; page++) {
        back = !page_is_released(map, page) || page_reuse(map, page, reuse);
    }
    return back;
}

/* The first slot of [begin, end) that is here; `end` when there is none. */
static size_t next_slot(const struct free_map *map, size_t begin, size_t end)
{
    while (begin < end) {
        size_t word_begin = round_down(begin, WORD_BITS);
        uint64_t word = map->bits[begin / WORD_BITS] & (UINT64_MAX << begin % WORD_BITS);
        if (word != 0) {
            size_t index = word_begin + (size_t)__builtin_ctzll(word);
            return size_min(index, end);
        }
        begin = word_begin + WORD_BITS;
    }
    return end;
}

/* Takes up to `count` slots of one tile; leaves out whole pages that may not come into use. */
static size_t tile_take(struct free_map *map, size_t tile, size_t count, uint32_t *out,
                        struct reuse *reuse)
{
    size_t end = tile_end_slot(map, tile);
    size_t index = next_slot(map, slots_of_tiles(map, tile), end);
    size_t taken = 0;
    bool all_ready = tile_is_all_ready(map, tile); /* saves a look at each slot's pages */
    while (index < end && taken < count) {
        if (all_ready || slot_reuse_pages(map, index, reuse)) {
            map->bits[index / WORD_BITS] &= ~((uint64_t)1 << index % WORD_BITS);
            out[taken++] = (uint32_t)index;
            index = next_slot(map, index + 1, end);
        } else {
            struct page_run gone = slot_pages(map, index);
            size_t page = page_is_released(map, gone.end - 1) ? gone.end - 1 : gone.begin;
            index = next_slot(map, page_end_slot(map, page), end);
        }
    }
    map->slots -= taken;
    tile_add(map, tile, -(ptrdiff_t)taken, -(ptrdiff_t)taken);
    return taken;
}

/*
 * Takes from the lowest tile of the widest set that may give something. While enough pages may come
 * back into use each tile with slots gives one, unless it is sealed and the kernel refuses.
 */
size_t mbi_free_map_take(struct free_map *map, size_t count, uint32_t *out, size_t *pages)
{
    struct reuse reuse = { .pages_left = *pages, .refused = false };
    enum tile_set set = TILES_HERE;
    size_t taken = 0;
    while (map->slots != 0 && taken < count) {
        set = reuse.refused && set < TILES_OPEN ? TILES_OPEN : set;
        set = reuse.pages_left == 0 ? TILES_READY : set;
        size_t tile = tile_index_lowest(map->tiles, set);
        size_t got = 0;
        if (tile != TILES_MAX) {
            got = tile_take(map, tile, count - taken, out + taken, &reuse);
        }
        taken += got;
        if (got == 0 && set == TILES_READY) {
            break;
        }
        set = got == 0 ? set + 1 : set;
    }
    *pages -= reuse.pages_left;
    return taken;
}

size_t mbi_free_map_page_rest(const struct free_map *map, size_t carved, size_t touched)
{
    size_t page = carved * map->slot_bytes / map->page_bytes;
    size_t end = page_end_slot(map, page);
    if (page * map->page_bytes >= touched || carved > map->covered || end > map->slots_max
        || !bits_all_set(map, page_first_slot(map, page), carved)) {
        return 0;
    }
    return end - carved;
}

void mbi_free_map_count_occupancy(const struct free_map *map, size_t carved, size_t begin,
                                  size_t end, uint64_t bins[OCCUPANCY_BINS])
{
    for (size_t tile = begin; tile < end; tile++) {
        size_t first = slots_of_tiles(map, tile);
        size_t last = tile_end_slot(map, tile);
        size_t slots = size_min(last, carved) - first;
        assert(slots > 0);
        size_t here = last <= map->covered ? tile_at(map, tile)->slots : 0;
        size_t used = size_above(slots, here);
        size_t bin = (used * (OCCUPANCY_BINS - 1) + slots - 1) / slots;
        bins[bin]++;
    }
}
