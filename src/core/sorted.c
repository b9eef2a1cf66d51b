/* sorted: bits of slots, and what whole pages they make up. */
#include "core/sorted.h"

#include "core/os.h"

enum { WORD_BITS = 64 };

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

/* Slots that begin below this byte of the span. */
static size_t slots_begun(const struct sorted *sorted, size_t byte)
{
    return (byte + sorted->slot_bytes - 1) / sorted->slot_bytes;
}

static size_t slots_of_blocks(const struct sorted *sorted, size_t blocks)
{
    return slots_begun(sorted, blocks * SORTED_BLOCK_BYTES);
}

static size_t block_of(const struct sorted *sorted, size_t index)
{
    return index * sorted->slot_bytes / SORTED_BLOCK_BYTES;
}

static size_t pages_per_block(const struct sorted *sorted)
{
    return SORTED_BLOCK_BYTES / sorted->page_bytes;
}

/* The slots that overlap a page, from the first to the one past the last. */
static size_t page_first_slot(const struct sorted *sorted, size_t page)
{
    return page * sorted->page_bytes / sorted->slot_bytes;
}

static size_t page_end_slot(const struct sorted *sorted, size_t page)
{
    return slots_begun(sorted, (page + 1) * sorted->page_bytes);
}

/* The pages that a slot overlaps. */
static struct page_run slot_pages(const struct sorted *sorted, size_t index)
{
    return (struct page_run){
        .begin = index * sorted->slot_bytes / sorted->page_bytes,
        .end = ((index + 1) * sorted->slot_bytes - 1) / sorted->page_bytes + 1,
    };
}

/* Slots that begin below the end of a block, as far as there are any. */
static size_t block_end_slot(const struct sorted *sorted, size_t block)
{
    size_t end = slots_of_blocks(sorted, block + 1);
    return end < sorted->slots_max ? end : sorted->slots_max;
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

static uint64_t word_mask(size_t first_bit, size_t end_bit)
{
    uint64_t up_to_end = end_bit == WORD_BITS ? UINT64_MAX : ((uint64_t)1 << end_bit) - 1;
    return up_to_end & (UINT64_MAX << first_bit);
}

/* True when the bits [begin, end) are all set. */
static bool bits_all_set(const struct sorted *sorted, size_t begin, size_t end)
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

static void bits_assign(struct sorted *sorted, size_t begin, size_t end, bool value)
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

static struct sorted_block *block_at(const struct sorted *sorted, size_t block)
{
    return block_map_at(sorted->map, block);
}

static bool page_is_released(const struct sorted *sorted, size_t page)
{
    const struct sorted_block *block = block_at(sorted, page / pages_per_block(sorted));
    return (block->released >> page % pages_per_block(sorted) & 1U) != 0;
}

/* All its pages were given back, and it is not sealed. */
static bool block_is_gone(const struct sorted *sorted, size_t block)
{
    unsigned all_pages = (1U << pages_per_block(sorted)) - 1;
    return block_at(sorted, block)->released == all_pages && !block_at(sorted, block)->sealed;
}

/* A block has got so many more slots, and so many more that are ready; fewer, if negative. */
static void block_add(struct sorted *sorted, size_t block, ptrdiff_t slots, ptrdiff_t ready)
{
    struct sorted_block *it = block_at(sorted, block);
    it->slots = (uint16_t)(it->slots + slots);
    it->ready = (uint16_t)(it->ready + ready);
    block_map_assign(sorted->map, BLOCKS_HERE, block, it->slots != 0);
    block_map_assign(sorted->map, BLOCKS_OPEN, block, it->slots != 0 && !it->sealed);
    block_map_assign(sorted->map, BLOCKS_READY, block, it->ready != 0);
    block_map_assign(sorted->map, BLOCKS_GONE, block, block_is_gone(sorted, block));
}

static bool slot_is_here(const struct sorted *sorted, size_t index)
{
    return (sorted->bits[index / WORD_BITS] >> index % WORD_BITS & 1U) != 0;
}

static bool slot_is_ready(const struct sorted *sorted, size_t index)
{
    struct page_run pages = slot_pages(sorted, index);
    return !page_is_released(sorted, pages.begin) && !page_is_released(sorted, pages.end - 1);
}

/*
 * Puts the slots [begin, end) here or takes them away, block by block. Either they all overlap
 * pages that were given back (`gone`), or none but perhaps the first and the last does.
 */
static void slots_assign(struct sorted *sorted, size_t begin, size_t end, bool here, bool gone)
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

/*
 * The page's slots that overlap no other page that was given back become ready, or are so no
 * longer. All of them are here; but those that also overlap a neighbour may be away with that, as
 * it is being given back.
 */
static void page_set_released(struct sorted *sorted, size_t page, bool released)
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

/* Runs of sealed blocks, in all spans. relaxed [SEALS]: the number only bounds mappings. */
static _Atomic size_t seals;

static void seals_add(ptrdiff_t runs)
{
    atomic_fetch_add_explicit(&seals, (size_t)runs, memory_order_relaxed); /* [SEALS] */
}

size_t mbi_sorted_seals(void)
{
    return atomic_load_explicit(&seals, memory_order_relaxed); /* [SEALS] */
}

static bool block_is_sealed(const struct sorted *sorted, size_t block)
{
    return block_at(sorted, block)->sealed;
}

/* How many sealed neighbours the blocks [begin, end) have. */
static ptrdiff_t seals_around(const struct sorted *sorted, size_t begin, size_t end)
{
    return (begin != 0 && block_is_sealed(sorted, begin - 1)) + block_is_sealed(sorted, end);
}

static char *block_start(const struct sorted *sorted, size_t block)
{
    return sorted->first + block * SORTED_BLOCK_BYTES;
}

static bool block_unseal(struct sorted *sorted, size_t block)
{
    if (!mbi_os_unseal(block_start(sorted, block), SORTED_BLOCK_BYTES)) {
        sorted->unseal_refused = true;
        return false;
    }
    block_at(sorted, block)->sealed = false;
    seals_add(seals_around(sorted, block, block + 1) - 1);
    return true;
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
        retaken->refused = retaken->refused || !block_unseal(sorted, block);
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

static bool page_can_go(const struct sorted *sorted, size_t page)
{
    size_t end = page_end_slot(sorted, page);
    return end <= sorted->covered && !page_is_released(sorted, page)
           && bits_all_set(sorted, page_first_slot(sorted, page), end);
}

/* Fewer slots than a page takes are here: no need to look closer. */
static bool block_is_hopeless(const struct sorted *sorted, size_t block)
{
    return (block_at(sorted, block)->slots + 2U) * sorted->slot_bytes < sorted->page_bytes;
}

/* Moves dirty_begin to the first dirty page that can go, or past at most *blocks_max blocks. */
static bool find_page(struct sorted *sorted, size_t *blocks_max)
{
    size_t per_block = pages_per_block(sorted);
    while (sorted_is_dirty(sorted) && *blocks_max != 0) {
        size_t block = sorted->dirty_begin / per_block;
        size_t end = (block + 1) * per_block;
        end = end < sorted->dirty_end ? end : sorted->dirty_end;
        size_t page = block_is_hopeless(sorted, block) ? end : sorted->dirty_begin;
        while (page < end && !page_can_go(sorted, page)) {
            page++;
        }
        sorted->dirty_begin = page;
        if (page < end) {
            return true;
        }
        --*blocks_max;
    }
    return false;
}

/* The slots that overlap a run of pages, which all were given back before, or none was. */
static void run_assign(struct sorted *sorted, struct page_run run, bool here)
{
    slots_assign(sorted, page_first_slot(sorted, run.begin), page_end_slot(sorted, run.end - 1),
                 here, page_is_released(sorted, run.begin));
}

struct page_run mbi_sorted_begin_release(struct sorted *sorted, size_t *blocks_max,
                                         size_t pages_max)
{
    struct page_run run = { .begin = 0, .end = 0 };
    if (pages_max == 0 || !find_page(sorted, blocks_max)) {
        return run;
    }
    run.begin = sorted->dirty_begin;
    run.end = run.begin + 1;
    while (run.end < sorted->dirty_end && run.end - run.begin < pages_max
           && page_can_go(sorted, run.end)) {
        run.end++;
    }
    sorted->dirty_begin = run.end;
    run_assign(sorted, run, false);
    return run;
}

void mbi_sorted_end_release(struct sorted *sorted, struct page_run run)
{
    run_assign(sorted, run, true);
}

void mbi_sorted_note_released(struct sorted *sorted, size_t page)
{
    page_set_released(sorted, page, true);
}

/* Blocks that are looked at for one run, under the lock. */
enum { LOOK_BLOCKS_MAX = 256, SEAL_BLOCKS_MAX = 64 };

static bool page_came_back(const struct sorted *sorted, size_t page)
{
    return page_is_released(sorted, page)
           && !block_is_sealed(sorted, page / pages_per_block(sorted));
}

struct page_run mbi_sorted_next_released(const struct sorted *sorted, size_t *from,
                                         size_t pages_max)
{
    size_t end = mbi_sorted_blocks(sorted, sorted->covered) * pages_per_block(sorted);
    size_t stop = *from + LOOK_BLOCKS_MAX * pages_per_block(sorted);
    stop = stop < end ? stop : end;
    struct page_run run = { .begin = *from, .end = *from };
    while (run.begin < stop && !page_came_back(sorted, run.begin)) {
        run.begin++;
    }
    run.end = run.begin;
    while (run.end < end && run.end - run.begin < pages_max && page_came_back(sorted, run.end)) {
        run.end++;
    }
    *from = run.end < end ? run.end : SIZE_MAX;
    return run;
}

struct page_run mbi_sorted_begin_again(struct sorted *sorted, struct page_run run)
{
    struct page_run still = { .begin = run.begin, .end = run.begin };
    while (still.end < run.end && page_came_back(sorted, still.end)) {
        still.end++;
    }
    if (still.begin != still.end) {
        run_assign(sorted, still, false);
    }
    return still;
}

struct page_run mbi_sorted_begin_seal(struct sorted *sorted, size_t *from, size_t blocks_min)
{
    struct page_run none = { .begin = 0, .end = 0 };
    size_t blocks = mbi_sorted_blocks(sorted, sorted->covered);
    for (size_t looks = 0; looks < LOOK_BLOCKS_MAX && *from < blocks; looks++) {
        size_t begin = block_map_next(sorted->map, BLOCKS_GONE, *from);
        size_t end = begin;
        if (begin >= blocks) {
            *from = blocks;
            break;
        }
        while (end < blocks && end - begin < SEAL_BLOCKS_MAX && block_is_gone(sorted, end)) {
            end++;
        }
        *from = end;
        if (end - begin >= blocks_min || seals_around(sorted, begin, end) != 0) {
            struct page_run run = { .begin = begin * pages_per_block(sorted),
                                    .end = end * pages_per_block(sorted) };
            run_assign(sorted, run, false);
            return run;
        }
    }
    *from = *from < blocks ? *from : SIZE_MAX;
    return none;
}

void mbi_sorted_end_seal(struct sorted *sorted, struct page_run run, bool sealed)
{
    size_t begin = run.begin / pages_per_block(sorted);
    size_t end = run.end / pages_per_block(sorted);
    run_assign(sorted, run, true);
    if (!sealed) {
        return;
    }
    seals_add(1 - seals_around(sorted, begin, end));
    for (size_t block = begin; block < end; block++) {
        block_at(sorted, block)->sealed = true;
        block_add(sorted, block, 0, 0);
    }
}

void mbi_sorted_retry_refused(struct sorted *sorted)
{
    if (sorted->refused) {
        sorted->refused = false;
        sorted->dirty_begin = 0;
        sorted->dirty_end = slot_pages(sorted, sorted->covered - 1).end;
    }
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

/* A block's counts and bits agree with its slots; adds these to *slots. */
static bool block_check(const struct sorted *sorted, size_t block, size_t *slots)
{
    size_t here = 0;
    size_t ready = 0;
    size_t end = block_end_slot(sorted, block);
    for (size_t index = slots_of_blocks(sorted, block); index < end; index++) {
        if (slot_is_here(sorted, index)) {
            here++;
            ready += slot_is_ready(sorted, index);
        }
    }
    *slots += here;
    return here == block_at(sorted, block)->slots && ready == block_at(sorted, block)->ready
           && block_map_has(sorted->map, BLOCKS_HERE, block) == (here != 0)
           && block_map_has(sorted->map, BLOCKS_OPEN, block)
                  == (here != 0 && !block_is_sealed(sorted, block))
           && block_map_has(sorted->map, BLOCKS_READY, block) == (ready != 0)
           && block_map_has(sorted->map, BLOCKS_GONE, block) == block_is_gone(sorted, block);
}

bool mbi_sorted_check(const struct sorted *sorted)
{
    size_t slots = 0;
    size_t pages_released = 0;
    if (sorted->covered == 0) {
        return true; /* perhaps not even initialised: a span that was not needed yet */
    }
    size_t blocks = mbi_sorted_blocks(sorted, sorted->covered);
    for (size_t block = 0; block < blocks; block++) {
        if (!block_check(sorted, block, &slots)) {
            mbi_message("check: block %zu of %zu-byte slots miscounts its sorted slots", block,
                        sorted->slot_bytes);
            return false;
        }
    }
    for (enum block_set set = 0; set < BLOCK_SETS; set++) {
        if (!block_map_check(sorted->map, set, blocks)) {
            mbi_message("check: set %d of blocks of %zu-byte slots does not agree with itself",
                        (int)set, sorted->slot_bytes);
            return false;
        }
    }
    for (size_t page = 0; page < blocks * pages_per_block(sorted); page++) {
        if (!page_is_released(sorted, page)) {
            continue;
        }
        pages_released++;
        if (!bits_all_set(sorted, page_first_slot(sorted, page), page_end_slot(sorted, page))) {
            mbi_message("check: page %zu of %zu-byte slots was given back and is in use", page,
                        sorted->slot_bytes);
            return false;
        }
    }
    if (slots != sorted->slots || pages_released != sorted->pages_released) {
        mbi_message("check: %zu-byte slots: %zu sorted, %zu pages released, counted %zu and %zu",
                    sorted->slot_bytes, slots, pages_released, sorted->slots,
                    sorted->pages_released);
        return false;
    }
    return true;
}
