/*
 * sorted: free slots of one span as bits in address order, and the pages that were given back.
 *
 * Ladder: above region. Callers: pool, which holds its lock. In sorted.c slots come and go, in
 * sorted_release.c pages do.
 *
 *   block     64 KiB of the span:  |         0         |         1         |         2 ...
 *   pages                          |   |   |   |   |   |   |   |   |   |   |
 *   slots                          |.....|.....|.....|.....|.....|.....|.....    may cross both
 *   bits                              1     1     1     0     1    one a slot: it is here
 *   map                            { slots here that begin in it, those of them that lie on pages
 *                                    in use only, its pages given back }, and sets of such blocks
 *
 * A slot that is here is free, in nobody's chain, and its memory holds nothing: so a page that only
 * such slots overlap can go back to the operating system, and reads as zeros when it is used again.
 *
 *   slots = bits that are set = sum of the blocks' slots
 *   pages_released = bits that are set in the blocks' released; only slots overlap them that are
 *   here, or away with the page next to it, which is being given back
 *   a block's ready = its slots that are here and overlap none of those pages
 *   BLOCKS_HERE = blocks with slots; BLOCKS_OPEN = those of them that are not sealed,
 *   and have a slot that does not end in a sealed one
 *   BLOCKS_READY = blocks with ready ones
 *   BLOCKS_GONE = blocks whose pages were all given back, and that are not sealed
 *
 * A sealed block's pages can only be read, as zeros, and the kernel counts them for nothing, not
 * against RLIMIT_DATA and not as committed. It is unsealed when one of its slots is taken, which
 * the kernel may refuse. Runs of sealed blocks are mappings, so that there is a bound on them.
 *
 * Slots are taken lowest address first: that leaves the higher ones to drain and go back (the
 * first-fit rule whose fragmentation Johnstone and Wilson, ISMM 1998, found to be lowest).
 *
 * What a request takes is bounded whatever lies where: the lowest block that can give a slot is
 * found in a few words, and each block that is looked at gives one, after 128 words of bits at
 * most.
 *
 * The memory of bits and map has a place beside the spans and is mapped there as the span is carved:
 * 1 bit a slot, and 8 bytes a block.
 */
#ifndef MEMORYBUCKET_CORE_SORTED_H
#define MEMORYBUCKET_CORE_SORTED_H

#include "core/block_map.h"
#include "core/region.h"

enum { SORTED_BLOCK_BYTES = 64 << 10, OCCUPANCY_BINS = 11 };

/* All of it is under the pool's lock. */
struct sorted {
    /* Constant from mbi_sorted_init on. */
    char *first;         /* slot 0; on a page */
    size_t slot_bytes;
    size_t slots_max;    /* of the span; lowered once, if that ends early (pool_carve.c) */
    size_t page_bytes;
    uint64_t reciprocal; /* of the slot's units, for mbi_sorted_index */

    uint64_t *bits;        /* both constant from mbi_sorted_place on, and mapped by */
    struct block_map *map; /* mbi_sorted_cover */
    struct extent bits_extent;
    struct extent map_extent;
    size_t covered; /* slots that bits and map exist for */

    size_t slots;
    size_t pages_released;
    /* Pages that got slots since they were last looked at: whether they can be released. */
    size_t dirty_begin;
    size_t dirty_end;
    bool refused; /* the kernel kept a page that could have gone */
    bool unseal_refused; /* a slot was not taken for that; whoever takes some clears it */
};

/* Pages, counted from `first`. */
struct page_run {
    size_t begin;
    size_t end;
};

/* Empty, for the span whose first slot is `first`, a page's first byte. */
void mbi_sorted_init(struct sorted *sorted, char *first, size_t slot_bytes, size_t slots_max,
                     size_t page_bytes);

/*
 * Where the map goes, of which nothing is mapped yet; a 32nd of the span, and at least
 * REGION_MAP_BYTES_MIN. Before the first cover.
 */
void mbi_sorted_place(struct sorted *sorted, char *map, size_t bytes, enum os_pages pages);

/*
 * Makes room for the slots below `slots`. False when the kernel gives no memory. Calls it only when
 * the span has doubled since, so that it may be called under the pool's lock.
 */
bool mbi_sorted_cover(struct sorted *sorted, size_t slots);

/* The number of a slot of this span. */
MBI_HOT_INLINE size_t sorted_index(const struct sorted *sorted, const struct slot *slot)
{
    uint64_t unit = (uint64_t)((const char *)slot - sorted->first) / SIZE_STEP_BYTES;
    /* Exact: unit < 2^32, at most 64 units a slot (Granlund and Montgomery, PLDI 1994). */
    return sorted->slot_bytes == SIZE_STEP_BYTES
               ? unit
               : (size_t)(((unsigned __int128)unit * sorted->reciprocal) >> 64);
}

static inline struct slot *sorted_slot(const struct sorted *sorted, size_t index)
{
    return (struct slot *)(void *)(sorted->first + index * sorted->slot_bytes);
}

/* Puts a slot here; it is covered, and was not here. */
void mbi_sorted_add(struct sorted *sorted, size_t index);

/*
 * Takes up to `count` slots, lowest first, as numbers into `out`; of the pages that were released
 * at most *pages come back into use, and none any more that are sealed once the kernel refused to
 * unseal one: then others serve. Returns how many slots, and in *pages how many pages.
 */
size_t mbi_sorted_take(struct sorted *sorted, size_t count, uint32_t *out, size_t *pages);

/*
 * Looks through at most *blocks_max blocks with dirty pages for the next run of at most
 * `pages_max` pages that can be released, and takes the slots that overlap it out of here, so that
 * nobody uses them while the caller gives the pages back; an empty run when there is none in those
 * blocks. *blocks_max becomes what is left of it. A run is found once: pages that cannot be given
 * back are not tried again until one of their slots has been used.
 */
struct page_run mbi_sorted_begin_release(struct sorted *sorted, size_t *blocks_max,
                                         size_t pages_max);

/* Puts those slots back; the pages are as they were. */
void mbi_sorted_end_release(struct sorted *sorted, struct page_run run);

/* A page whose slots are here is gone now. */
void mbi_sorted_note_released(struct sorted *sorted, size_t page);

/*
 * The next run of pages that were given back and are not sealed, at most `pages_max`, from page
 * *from on, which moves behind it; empty when there is none in the next blocks, and *from is
 * SIZE_MAX at the end.
 */
struct page_run mbi_sorted_next_released(const struct sorted *sorted, size_t *from,
                                         size_t pages_max);

/*
 * Takes the slots that overlap such a run, or as much of its beginning as is still given back, out
 * of here as for a release, and returns that; mbi_sorted_end_release puts them back.
 */
struct page_run mbi_sorted_begin_again(struct sorted *sorted, struct page_run run);

/*
 * The same for the next run of at least `blocks_min` whole blocks from block *from on, or of any
 * number behind a sealed one; mbi_sorted_end_seal puts them back, sealed or not.
 */
struct page_run mbi_sorted_begin_seal(struct sorted *sorted, size_t *from, size_t blocks_min);
void mbi_sorted_end_seal(struct sorted *sorted, struct page_run run, bool sealed);

/* Runs of sealed blocks in all spans together. */
size_t mbi_sorted_seals(void);

/* Once after the kernel kept pages: all that can go are looked for again. */
void mbi_sorted_retry_refused(struct sorted *sorted);

static inline bool sorted_is_dirty(const struct sorted *sorted)
{
    return sorted->dirty_begin < sorted->dirty_end;
}

/*
 * Of the span's slots `carved` exist, and of its bytes `touched` have ever been anybody's. When the
 * page in which the slots end is touched, and all that overlap it are here: how many more slots it
 * takes to fill it up. Otherwise 0.
 */
size_t mbi_sorted_page_rest(const struct sorted *sorted, size_t carved, size_t touched);

/*
 * Adds the blocks [begin, end) to the bins by the share of their slots that are not here: bin 0
 * none, bin i up to 10 * i %. Of the span's slots `carved` exist.
 */
void mbi_sorted_count_occupancy(const struct sorted *sorted, size_t carved, size_t begin,
                                size_t end, uint64_t bins[OCCUPANCY_BINS]);

/* Blocks in which the first `carved` slots begin. */
size_t mbi_sorted_blocks(const struct sorted *sorted, size_t carved);

/* Checks the equations at the top; false after a message that names what is wrong. */
bool mbi_sorted_check(const struct sorted *sorted);

#endif
