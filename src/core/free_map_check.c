/* free_map_check: whether bits, counts and sets agree with each other. */
#include "core/free_map_bits.h"

/* Whether a tile's counts and sets agree with its bits; adds its slots to *slots. */
static bool tile_check(const struct free_map *map, size_t tile, size_t *slots)
{
    size_t here = 0;
    size_t ready = 0;
    size_t end = tile_end_slot(map, tile);
    for (size_t index = slots_of_tiles(map, tile); index < end; index++) {
        if (slot_is_here(map, index)) {
            here++;
            ready += slot_is_ready(map, index);
        }
    }
    *slots += here;
    return here == tile_at(map, tile)->slots && ready == tile_at(map, tile)->ready
           && tile_index_has(map->tiles, TILES_HERE, tile) == (here != 0)
           && tile_index_has(map->tiles, TILES_OPEN, tile) == tile_is_open(map, tile)
           && tile_index_has(map->tiles, TILES_READY, tile) == (ready != 0)
           && tile_index_has(map->tiles, TILES_GONE, tile) == tile_is_gone(map, tile);
}

bool mbi_free_map_check(const struct free_map *map)
{
    size_t slots = 0;
    size_t pages_released = 0;
    if (map->covered == 0) {
        return true; /* perhaps not even initialised: a span that was not needed yet */
    }
    size_t tiles = mbi_free_map_tiles(map, map->covered);
    for (size_t tile = 0; tile < tiles; tile++) {
        if (!tile_check(map, tile, &slots)) {
            mbi_message("check: tile %zu of %zu-byte slots miscounts its sorted slots", tile,
                        map->slot_bytes);
            return false;
        }
    }
    for (enum tile_set set = 0; set < TILE_SETS; set++) {
        if (!tile_index_check(map->tiles, set, tiles)) {
            mbi_message("check: set %d of tiles of %zu-byte slots does not agree with itself",
                        (int)set, map->slot_bytes);
            return false;
        }
    }
    /* The last slot may end in the next tile, and so may its pages. */
    size_t pages_end = size_max(tiles * pages_per_tile(map), slot_pages(map, map->covered - 1).end);
    for (size_t page = 0; page < pages_end; page++) {
        if (!page_is_released(map, page)) {
            continue;
        }
        pages_released++;
        if (!bits_all_set(map, page_first_slot(map, page), page_end_slot(map, page))) {
            mbi_message("check: page %zu of %zu-byte slots was given back and is in use", page,
                        map->slot_bytes);
            return false;
        }
    }
    if (slots != map->slots || pages_released != map->pages_released) {
        mbi_message("check: %zu-byte slots: %zu sorted, %zu pages released, counted %zu and %zu",
                    map->slot_bytes, slots, pages_released, map->slots,
                    map->pages_released);
        return false;
    }
    return true;
}
