/*
 * sorted_map: how slots, pages and blocks of a span lie to each other, and the bits and counts of
 * what is here (core/sorted.h), which all change in here.
 *
 * Ladder: beside sorted. Callers: the files of sorted only, under the pool's lock.
 */
#ifndef MEMORYBUCKET_CORE_SORTED_MAP_H
#define MEMORYBUCKET_CORE_SORTED_MAP_H

#include "core/sorted.h"

enum { WORD_BITS = 64 };

/* Slots that begin below this byte of the span. */
static inline size_t slots_begun(const struct sorted *sorted, size_t byte)
{
    return (byte + sorted->slot_bytes - 1) / sorted->slot_bytes;
}

static inline size_t slots_of_blocks(const struct sorted *sorted, size_t blocks)
{
    return slots_begun(sorted, blocks * SORTED_BLOCK_BYTES);
}

static inline size_t block_of(const struct sorted *sorted, size_t index)
{
    return index * sorted->slot_bytes / SORTED_BLOCK_BYTES;
}

static inline size_t pages_per_block(const struct sorted *sorted)
{
    return SORTED_BLOCK_BYTES / sorted->page_bytes;
}

/* The slots that overlap a page, from the first to the one past the last. */
static inline size_t page_first_slot(const struct sorted *sorted, size_t page)
{
    return page * sorted->page_bytes / sorted->slot_bytes;
}

static inline size_t page_end_slot(const struct sorted *sorted, size_t page)
{
    return slots_begun(sorted, (page + 1) * sorted->page_bytes);
}

/* The pages that a slot overlaps. */
static inline struct page_run slot_pages(const struct sorted *sorted, size_t index)
{
    return (struct page_run){
        .begin = index * sorted->slot_bytes / sorted->page_bytes,
        .end = ((index + 1) * sorted->slot_bytes - 1) / sorted->page_bytes + 1,
    };
}

/* Slots that begin below the end of a block, as far as there are any. */
static inline size_t block_end_slot(const struct sorted *sorted, size_t block)
{
    size_t end = slots_of_blocks(sorted, block + 1);
    return end < sorted->slots_max ? end : sorted->slots_max;
}

static inline uint64_t word_mask(size_t first_bit, size_t end_bit)
{
    uint64_t up_to_end = end_bit == WORD_BITS ? UINT64_MAX : ((uint64_t)1 << end_bit) - 1;
    return up_to_end & (UINT64_MAX << first_bit);
}

/* True when the bits [begin, end) are all set. */
static inline bool bits_all_set(const struct sorted *sorted, size_t begin, size_t end)
{
    while (begin < end) {
        size_t word_end = round_down(begin, WORD_BITS) + WORD_BITS;
        size_t stop = end < word_end ? end : word_end;
        uint64_t mask = word_mask(begin % WORD_BITS, stop - (word_end - WORD_BITS));
        if ((sorted->bits[begin / WORD_BITS] & mask) != mask) {
            return false;
        }
        begin = stop;
    }
    return true;
}

static inline void bits_assign(struct sorted *sorted, size_t begin, size_t end, bool value)
{
    while (begin < end) {
        size_t word_end = round_down(begin, WORD_BITS) + WORD_BITS;
        size_t stop = end < word_end ? end : word_end;
        uint64_t mask = word_mask(begin % WORD_BITS, stop - (word_end - WORD_BITS));
        uint64_t *word = &sorted->bits[begin / WORD_BITS];
        assert((*word & mask) == (value ? 0 : mask));
        *word = value ? *word | mask : *word & ~mask;
        begin = stop;
    }
}

static inline bool slot_is_here(const struct sorted *sorted, size_t index)
{
    return (sorted->bits[index / WORD_BITS] >> index % WORD_BITS & 1U) != 0;
}

static inline struct sorted_block *block_at(const struct sorted *sorted, size_t block)
{
    return block_map_at(sorted->map, block);
}

static inline bool page_is_released(const struct sorted *sorted, size_t page)
{
    const struct sorted_block *block = block_at(sorted, page / pages_per_block(sorted));
    return (block->released >> page % pages_per_block(sorted) & 1U) != 0;
}

static inline bool block_is_sealed(const struct sorted *sorted, size_t block)
{
    return block_at(sorted, block)->sealed;
}

/* All its pages were given back, and it is not sealed. */
static inline bool block_is_gone(const struct sorted *sorted, size_t block)
{
    unsigned all_pages = (1U << pages_per_block(sorted)) - 1;
    return block_at(sorted, block)->released == all_pages && !block_at(sorted, block)->sealed;
}

/* It has a slot that overlaps no sealed block: only its last one may end in the next. */
static inline bool block_is_open(const struct sorted *sorted, size_t block)
{
    const struct sorted_block *it = block_at(sorted, block);
    if (it->slots != 1 || !block_is_sealed(sorted, block + 1)) {
        return it->slots != 0 && !it->sealed;
    }
    size_t last = block_end_slot(sorted, block) - 1;
    bool crosses = slot_pages(sorted, last).end > (block + 1) * pages_per_block(sorted);
    return !it->sealed && !(crosses && slot_is_here(sorted, last));
}

/* A block has got so many more slots, and so many more that are ready; fewer, if negative. */
static inline void block_add(struct sorted *sorted, size_t block, ptrdiff_t slots, ptrdiff_t ready)
{
    struct sorted_block *it = block_at(sorted, block);
    it->slots = (uint16_t)(it->slots + slots);
    it->ready = (uint16_t)(it->ready + ready);
    block_map_assign(sorted->map, BLOCKS_HERE, block, it->slots != 0);
    block_map_assign(sorted->map, BLOCKS_OPEN, block, block_is_open(sorted, block));
    block_map_assign(sorted->map, BLOCKS_READY, block, it->ready != 0);
    block_map_assign(sorted->map, BLOCKS_GONE, block, block_is_gone(sorted, block));
}

static inline bool slot_is_ready(const struct sorted *sorted, size_t index)
{
    struct page_run pages = slot_pages(sorted, index);
    return !page_is_released(sorted, pages.begin) && !page_is_released(sorted, pages.end - 1);
}

/*
 * Puts the slots [begin, end) here or takes them away, block by block. Either they all overlap
 * pages that were given back (`gone`), or none but perhaps the first and the last does.
 */
static inline void slots_assign(struct sorted *sorted, size_t begin, size_t end, bool here,
                                bool gone)
{
    size_t last = end - 1;
    size_t first = begin;
    bits_assign(sorted, begin, end, here);
    sorted->slots = here ? sorted->slots + (end - begin) : sorted->slots - (end - begin);
    while (begin < end) {
        size_t block = block_of(sorted, begin);
        size_t block_end = block_end_slot(sorted, block);
        size_t stop = end < block_end ? end : block_end;
        ptrdiff_t count = (ptrdiff_t)(stop - begin);
        ptrdiff_t ready = count - (begin == first && !slot_is_ready(sorted, first))
                          - (stop == end && last != first && !slot_is_ready(sorted, last));
        ready = gone ? 0 : ready;
        block_add(sorted, block, here ? count : -count, here ? ready : -ready);
        begin = stop;
    }
}

/* The slots that overlap a run of pages, which all were given back before, or none was. */
static inline void run_assign(struct sorted *sorted, struct page_run run, bool here)
{
    slots_assign(sorted, page_first_slot(sorted, run.begin), page_end_slot(sorted, run.end - 1),
                 here, page_is_released(sorted, run.begin));
}

/*
 * The page's slots that overlap no other page that was given back become ready, or are so no
 * longer. All of them are here; but those that also overlap a neighbour may be away with that, as
 * it is being given back.
 */
static inline void page_set_released(struct sorted *sorted, size_t page, bool released)
{
    size_t block = page / pages_per_block(sorted);
    size_t first = page_first_slot(sorted, page);
    size_t last = page_end_slot(sorted, page) - 1;
    bool first_crosses = slot_pages(sorted, first).begin != page;
    bool last_crosses = slot_pages(sorted, last).end != page + 1;
    ptrdiff_t ready = (ptrdiff_t)(last - first) + 1 - first_crosses - last_crosses;
    ptrdiff_t sign = released ? -1 : 1;

    uint16_t bit = (uint16_t)(1U << page % pages_per_block(sorted));
    struct sorted_block *it = block_at(sorted, block);
    it->released = (uint16_t)(released ? it->released | bit : it->released & ~bit);
    sorted->pages_released = released ? sorted->pages_released + 1 : sorted->pages_released - 1;

    if (first_crosses && slot_is_here(sorted, first) && !page_is_released(sorted, page - 1)) {
        block_add(sorted, block_of(sorted, first), 0, sign); /* perhaps the block before */
    }
    if (last_crosses && slot_is_here(sorted, last) && !page_is_released(sorted, page + 1)) {
        ready++;
    }
    block_add(sorted, block, 0, sign * ready);
}

/* Makes a sealed block writable again; false when the kernel refuses. Its page is taken next. */
bool mbi_sorted_unseal(struct sorted *sorted, size_t block);

#endif
