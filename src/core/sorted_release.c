/* sorted_release: pages that go back, blocks that are sealed, and the way back of both. */
#include "core/os.h"
#include "core/sorted_map.h"

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

void mbi_sorted_retry_refused(struct sorted *sorted)
{
    if (sorted->refused) {
        sorted->refused = false;
        sorted->dirty_begin = 0;
        sorted->dirty_end = slot_pages(sorted, sorted->covered - 1).end;
    }
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

/* How many sealed neighbours the blocks [begin, end) have. */
static ptrdiff_t seals_around(const struct sorted *sorted, size_t begin, size_t end)
{
    return (begin != 0 && block_is_sealed(sorted, begin - 1)) + block_is_sealed(sorted, end);
}

static char *block_start(const struct sorted *sorted, size_t block)
{
    return sorted->first + block * SORTED_BLOCK_BYTES;
}

/* Its last slot may end in a block that was sealed, or no longer is. */
static void look_at_block_before(struct sorted *sorted, size_t block)
{
    if (block != 0) {
        block_add(sorted, block - 1, 0, 0);
    }
}

bool mbi_sorted_unseal(struct sorted *sorted, size_t block)
{
    if (!mbi_os_unseal(block_start(sorted, block), SORTED_BLOCK_BYTES)) {
        sorted->unseal_refused = true;
        return false;
    }
    block_at(sorted, block)->sealed = false;
    seals_add(seals_around(sorted, block, block + 1) - 1);
    look_at_block_before(sorted, block);
    return true;
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
    look_at_block_before(sorted, begin);
}
