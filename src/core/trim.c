/* trim: aging, sorting, releasing. */
#include "core/trim.h"

#include "core/config.h"
#include "core/huge.h"

/* The slots that are being sorted, by number. Under the trim lock. */
static uint32_t numbers[TRIM_NUMBERS_MAX];
_Static_assert((int)TRIM_NUMBERS_MAX >= (int)MAGAZINE_ROUNDS_MAX,
               "a batch, or the loose slots, fit");
_Static_assert(TRIM_PAGES_MAX % 64 == 0, "struct pages_gone has whole words");

enum { SLOTS_PER_LOCK = 512 };

/* Follows all chains, a slot of each in turn. The slots' numbers go to `numbers`; how many. */
static size_t follow_chains(const struct pool *pool, uint64_t chains[], size_t count)
{
    size_t found = 0;
    bool any = true;
    while (any) {
        any = false;
        for (size_t i = 0; i < count; i++) {
            struct slot *slot = chain_first(chains[i]);
            if (slot != NULL) {
                chains[i] = trim_follow(pool, chains[i]);
                numbers[found++] = (uint32_t)slot_space_number(&pool->space, slot);
                any = true;
            }
        }
    }
    return found;
}

size_t mbi_trim_sort_chains(struct pool *pool, size_t count, uint64_t chains[], bool ordered)
{
    size_t found = follow_chains(pool, chains, count);
    for (size_t done = 0; done < found; done += SLOTS_PER_LOCK) {
        mbi_pool_sort(pool, numbers + done, size_min(found - done, SLOTS_PER_LOCK), ordered);
    }
    return found;
}

/* Apart from what looks whether there is any (sections.ld). */
static MBI_COLD size_t sort_surplus(struct pool *pool, size_t slots_max)
{
    uint64_t chains[TRIM_CHAINS_MAX];
    size_t count = mbi_pool_take_surplus(pool, trim_chains(pool, slots_max), chains);
    return mbi_trim_sort_chains(pool, count, chains, false);
}

size_t mbi_trim_sort(struct pool *pool, size_t slots_max)
{
    size_t in_lanes = mbi_pool_sort_lanes(pool, slots_max);
    return in_lanes != 0 ? in_lanes : sort_surplus(pool, slots_max);
}

/* The small pages of a huge one; where small pages are larger there are none (core/huge.h). */
enum { HUGE_PAGES = HUGE_PAGE_BYTES / HUGE_SMALL_PAGE_BYTES };
_Static_assert((int)HUGE_PAGES <= (int)TRIM_PAGES_MAX, "struct pages_gone has room");

/* Which pages of a run are gone. */
struct pages_gone {
    uint64_t bits[TRIM_PAGES_MAX / 64];
};

/*
 * Gives the pages back, without a lock: all at once or, where the kernel refuses that because one
 * is locked in memory, one by one. No thread uses them meanwhile. Returns how many went.
 */
static size_t release_pages(const struct free_map *map, struct page_run run,
                            struct pages_gone *gone)
{
    char *start = map->first + run.begin * map->page_bytes;
    size_t pages = run.end - run.begin;
    bool may_be_huge = run.is_huge || huge_may_be_anywhere();
    if (may_be_huge) {
        mbi_huge_split_ends(start, pages * map->page_bytes);
    }
    bool all = mbi_os_release(start, pages * map->page_bytes);
    size_t released = 0;
    if (!all && may_be_huge) {
        mbi_huge_split_refused(start, pages * map->page_bytes);
    }
    if (!all && run.is_huge) { /* tried again, in pieces */
        return 0;
    }
    for (size_t i = 0; i < pages; i++) {
        if (all || mbi_os_release(start + i * map->page_bytes, map->page_bytes)) {
            gone->bits[i / 64] |= (uint64_t)1 << i % 64;
            released++;
        }
    }
    return released;
}

/* Returns how many bytes went. Apart from what looks whether any can (sections.ld). */
static MBI_COLD size_t release_run(struct pool *pool, struct span *span, struct page_run run,
                                   struct trim_allowance *left)
{
    struct pages_gone gone = { { 0 } };
    size_t tried = run.end - run.begin;
    size_t pages = release_pages(&span->map, run, &gone);
    mbi_pool_end_release(pool, span, run, gone.bits, pages);
    left->pages = size_above(left->pages, tried);
    left->calls = size_above(left->calls, pages == tried ? 1 : tried);
    return pages * span->map.page_bytes;
}

bool mbi_trim_release(struct pool *pool, struct trim_allowance *left, size_t *bytes)
{
    assert(left->pages <= TRIM_PAGES_MAX);
    for (size_t i = 0; i < SPAN_COUNT; i++) {
        struct span *span = &pool->spans[i];
        size_t tried = 1;
        while (tried != 0 && left->tiles != 0 && left->pages != 0 && left->calls != 0) {
            size_t pages_max = size_min(left->pages, left->calls);
            bool any_huge = left->any_huge || left->pages >= HUGE_PAGES;
            struct page_run run =
                mbi_pool_begin_release(pool, span, &left->tiles, pages_max, any_huge);
            tried = run.end - run.begin;
            if (tried != 0) {
                *bytes += release_run(pool, span, run, left);
            }
        }
    }
    return left->tiles == 0 || left->pages == 0 || left->calls == 0;
}

void mbi_trim_begin_turn(struct trim_turn *turn, size_t class, unsigned ages)
{
    bool any = class < SIZE_CLASS_COUNT && pool_is_laid_out(class);
    uint64_t slots = any ? counter_read(&pool_at(class)->carved) : 0;
    *turn = (struct trim_turn){ .class = class, .ages_left = ages, .slots_left = slots };
}

/* Sorts some slots; where none of this age are left, some of the next. False if none are left. */
static bool sort_some(struct trim_turn *turn, struct trim_allowance *left)
{
    struct pool *pool = pool_at(turn->class);
    size_t sorted = turn->slots_left != 0 ? mbi_trim_sort(pool, left->slots) : 0;
    while (sorted == 0 && turn->ages_left != 0) {
        mbi_trim_begin_turn(turn, turn->class, turn->ages_left - 1);
        /* The last time what is in the centre stays there: it came after the turn began. */
        (void)mbi_pool_age(pool, turn->ages_left != 0);
        sorted = mbi_trim_sort(pool, left->slots);
    }
    left->slots = size_above(left->slots, sorted);
    turn->slots_left = size_above(turn->slots_left, sorted);
    return sorted != 0;
}

bool mbi_trim_go_on(struct trim_turn *turn, struct trim_allowance *left)
{
    size_t bytes = 0;
    return pool_is_laid_out(turn->class)
           && (sort_some(turn, left)
               || mbi_trim_release(pool_at(turn->class), left, &bytes));
}

/*
 * One step of the turn, with the trim lock: gives at most `bytes_max` back, and sorts when nothing
 * went. False when the turn is over, or the lock was refused (mbi_lock_refused).
 */
static bool step(struct trim_turn *turn, size_t bytes_max, size_t *bytes)
{
    struct pool *pool = pool_at(turn->class);
    struct trim_allowance left = trim_whole_step;
    size_t before = *bytes;
    if (!pool_is_laid_out(turn->class) || counter_read(&pool->carved) == 0
        || !mbi_lock_acquire(LOCK_TRIM)) {
        return false;
    }
    left.pages = size_min(bytes_max / mbi_os_page_bytes(), left.pages);
    left.any_huge = bytes_max / mbi_os_page_bytes() >= TRIM_PAGES_MAX + HUGE_PAGES;
    bool more = left.pages != 0 && mbi_trim_release(pool, &left, bytes);
    more = *bytes != before || sort_some(turn, &left) || more;
    mbi_lock_release(LOCK_TRIM);
    return more;
}

static size_t step_to_end(size_t class, unsigned ages, size_t bytes_max)
{
    struct trim_turn turn;
    size_t bytes = 0;
    mbi_trim_begin_turn(&turn, class, ages);
    while (step(&turn, bytes_max - bytes, &bytes)) {
    }
    return bytes;
}

MBI_SELDOM size_t mbi_trim_pools(size_t keep_bytes)
{
    size_t free_bytes = 0;
    for (size_t class = pools_next(0); class < SIZE_CLASS_COUNT; class = pools_next(class + 1)) {
        if (counter_read(&pool_at(class)->carved) != 0) {
            (void)step_to_end(class, TRIM_AGES, 0); /* only sorts */
            /* Not in decay's steps: pages that are locked in memory would take a call each time. */
            mbi_pool_retry_refused(pool_at(class));
            free_bytes += mbi_pool_sorted_bytes(pool_at(class));
        }
    }
    /* No bound with nothing to keep: pages that a release completes go as well. */
    size_t bytes_max = keep_bytes != 0 ? size_above(free_bytes, keep_bytes) : SIZE_MAX;
    size_t bytes = 0;
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        bytes += step_to_end(class, 0, bytes_max - bytes);
    }
    return bytes;
}

bool mbi_trim_step_turn(struct trim_turn *turn, size_t *bytes)
{
    while (turn->class < SIZE_CLASS_COUNT && !step(turn, SIZE_MAX, bytes)) {
        mbi_trim_begin_turn(turn, turn->class + 1, TRIM_AGES);
    }
    return turn->class < SIZE_CLASS_COUNT;
}
