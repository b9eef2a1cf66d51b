/* sorted: slots that come and go. */
#include "core/sorted.h"

#include "core/os.h"
#include "core/sorted_map.h"

void mbi_sorted_init(struct sorted *sorted, char *first, size_t slot_bytes, size_t slots_max,
                     size_t page_bytes)
{
    assert((uintptr_t)first % page_bytes == 0);
    *sorted = (struct sorted){
        .first = first,
        .slot_bytes = slot_bytes,
        .slots_max = slots_max,
        .page_bytes = page_bytes < SORTED_BLOCK_BYTES ? page_bytes : SORTED_BLOCK_BYTES,
        .reciprocal = UINT64_MAX / (slot_bytes / SIZE_STEP_BYTES) + 1,
    };
}

void mbi_sorted_place(struct sorted *sorted, char *map, size_t bytes, enum os_pages pages)
{
    extent_init(&sorted->map_extent, map, bytes / 2, pages);
    extent_init(&sorted->bits_extent, map + bytes / 2, bytes - bytes / 2, pages);
    sorted->map = (struct block_map *)(void *)sorted->map_extent.first;
    sorted->bits = (uint64_t *)(void *)sorted->bits_extent.first;
}

size_t mbi_sorted_blocks(const struct sorted *sorted, size_t carved)
{
    return carved != 0 ? block_of(sorted, carved - 1) + 1 : 0;
}

static size_t bits_bytes(size_t slots)
{
    size_t words = (slots + WORD_BITS - 1) / WORD_BITS;
    return round_up(words * sizeof(uint64_t), mbi_os_page_bytes());
}

static size_t map_bytes(const struct sorted *sorted, size_t slots)
{
    /* Also the one that the last slot may end in. */
    size_t blocks = mbi_sorted_blocks(sorted, slots) + 1;
    return round_up(block_map_bytes(blocks), mbi_os_page_bytes());
}

/* All the slots that begin in the blocks of the first `slots`. */
static bool cover_to(struct sorted *sorted, size_t slots, bool ahead)
{
    size_t covered = block_end_slot(sorted, block_of(sorted, slots - 1));
    struct extent *map = &sorted->map_extent;
    struct extent *bits = &sorted->bits_extent;
    if (!mbi_extent_grow(map, map->first + map_bytes(sorted, covered), ahead)
        || !mbi_extent_grow(bits, bits->first + bits_bytes(covered), ahead)) {
        return false;
    }
    sorted->covered = covered;
    return true;
}

bool mbi_sorted_cover(struct sorted *sorted, size_t slots)
{
    assert(slots <= sorted->slots_max);
    if (slots <= sorted->covered) {
        return true;
    }
    /* Twice as much as before each time, so that growing costs a few calls in all. */
    size_t wanted = slots > 2 * sorted->covered ? slots : 2 * sorted->covered;
    wanted = wanted < sorted->slots_max ? wanted : sorted->slots_max;
    return cover_to(sorted, wanted, true) || cover_to(sorted, slots, false);
}

void mbi_sorted_add(struct sorted *sorted, size_t index)
{
    assert(index < sorted->covered);
    slots_assign(sorted, index, index + 1, true, false);
    struct page_run pages = slot_pages(sorted, index);
    if (!sorted_is_dirty(sorted)) {
        sorted->dirty_begin = pages.begin;
        sorted->dirty_end = pages.end;
    }
    sorted->dirty_begin = pages.begin < sorted->dirty_begin ? pages.begin : sorted->dirty_begin;
    sorted->dirty_end = pages.end > sorted->dirty_end ? pages.end : sorted->dirty_end;
}

/* What a request may still have come back into use, and what has. */
struct retaken {
    size_t pages_left;
    size_t pages;
    bool refused; /* to unseal a block: the next would be refused, too */
};

static bool page_retake(struct sorted *sorted, size_t page, struct retaken *retaken)
{
    size_t block = page / pages_per_block(sorted);
    if (block_is_sealed(sorted, block)) {
        retaken->refused = retaken->refused || !mbi_sorted_unseal(sorted, block);
        if (retaken->refused) {
            return false;
        }
    }
    page_set_released(sorted, page, false);
    retaken->pages_left--;
    retaken->pages++;
    return true;
}

/* A slot's pages become used again, if no more of them were not than may, and the kernel agrees. */
static bool slot_retake_pages(struct sorted *sorted, size_t index, struct retaken *retaken)
{
    struct page_run pages = slot_pages(sorted, index);
    bool first = page_is_released(sorted, pages.begin);
    bool last = pages.end - pages.begin == 2 && page_is_released(sorted, pages.end - 1);
    if ((size_t)first + last > retaken->pages_left) {
        return false;
    }
    /* When only the first comes back it has slots for others. */
    return (!first || page_retake(sorted, pages.begin, retaken))
           && (!last || page_retake(sorted, pages.end - 1, retaken));
}

/* The first slot of [begin, end) that is here; `end` when there is none. */
static size_t next_slot(const struct sorted *sorted, size_t begin, size_t end)
{
    while (begin < end) {
        size_t word_begin = round_down(begin, WORD_BITS);
        uint64_t word = sorted->bits[begin / WORD_BITS] & (UINT64_MAX << begin % WORD_BITS);
        if (word != 0) {
            size_t index = word_begin + (size_t)__builtin_ctzll(word);
            return index < end ? index : end;
        }
        begin = word_begin + WORD_BITS;
    }
    return end;
}

/*
 * Takes up to `count` slots of one block, which has one to give. Pages that may not come back into
 * use are passed over as a whole.
 */
static size_t block_take(struct sorted *sorted, size_t block, size_t count, uint32_t *out,
                         struct retaken *retaken)
{
    size_t end = block_end_slot(sorted, block);
    size_t index = next_slot(sorted, slots_of_blocks(sorted, block), end);
    size_t taken = 0;
    while (index < end && taken < count) {
        if (slot_retake_pages(sorted, index, retaken)) {
            sorted->bits[index / WORD_BITS] &= ~((uint64_t)1 << index % WORD_BITS);
            out[taken++] = (uint32_t)index;
            index = next_slot(sorted, index + 1, end);
        } else {
            struct page_run gone = slot_pages(sorted, index);
            size_t page = page_is_released(sorted, gone.end - 1) ? gone.end - 1 : gone.begin;
            index = next_slot(sorted, page_end_slot(sorted, page), end);
        }
    }
    sorted->slots -= taken;
    block_add(sorted, block, -(ptrdiff_t)taken, -(ptrdiff_t)taken);
    return taken;
}

/*
 * The lowest block of the widest set that there is hope for. While pages may come back into use
 * each block with slots has one to give, as also a page that was given back holds slots that
 * overlap no other; unless it is sealed and the kernel refuses.
 */
size_t mbi_sorted_take(struct sorted *sorted, size_t count, uint32_t *out, size_t *pages)
{
    struct retaken retaken = { .pages_left = *pages, .pages = 0, .refused = false };
    enum block_set set = BLOCKS_HERE;
    size_t taken = 0;
    while (sorted->slots != 0 && taken < count) {
        set = retaken.refused && set < BLOCKS_OPEN ? BLOCKS_OPEN : set;
        set = retaken.pages_left == 0 ? BLOCKS_READY : set;
        size_t block = block_map_lowest(sorted->map, set);
        size_t got = 0;
        if (block != BLOCKS_MAX) {
            got = block_take(sorted, block, count - taken, out + taken, &retaken);
        }
        taken += got;
        if (got == 0 && set == BLOCKS_READY) {
            break;
        }
        set = got == 0 ? set + 1 : set;
    }
    *pages = retaken.pages;
    return taken;
}

size_t mbi_sorted_page_rest(const struct sorted *sorted, size_t carved, size_t touched)
{
    size_t page = carved * sorted->slot_bytes / sorted->page_bytes;
    size_t end = page_end_slot(sorted, page);
    if (page * sorted->page_bytes >= touched || carved > sorted->covered || end > sorted->slots_max
        || !bits_all_set(sorted, page_first_slot(sorted, page), carved)) {
        return 0;
    }
    return end - carved;
}

void mbi_sorted_count_occupancy(const struct sorted *sorted, size_t carved, size_t begin,
                                size_t end, uint64_t bins[OCCUPANCY_BINS])
{
    for (size_t block = begin; block < end; block++) {
        size_t first = slots_of_blocks(sorted, block);
        size_t last = block_end_slot(sorted, block);
        size_t slots = (last < carved ? last : carved) - first;
        assert(slots > 0);
        size_t here = last <= sorted->covered ? block_at(sorted, block)->slots : 0;
        size_t used = slots - (here < slots ? here : slots);
        size_t bin = (used * (OCCUPANCY_BINS - 1) + slots - 1) / slots;
        bins[bin]++;
    }
}
