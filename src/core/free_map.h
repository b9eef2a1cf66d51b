/*
 * free_map: free slots of one span as bits in address order, and the pages that were given back.
 *
 * Ladder: above region. Callers: pool, which holds its lock. In free_map.c slots come and go, in
 * free_map_release.c pages do.
 *
 *   tile      64 KiB of the span:  |         0         |         1         |         2 ...
 *   pages                          |   |   |   |   |   |   |   |   |   |   |
 *   slots                          |.....|.....|.....|.....|.....|.....|.....    may cross both
 *   bits                              1     1     1     0     1    one a slot: it is here
 *   map                            { slots here that begin in it, those of them that lie on pages
 *                                    in use only, its pages given back }, and sets of such tiles
 *
 * A slot that is here is free, in no chain, and its memory holds nothing: so a page that only such
 * slots overlap can go back to the operating system, and reads as zeros when it is used again.
 *
 *   slots = bits that are set = sum of the tiles' slots
 *   pages_released = bits that are set in the tiles' released. All slots that overlap such a page
 *   are here, or away with a page beside it that is being given back
 *   a tile's ready = its slots that are here and overlap none of those pages
 *   TILES_HERE = tiles with slots; TILES_READY = tiles with ready ones
 *   TILES_OPEN = tiles that are not sealed, with a slot that does not end in a sealed one
 *   TILES_GONE = tiles whose pages were all given back, and that are not sealed
 *
 * A sealed tile's pages can only be read, as zeros, and the kernel charges nothing for them. A tile
 * is unsealed when one of its slots is taken, which the kernel may refuse. Each run of sealed tiles
 * is a mapping, so their number is bounded.
 *
 * Slots are taken lowest address first, so that the higher pages drain and go back (the first-fit
 * rule whose fragmentation Johnstone and Wilson, ISMM 1998, found to be lowest). The work is
 * bounded: a few words lead to the lowest tile that can give a slot, and each such tile gives one,
 * after 128 words of bits at most.
 *
 * Bits and tiles, 1 bit a slot and 8 bytes a tile, have a place beside the spans (core/region.h),
 * and are mapped as the span is carved.
 */
#ifndef MEMORYBUCKET_CORE_FREE_MAP_H
#define MEMORYBUCKET_CORE_FREE_MAP_H

#include "core/region.h"
#include "core/tile_index.h"

enum { TILE_BYTES = 64 << 10, OCCUPANCY_BINS = 11 };
_Static_assert((uint64_t)TILES_MAX * TILE_BYTES >= (uint64_t)1 << WIDE_SHIFT_MAX, "all of a span");
_Static_assert(TILE_BYTES / SLOT_UNIT_BYTES <= UINT16_MAX && TILE_BYTES / 4096 <= 16,
               "struct tile counts its slots, and has a bit for each page");

/* All of it is under the pool's lock. */
struct free_map {
    /* Constant from mbi_free_map_init on. */
    char *first;         /* slot 0; on a page */
    size_t slot_bytes;
    size_t slots_max;    /* of the span; lowered once, if that ends early (pool_carve.c) */
    size_t page_bytes;   /* a power of two */
    unsigned page_shift; /* its logarithm: a division by it would take longer than all else */
    uint64_t reciprocal; /* of the slot's units, for mbi_free_map_index */

    uint64_t *bits;           /* both constant from mbi_free_map_place on, and mapped by */
    struct tile_index *tiles; /* mbi_free_map_cover */
    struct extent bits_extent;
    struct extent tiles_extent;
    size_t covered; /* slots that bits and map exist for */

    size_t slots;
    size_t pages_released;
    /* Pages that got slots since they were last looked at: whether they can be released. */
    size_t dirty_begin;
    size_t dirty_end;
    bool refused; /* the kernel kept a page that could have gone */
    bool unseal_refused; /* by the kernel, so that a slot was not taken; the pool clears it */
};

/* Pages, counted from `first`. */
struct page_run {
    size_t begin;
    size_t end;
    bool is_huge; /* on a huge page: it is whole, or to be split first */
};

/* Empty, for the span whose first slot is `first`, a page's first byte. */
void mbi_free_map_init(struct free_map *map, char *first, size_t slot_bytes, size_t slots_max,
                       size_t page_bytes);

/* Says where bits and tiles lie (mbi_region_map). Maps nothing. Before the first cover. */
void mbi_free_map_place(struct free_map *map, char *memory, size_t bytes, enum os_pages pages);

/*
 * Makes room for the slots below `slots`. False when the kernel gives no memory. The kernel is
 * asked only when their number has doubled: so this may be called under the pool's lock.
 */
bool mbi_free_map_cover(struct free_map *map, size_t slots);

/* The number of a slot of this span. */
MBI_HOT_INLINE size_t free_map_index(const struct free_map *map, const struct slot *slot)
{
    uint64_t unit = (uint64_t)((const char *)slot - map->first) / SLOT_UNIT_BYTES;
    /* Exact: unit < 2^32, at most 2^12 units a slot (Granlund and Montgomery, PLDI 1994). */
    return map->slot_bytes == SLOT_UNIT_BYTES
               ? unit
               : (size_t)(((unsigned __int128)unit * map->reciprocal) >> 64);
}

/* The end of the span's last slot. */
static inline char *free_map_end(const struct free_map *map)
{
    return map->first + map->slots_max * map->slot_bytes;
}

static inline struct slot *free_map_slot(const struct free_map *map, size_t index)
{
    return (struct slot *)(void *)(map->first + index * map->slot_bytes);
}

/* Puts a slot here that is covered, and was not here. */
void mbi_free_map_add(struct free_map *map, size_t index);

/*
 * Takes up to `count` slots, lowest first; their numbers go to `out`. Brings at most *pages pages
 * back into use that were given back, and no sealed ones once the kernel refuses to unseal one.
 * Returns how many slots; *pages becomes how many pages.
 */
size_t mbi_free_map_take(struct free_map *map, size_t count, uint32_t *out, size_t *pages);

/* Whether a huge page that begins here can be noted. Not where there was no memory for the map. */
bool mbi_free_map_can_note_huge(const struct free_map *map, const char *huge_page);

/* Notes that there is a huge page here, whole; it can be noted. */
void mbi_free_map_note_huge(struct free_map *map, const char *huge_page);

/*
 * Finds the next run of at most `pages_max` dirty pages that can be released; empty when there is
 * none. Of a huge page: all of it, with `any_huge`, or else some pages. It counts as one no more;
 * so the caller splits it first. (Where a child of fork may share it, it counts as one for some
 * more runs.) Looks through at most *tiles_max tiles, and subtracts these there.
 * The slots that overlap the run are away while the caller gives the pages back. A run is found
 * once: pages that cannot be given back are not tried again until one of their slots has been used.
 */
struct page_run mbi_free_map_begin_release(struct free_map *map, size_t *tiles_max,
                                           size_t pages_max, bool any_huge);

/* Puts those slots back; changes nothing about the pages. */
void mbi_free_map_end_release(struct free_map *map, struct page_run run);

/* Puts the run's pages among those that are looked at again: not as a huge one from here on. */
void mbi_free_map_try_again(struct free_map *map, struct page_run run);

/* Notes that a page, all of whose slots are here, was given back. */
void mbi_free_map_note_released(struct free_map *map, size_t page);

/*
 * The next run of at most `pages_max` pages that were given back and are not sealed, from page
 * *from on; empty when none is near. *from moves behind it, and becomes SIZE_MAX at the end.
 */
struct page_run mbi_free_map_next_released(const struct free_map *map, size_t *from,
                                           size_t pages_max);

/* Begins a release of such a run, or of as much of its beginning as is still given back. */
struct page_run mbi_free_map_begin_release_again(struct free_map *map, struct page_run run);

/*
 * Begins a seal of the next run of whole tiles from tile *from on, which moves as above: at least
 * `tiles_min`, or fewer beside a sealed one. mbi_free_map_end_seal puts the slots back, sealed or
 * not.
 */
struct page_run mbi_free_map_begin_seal(struct free_map *map, size_t *from, size_t tiles_min);
void mbi_free_map_end_seal(struct free_map *map, struct page_run run, bool sealed);

/* Runs of sealed tiles in all spans together. */
size_t mbi_free_map_seals(void);

/* If the kernel kept pages, the next releases look at all pages again. */
void mbi_free_map_retry_refused(struct free_map *map);

static inline bool free_map_is_dirty(const struct free_map *map)
{
    return map->dirty_begin < map->dirty_end;
}

/*
 * How many more slots would fill the page in which the first `carved` ones end; 0 unless the page
 * was in use (it begins in the span's first `touched` bytes), and all its slots are here.
 */
size_t mbi_free_map_page_rest(const struct free_map *map, size_t carved, size_t touched);

/*
 * Adds the tiles [begin, end) to the bins by the share of their slots that are not here: bin 0
 * none, bin i up to 10 * i %. Of the span's slots `carved` exist.
 */
void mbi_free_map_count_occupancy(const struct free_map *map, size_t carved, size_t begin,
                                  size_t end, uint64_t bins[OCCUPANCY_BINS]);

/* Tiles in which the first `carved` slots begin. */
size_t mbi_free_map_tiles(const struct free_map *map, size_t carved);

/* Checks the equations at the top; false after a message that names what is wrong. */
bool mbi_free_map_check(const struct free_map *map);

#endif
