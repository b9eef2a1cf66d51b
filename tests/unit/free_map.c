/* sorted: against a plain list of what is free, for sizes that do and do not divide a page. */
#include "core/free_map.h"

#include "core/huge.h"
#include "core/os.h"
#include "testing.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <criterion/redirect.h>
#include <sys/mman.h>

enum { SPAN_BYTES = 1 << 20, PAGE = 4096 };

static struct free_map sorted;
static size_t slots_max;

/* A page-aligned address that nobody reads or writes. */
static char *const span = (char *)((uintptr_t)1 << 40);

/* A span of so many bytes, and a map for all of it. */
static void begin_at(char *first, size_t slot_bytes, size_t bytes)
{
    enum { MAP_BYTES = 4 << 20 };
    slots_max = bytes / slot_bytes;
    mbi_free_map_init(&sorted, first, slot_bytes, slots_max, PAGE);
    char *map = mbi_os_reserve(MAP_BYTES); /* where nothing is, then */
    mbi_os_unreserve(map, MAP_BYTES);
    mbi_free_map_place(&sorted, map, MAP_BYTES, OS_PAGES_SMALL);
    cr_assert(mbi_free_map_cover(&sorted, slots_max));
}

static void begin(size_t slot_bytes)
{
    begin_at(span, slot_bytes, SPAN_BYTES);
}

ParameterizedTestParameters(map, number_and_slot_are_inverse)
{
    static size_t sizes[] = { 8, 16, 24, 56, 64, 200, 264, 504, 512, 520, 1000, 1152, 1280, 3072,
                              4096, 5120, 9216, 12288, 20480, 28672, 32768 };
    return cr_make_param_array(size_t, sizes, sizeof sizes / sizeof sizes[0]);
}

ParameterizedTest(size_t *slot_bytes, map, number_and_slot_are_inverse)
{
    begin(*slot_bytes);
    for (size_t index = 0; index < slots_max; index++) {
        cr_assert_eq(free_map_index(&sorted, free_map_slot(&sorted, index)), index);
    }
}

Test(free_map, the_largest_number_of_every_size_is_exact)
{
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        size_t slot_bytes = size_class_slot_bytes(class);
        size_t last = ((size_t)32 << 30) / slot_bytes - 1;
        mbi_free_map_init(&sorted, span, slot_bytes, last + 1, PAGE);
        cr_assert_eq(free_map_index(&sorted, free_map_slot(&sorted, last)), last);
        cr_assert_eq(free_map_index(&sorted, free_map_slot(&sorted, last - 1)), last - 1);
    }
}

Test(free_map, slots_come_back_lowest_first)
{
    begin(64);
    for (size_t index = 5000; index >= 1000; index -= 1000) {
        mbi_free_map_add(&sorted, index);
    }
    uint32_t out[8];
    size_t pages = SIZE_MAX;
    cr_assert_eq(mbi_free_map_take(&sorted, 2, out, &pages), 2);
    cr_assert_eq(out[0], 1000);
    cr_assert_eq(out[1], 2000);
    mbi_free_map_add(&sorted, 3);
    cr_assert_eq(mbi_free_map_take(&sorted, 8, out, &pages), 4);
    cr_assert_eq(out[0], 3);
    cr_assert_eq(out[3], 5000);
    cr_assert_eq(pages, 0);
    cr_assert(mbi_free_map_check(&sorted));
}

static struct page_run next_run(size_t pages_max)
{
    size_t tiles = SIZE_MAX;
    return mbi_free_map_begin_release(&sorted, &tiles, pages_max, false);
}

static void gone(struct page_run run)
{
    mbi_free_map_end_release(&sorted, run);
    for (size_t page = run.begin; page < run.end; page++) {
        mbi_free_map_note_released(&sorted, page);
    }
}

Test(free_map, a_page_goes_when_all_slots_that_overlap_it_are_here)
{
    begin(200); /* page 1 is bytes 4096 to 8191: slots 20 (4000) to 40 (8000) */
    for (size_t index = 20; index < 40; index++) {
        mbi_free_map_add(&sorted, index);
    }
    struct page_run run = next_run(SIZE_MAX);
    cr_assert_eq(run.begin, run.end);
    mbi_free_map_add(&sorted, 40);
    run = next_run(SIZE_MAX);
    cr_assert_eq(run.begin, 1);
    cr_assert_eq(run.end, 2);
    cr_assert_eq(sorted.slots, 0, "nobody may use them meanwhile");
    gone(run);
    cr_assert_eq(sorted.slots, 21);
    cr_assert_eq(sorted.pages_released, 1);
    cr_assert(mbi_free_map_check(&sorted));
    run = next_run(SIZE_MAX);
    cr_assert_eq(run.begin, run.end, "once is enough");
}

enum { HUGE_PAGES = HUGE_PAGE_BYTES / PAGE, COLOUR_PAGES = 3 };

/* A span that begins some pages before a huge page, which has another one behind it; all is here. */
static void begin_huge(size_t slot_bytes)
{
    begin_at(span + HUGE_PAGE_BYTES - COLOUR_PAGES * PAGE, slot_bytes, 2 * HUGE_PAGE_BYTES + 8 * PAGE);
    cr_assert_not(mbi_free_map_can_note_huge(&sorted, span), "before the span");
    cr_assert(mbi_free_map_can_note_huge(&sorted, span + 2 * HUGE_PAGE_BYTES));
    cr_assert_not(mbi_free_map_can_note_huge(&sorted, span + 4 * HUGE_PAGE_BYTES), "beyond what is covered");
    mbi_free_map_note_huge(&sorted, span + HUGE_PAGE_BYTES);
    mbi_free_map_note_huge(&sorted, span + 2 * HUGE_PAGE_BYTES);
    for (size_t index = 0; index < slots_max; index++) {
        mbi_free_map_add(&sorted, index);
    }
}

static struct page_run next_run_or_huge(size_t pages_max)
{
    size_t tiles = SIZE_MAX;
    return mbi_free_map_begin_release(&sorted, &tiles, pages_max, true);
}

static void expect_run(struct page_run run, size_t begin, size_t pages, bool is_huge)
{
    cr_assert_eq(run.begin, begin, "%zu", run.begin);
    cr_assert_eq(run.end - run.begin, pages, "%zu pages", run.end - run.begin);
    cr_assert_eq(run.is_huge, is_huge);
    gone(run);
}

/* More than a run may have otherwise; what is before it ends there. */
Test(free_map, a_huge_page_goes_whole)
{
    begin_huge(1024);
    expect_run(next_run_or_huge(64), 0, COLOUR_PAGES, false);
    expect_run(next_run_or_huge(64), COLOUR_PAGES, HUGE_PAGES, true);
    expect_run(next_run_or_huge(64), COLOUR_PAGES + HUGE_PAGES, HUGE_PAGES, true);
    expect_run(next_run_or_huge(64), COLOUR_PAGES + 2 * HUGE_PAGES, 8 - COLOUR_PAGES, false);
    cr_assert(mbi_free_map_check(&sorted));
}

/* Or it is split, once: because so much may not go, or because a slot in it is in use. */
Test(free_map, a_huge_page_of_which_a_part_goes_is_one_no_more)
{
    begin_huge(1024);
    uint32_t first;
    size_t pages = 0;
    cr_assert_eq(mbi_free_map_take(&sorted, 1, &first, &pages), 1);
    expect_run(next_run_or_huge(64), 1, COLOUR_PAGES - 1, false);
    expect_run(next_run(64), COLOUR_PAGES, 64, true);
    expect_run(next_run_or_huge(64), COLOUR_PAGES + 64, 64, false);
    expect_run(next_run(SIZE_MAX), COLOUR_PAGES + 128, HUGE_PAGES - 128, false);
    cr_assert(mbi_free_map_check(&sorted));
}

/* A child of fork may have shared it at first, and then the kernel did not split it. */
Test(free_map, a_huge_page_is_split_a_few_times_where_there_was_a_fork)
{
    begin_huge(1024);
    huge_note_fork();
    gone(next_run(COLOUR_PAGES));
    size_t splits = 0;
    for (size_t page = 0; page < HUGE_PAGES; page++) {
        bool is_huge = page < 128 && is_power_of_two(page + 1);
        splits += is_huge;
        expect_run(next_run(1), COLOUR_PAGES + page, 1, is_huge);
    }
    cr_assert_eq(splits, 8);
    expect_run(next_run_or_huge(64), COLOUR_PAGES + HUGE_PAGES, HUGE_PAGES, true);
    cr_assert(mbi_free_map_check(&sorted));
}

/* Its pages came into use again, as small ones, and so it goes in one call. */
Test(free_map, a_huge_page_that_is_free_again_after_a_fork_goes_whole)
{
    begin_huge(1024);
    huge_note_fork();
    gone(next_run(COLOUR_PAGES));
    expect_run(next_run(8), COLOUR_PAGES, 8, true);
    uint32_t taken[(COLOUR_PAGES + 8) * 4];
    size_t pages = COLOUR_PAGES + 8;
    cr_assert_eq(mbi_free_map_take(&sorted, pages * 4, taken, &pages), sizeof taken / sizeof taken[0]);
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        mbi_free_map_add(&sorted, taken[i]);
    }
    gone(next_run_or_huge(COLOUR_PAGES));
    struct page_run run = next_run_or_huge(64);
    cr_assert_eq(run.end - run.begin, HUGE_PAGES);
    cr_assert(run.is_huge);
    mbi_free_map_end_release(&sorted, run);
    mbi_free_map_try_again(&sorted, run); /* refused: it is none from here on */
    expect_run(next_run_or_huge(64), COLOUR_PAGES, 64, false);
    cr_assert(mbi_free_map_check(&sorted));
}

/* A part that is refused is tried again without another split. */
Test(free_map, a_part_of_a_huge_page_that_was_refused_is_none)
{
    begin_huge(1024);
    huge_note_fork();
    gone(next_run(COLOUR_PAGES));
    struct page_run run = next_run(8);
    cr_assert(run.is_huge);
    mbi_free_map_end_release(&sorted, run);
    mbi_free_map_try_again(&sorted, run);
    expect_run(next_run(8), COLOUR_PAGES, 8, false);
    cr_assert(mbi_free_map_check(&sorted));
}

Test(free_map, a_huge_page_with_a_slot_in_use_goes_in_parts)
{
    begin_at(span, 1024, HUGE_PAGE_BYTES);
    mbi_free_map_note_huge(&sorted, span);
    for (size_t index = 0; index < slots_max - 1; index++) {
        mbi_free_map_add(&sorted, index);
    }
    expect_run(next_run_or_huge(64), 0, 64, true);
    expect_run(next_run_or_huge(64), 64, 64, false);
    cr_assert(mbi_free_map_check(&sorted));
}

/* What the kernel refused as a whole is tried once more, in pieces. */
Test(free_map, a_huge_page_that_was_refused_is_tried_in_pieces)
{
    begin_huge(1024);
    gone(next_run_or_huge(64));
    struct page_run run = next_run_or_huge(64);
    cr_assert_eq(run.end - run.begin, HUGE_PAGES);
    mbi_free_map_end_release(&sorted, run);
    mbi_free_map_try_again(&sorted, run);
    expect_run(next_run_or_huge(64), COLOUR_PAGES, 64, false);
    cr_assert(mbi_free_map_check(&sorted));
}

/* Slot 40 overlaps both: it is away with page 2 when the other slots of page 1 are taken. */
Test(free_map, a_page_is_used_again_while_its_neighbour_goes)
{
    begin(200);
    for (size_t index = 20; index <= 61; index++) {
        mbi_free_map_add(&sorted, index);
    }
    gone(next_run(1));
    struct page_run run = next_run(1);
    cr_assert_eq(run.begin, 2);
    uint32_t out[64];
    size_t pages = 1;
    cr_assert_eq(mbi_free_map_take(&sorted, 64, out, &pages), 20);
    cr_assert_eq(pages, 1);
    cr_assert_eq(out[19], 39);
    gone(run);
    cr_assert(mbi_free_map_check(&sorted));
    pages = 0;
    cr_assert_eq(mbi_free_map_take(&sorted, 64, out, &pages), 0);
    pages = 1;
    cr_assert_eq(mbi_free_map_take(&sorted, 64, out, &pages), 22);
    cr_assert_eq(out[0], 40);
    cr_assert(mbi_free_map_check(&sorted));
}

Test(free_map, a_run_is_as_long_as_allowed_and_goes_on_behind)
{
    begin(512);
    for (size_t index = 0; index < 8 * 40; index++) {
        mbi_free_map_add(&sorted, index);
    }
    struct page_run run = next_run(30);
    cr_assert_eq(run.begin, 0);
    cr_assert_eq(run.end, 30);
    gone(run);
    run = next_run(30);
    cr_assert_eq(run.begin, 30);
    cr_assert_eq(run.end, 40);
    mbi_free_map_end_release(&sorted, run);
    cr_assert_eq(sorted.pages_released, 30);
    cr_assert(mbi_free_map_check(&sorted));
}

Test(free_map, pages_are_found_in_whatever_order_their_slots_came)
{
    static const size_t filled[] = { 50, 2, 99 };
    static const size_t found[] = { 2, 50, 99 };
    begin(512);
    for (size_t i = 0; i < 3; i++) {
        for (size_t index = 8 * filled[i]; index < 8 * (filled[i] + 1); index++) {
            mbi_free_map_add(&sorted, index);
        }
    }
    for (size_t i = 0; i < 3; i++) {
        struct page_run run = next_run(SIZE_MAX);
        cr_assert_eq(run.begin, found[i]);
        cr_assert_eq(run.end, found[i] + 1);
        gone(run);
    }
    cr_assert_eq(next_run(SIZE_MAX).end, 0);
}

Test(free_map, no_more_pages_come_back_than_allowed)
{
    begin(512);
    for (size_t index = 0; index < 32; index++) {
        mbi_free_map_add(&sorted, index);
    }
    gone(next_run(2)); /* pages 0 and 1 of four */
    uint32_t out[32];
    size_t pages = 1;
    cr_assert_eq(mbi_free_map_take(&sorted, 32, out, &pages), 24);
    cr_assert_eq(pages, 1);
    cr_assert_eq(out[7], 7);
    cr_assert_eq(out[8], 16, "page 1 stays");
    pages = 0;
    cr_assert_eq(mbi_free_map_take(&sorted, 32, out, &pages), 0);
    pages = 1;
    cr_assert_eq(mbi_free_map_take(&sorted, 32, out, &pages), 8);
    cr_assert(mbi_free_map_check(&sorted));
}

Test(free_map, the_rest_of_a_page_is_asked_for_once)
{
    begin(200);
    cr_assert_eq(mbi_free_map_page_rest(&sorted, 30, 6000), 0, "nothing is here");
    for (size_t index = 20; index < 30; index++) {
        mbi_free_map_add(&sorted, index);
    }
    cr_assert_eq(mbi_free_map_page_rest(&sorted, 30, 6000), 11, "up to slot 40");
    for (size_t index = 30; index < 41; index++) {
        mbi_free_map_add(&sorted, index);
    }
    cr_assert_eq(mbi_free_map_page_rest(&sorted, 41, 6000), 0, "nobody had the page of its end");
    cr_assert_eq(mbi_free_map_page_rest(&sorted, 41, 8200), 21, "up to slot 61");
    begin(512);
    mbi_free_map_add(&sorted, 7);
    cr_assert_eq(mbi_free_map_page_rest(&sorted, 8, 4096), 0, "it ends with a page");
}

Test(free_map, tiles_are_counted_by_how_full_they_are)
{
    begin(64); /* 1024 slots a tile */
    uint64_t bins[OCCUPANCY_BINS] = { 0 };
    for (size_t index = 0; index < 1024; index++) {
        mbi_free_map_add(&sorted, index);
    }
    for (size_t index = 1024; index < 1024 + 512; index++) {
        mbi_free_map_add(&sorted, index);
    }
    mbi_free_map_count_occupancy(&sorted, 3 * 1024 + 100, 0, 4, bins);
    cr_assert_eq(mbi_free_map_tiles(&sorted, 3 * 1024 + 100), 4);
    cr_assert_eq(bins[0], 1);
    cr_assert_eq(bins[5], 1);
    cr_assert_eq(bins[10], 2);
}

/* How many pages of a slot are released; they are in use from now on when it is taken. */
static size_t pages_of_slot(bool released[], size_t index, size_t slot_bytes, bool taken)
{
    size_t count = 0;
    for (size_t page = index * slot_bytes / PAGE; page <= ((index + 1) * slot_bytes - 1) / PAGE;
         page++) {
        count += released[page];
        released[page] = released[page] && !taken;
    }
    return count;
}

/*
 * Whether a slot has to be given that needs so many pages back, where so many more may come back. A
 * slot of one page at most may be passed over for want of pages only; a larger one while there are
 * fewer than one could need.
 */
static bool has_to_be_given(size_t pages, size_t pages_left, size_t slot_bytes)
{
    size_t pages_max = (slot_bytes - 1) / PAGE + 2;
    return pages <= pages_left && (slot_bytes <= PAGE || pages == 0 || pages_left >= pages_max);
}

/* Slots come and go at random, pages are released and taken back: the walker agrees each time. */
ParameterizedTestParameters(map, agrees_with_a_plain_model)
{
    static size_t sizes[] = { 8, 24, 64, 200, 264, 512, 520, 1000, 1152, 1280, 3072, 4096, 5120,
                              6144, 7168, 9216, 10240, 12288, 20480, 28672, 32768 };
    return cr_make_param_array(size_t, sizes, sizeof sizes / sizeof sizes[0]);
}

ParameterizedTest(size_t *slot_bytes, map, agrees_with_a_plain_model)
{
    static bool here[SPAN_BYTES / 8];
    static bool released[SPAN_BYTES / PAGE];
    uint64_t random = *slot_bytes;
    begin(*slot_bytes);
    for (int turn = 0; turn < 300; turn++) {
        size_t start = random_below(&random, slots_max);
        for (size_t index = start; index < slots_max && index < start + 2000; index++) {
            if (!here[index]) {
                mbi_free_map_add(&sorted, index);
                here[index] = true;
            }
        }
        struct page_run run = next_run(1 + random_below(&random, 20));
        for (size_t page = run.begin; page < run.end; page++) {
            cr_assert_not(released[page]);
            released[page] = true;
            for (size_t index = page * PAGE / *slot_bytes;
                 index < slots_max && index * *slot_bytes < (page + 1) * PAGE; index++) {
                cr_assert(here[index], "slot %zu overlaps page %zu and is not free", index, page);
            }
        }
        if (run.begin != run.end) {
            gone(run);
        }
        static const size_t allowances[] = { SIZE_MAX, SIZE_MAX, 0, 1, 3 };
        size_t allowed = allowances[random_below(&random, 5)];
        size_t wanted = random_below(&random, 1500);
        uint32_t out[1500];
        size_t pages = allowed;
        size_t retaken = 0;
        size_t taken = mbi_free_map_take(&sorted, wanted, out, &pages);
        for (size_t i = 0; i < taken; i++) {
            cr_assert(here[out[i]]);
            cr_assert(i == 0 || allowed != SIZE_MAX || out[i] > out[i - 1], "lowest first");
            here[out[i]] = false;
            retaken += pages_of_slot(released, out[i], *slot_bytes, true);
        }
        cr_assert_eq(pages, retaken);
        cr_assert_leq(pages, allowed);
        for (size_t index = 0; index < slots_max && taken < wanted; index++) {
            size_t needs = pages_of_slot(released, index, *slot_bytes, false);
            cr_assert(!here[index] || !has_to_be_given(needs, allowed - pages, *slot_bytes),
                      "slot %zu was not taken", index);
        }
        cr_assert(mbi_free_map_check(&sorted));
    }
}

/*
 * Under a limit that is used up, most of the heap has nothing to give: there its bits, which are
 * made unreadable here, are not looked at, however many tiles there are.
 */
Test(free_map, what_has_nothing_to_give_is_not_looked_at)
{
    enum { BYTES = 64 << 20, SLOT = 16, PER_PAGE = PAGE / SLOT, PER_BLOCK = 16 * PER_PAGE };
    begin_at(span, SLOT, BYTES);
    /* Each tile's first page is live, but for a slot of the last tile's; the others go. */
    for (size_t index = 0; index < slots_max; index++) {
        if (index % PER_BLOCK >= PER_PAGE) {
            mbi_free_map_add(&sorted, index);
        }
    }
    for (struct page_run run = next_run(SIZE_MAX); run.end != 0; run = next_run(SIZE_MAX)) {
        gone(run);
    }
    size_t ready = slots_max - PER_BLOCK + 5;
    mbi_free_map_add(&sorted, ready);
    cr_assert(mbi_free_map_check(&sorted));

    size_t unread_bytes = round_down(ready / 8, PAGE);
    cr_assert_eq(mprotect(sorted.bits, unread_bytes, PROT_NONE), 0);
    uint32_t out[8];
    size_t pages = 0;
    cr_assert_eq(mbi_free_map_take(&sorted, 8, out, &pages), 1);
    cr_assert_eq(out[0], ready);
    pages = 0;
    cr_assert_eq(mbi_free_map_take(&sorted, 8, out, &pages), 0);
    cr_assert_eq(mprotect(sorted.bits, unread_bytes, PROT_READ | PROT_WRITE), 0);
    pages = 1;
    cr_assert_eq(mbi_free_map_take(&sorted, 8, out, &pages), 8);
    cr_assert_eq(out[0], PER_PAGE);
    cr_assert_eq(pages, 1);
    cr_assert(mbi_free_map_check(&sorted));
}

/* In memory of our own; the tiles [0, 4) were given back, and are sealed. */
static char *begin_sealed_tiles(void)
{
    char *memory = mbi_os_map(SPAN_BYTES);
    cr_assert_not_null(memory);
    begin_at(memory, 200, SPAN_BYTES);
    for (size_t index = 0; index * 200 < 4 * TILE_BYTES; index++) {
        mbi_free_map_add(&sorted, index);
    }
    gone(next_run(SIZE_MAX));
    size_t from = 0;
    struct page_run run = mbi_free_map_begin_seal(&sorted, &from, 5);
    cr_assert_eq(run.begin, run.end, "there are four");
    cr_assert_eq(from, SIZE_MAX);
    from = 0;
    run = mbi_free_map_begin_seal(&sorted, &from, 4);
    cr_assert_eq(run.end - run.begin, 4 * TILE_BYTES / PAGE);
    cr_assert_eq(sorted.slots, 0, "nobody may use them meanwhile");
    cr_assert(mbi_os_seal(memory, 4 * TILE_BYTES));
    mbi_free_map_end_seal(&sorted, run, true);
    cr_assert_eq(mbi_free_map_seals(), 1);
    cr_assert(mbi_free_map_check(&sorted));
    return memory;
}

Test(free_map, a_sealed_tile_is_writable_before_its_slots_are_taken)
{
    char *memory = begin_sealed_tiles();
    uint32_t out[1400];
    size_t all = sorted.slots;
    for (size_t taken = 0; taken < all;) {
        size_t pages = SIZE_MAX;
        size_t got = mbi_free_map_take(&sorted, 100, out, &pages);
        cr_assert_gt(got, 0);
        cr_assert_eq(out[0], taken, "lowest first");
        for (size_t i = 0; i < got; i++) {
            memset(memory + out[i] * 200, 1, 200); /* also where it ends in the next tile */
        }
        taken += got;
        cr_assert(mbi_free_map_check(&sorted));
    }
    cr_assert_eq(mbi_free_map_seals(), 0);
}

/* Slots of several pages, of which one ends in the next tile; each is whole when it is taken. */
Test(free_map, a_sealed_tile_of_large_slots_is_writable_before_they_are_taken)
{
    enum { SLOT = 20480, SLOTS = SPAN_BYTES / SLOT };
    char *memory = mbi_os_map(SPAN_BYTES);
    cr_assert_not_null(memory);
    begin_at(memory, SLOT, SPAN_BYTES);
    for (size_t index = 0; index < SLOTS; index++) {
        mbi_free_map_add(&sorted, index);
    }
    gone(next_run(SIZE_MAX));
    cr_assert_eq(sorted.pages_released, SLOTS * SLOT / PAGE);
    size_t from = 0;
    struct page_run run = mbi_free_map_begin_seal(&sorted, &from, 1);
    cr_assert_eq(run.end - run.begin, SLOTS * SLOT / TILE_BYTES * TILE_BYTES / PAGE);
    cr_assert(mbi_os_seal(memory, run.end * PAGE));
    mbi_free_map_end_seal(&sorted, run, true);
    cr_assert(mbi_free_map_check(&sorted));
    for (size_t index = 0; index < SLOTS; index++) {
        uint32_t out[1];
        size_t pages = SIZE_MAX;
        cr_assert_eq(mbi_free_map_take(&sorted, 1, out, &pages), 1);
        cr_assert_eq(out[0], index, "lowest first");
        cr_assert_eq(pages, SLOT / PAGE);
        memset(memory + index * SLOT, 1, SLOT);
        cr_assert(mbi_free_map_check(&sorted));
    }
    cr_assert_eq(mbi_free_map_seals(), 0);
}

/* Pages that cannot be made writable are passed over, and others serve. */
Test(free_map, who_may_not_unseal_takes_what_is_open)
{
    char *memory = begin_sealed_tiles();
    for (size_t index = 1400; index < 1500; index++) {
        mbi_free_map_add(&sorted, index);
    }
    cr_assert_eq(munmap(memory, 4 * TILE_BYTES), 0); /* so that mprotect fails */
    uint32_t out[200];
    size_t pages = SIZE_MAX;
    cr_assert_eq(mbi_free_map_take(&sorted, 200, out, &pages), 100);
    cr_assert_eq(out[0], 1400);
    cr_assert_eq(pages, 0);
    cr_assert(sorted.unseal_refused);
    cr_assert(mbi_free_map_check(&sorted));
    cr_assert_eq(mbi_free_map_take(&sorted, 200, out, &pages), 0);
    cr_assert_eq(mbi_free_map_seals(), 1);
}

/* Also where the lowest open tile has only a slot that ends in a sealed one. */
Test(free_map, who_may_not_unseal_is_not_stopped_by_a_slot_that_ends_there)
{
    enum { SLOT = 200, ENDS_THERE = 2 * TILE_BYTES / SLOT, SEALED = 2 };
    enum { FURTHER = 100 * PAGE / SLOT, FURTHER_END = 101 * PAGE / SLOT + 1 };
    char *memory = mbi_os_map(SPAN_BYTES);
    cr_assert_not_null(memory);
    begin_at(memory, SLOT, SPAN_BYTES);
    for (size_t index = ENDS_THERE; index * SLOT < 4 * TILE_BYTES; index++) {
        mbi_free_map_add(&sorted, index);
    }
    gone(next_run(SIZE_MAX));
    size_t from = 0;
    struct page_run run = mbi_free_map_begin_seal(&sorted, &from, SEALED);
    cr_assert_eq(run.end - run.begin, SEALED * TILE_BYTES / PAGE);
    mbi_free_map_end_seal(&sorted, run, true);
    /* All of a page of an open tile, which was given back and can be used. */
    for (size_t index = FURTHER; index < FURTHER_END; index++) {
        mbi_free_map_add(&sorted, index);
    }
    gone(next_run(SIZE_MAX));
    cr_assert(mbi_free_map_check(&sorted));

    cr_assert_eq(munmap(memory, 4 * TILE_BYTES), 0); /* so that mprotect fails */
    uint32_t out[1];
    size_t pages = SIZE_MAX;
    cr_assert_eq(mbi_free_map_take(&sorted, 1, out, &pages), 1, "of what is open");
    cr_assert_geq(out[0], FURTHER);
    cr_assert(sorted.unseal_refused);
    cr_assert(mbi_free_map_check(&sorted));
}

Test(free_map, nothing_is_taken_where_nothing_is)
{
    begin(64);
    uint32_t out[1];
    size_t pages = SIZE_MAX;
    cr_assert_eq(mbi_free_map_take(&sorted, 1, out, &pages), 0);
    cr_assert_eq(pages, 0);
}

/* Each level of a set leads to the next bit. Words of tiles that do not exist are not looked at. */
Test(free_map, sets_of_tiles_know_the_next_one)
{
    static const size_t members[] = { 0, 63, 64, 4095, 4096, 5000, 262143, 262144, TILES_MAX - 1 };
    enum { COUNT = sizeof members / sizeof members[0] };
    cr_assert_leq(tile_index_bytes(448), 4096, "28 MiB of a span need a page");
    struct tile_index *tiles = calloc(1, tile_index_bytes(TILES_MAX));
    for (size_t i = 0; i < COUNT; i++) {
        tile_index_assign(tiles, TILES_READY, members[i], true);
    }
    cr_assert(tile_index_check(tiles, TILES_READY, TILES_MAX));
    for (size_t i = 0; i < COUNT; i++) {
        size_t after = i != 0 ? members[i - 1] + 1 : 0;
        cr_assert_eq(tile_index_next(tiles, TILES_READY, after), members[i]);
        cr_assert_eq(tile_index_next(tiles, TILES_READY, members[i]), members[i]);
        cr_assert_eq(tile_index_next(tiles, TILES_HERE, members[i]), TILES_MAX);
        cr_assert_eq(tile_index_lowest(tiles, TILES_READY), members[i]);
        tile_index_assign(tiles, TILES_READY, members[i], false);
    }
    cr_assert_eq(tile_index_lowest(tiles, TILES_READY), TILES_MAX);
    free(tiles);

    tiles = calloc(1, tile_index_bytes(64)); /* a tool that watches memory sees what lies behind */
    tile_index_assign(tiles, TILES_READY, 5, true);
    cr_assert_eq(tile_index_next(tiles, TILES_READY, 6), TILES_MAX);
    cr_assert_eq(tile_index_next(tiles, TILES_HERE, 0), TILES_MAX);
    cr_assert(tile_index_check(tiles, TILES_READY, 64));
    free(tiles);
}

/* The walker that other tests end with: each of its equations, broken once. */
Test(free_map, the_check_finds_what_is_wrong, .init = cr_redirect_stderr)
{
    begin(64);
    for (size_t index = 0; index < PAGE / 64; index++) {
        mbi_free_map_add(&sorted, index);
    }
    cr_assert(mbi_free_map_check(&sorted));

    struct tile *tile = tile_index_at(sorted.tiles, 0);
    tile->slots++;
    cr_assert_not(mbi_free_map_check(&sorted), "a tile's count");
    tile->slots--;
    tile->ready--;
    cr_assert_not(mbi_free_map_check(&sorted), "a tile's count of slots on pages in use");
    tile->ready++;
    sorted.slots++;
    cr_assert_not(mbi_free_map_check(&sorted), "the count of all");
    sorted.slots--;
    for (enum tile_set set = 0; set < TILE_SETS; set++) {
        uint64_t *levels[] = { &sorted.tiles->groups[0].members[set], &sorted.tiles->groups[0].middle[set],
                               &sorted.tiles->top[set][0] };
        for (size_t level = 0; level < sizeof levels / sizeof levels[0]; level++) {
            *levels[level] ^= 1;
            cr_assert_not(mbi_free_map_check(&sorted), "level %zu of set %d", level, (int)set);
            *levels[level] ^= 1;
        }
    }
    cr_assert(mbi_free_map_check(&sorted));

    size_t tiles_max = SIZE_MAX;
    struct page_run run = mbi_free_map_begin_release(&sorted, &tiles_max, 1, false);
    cr_assert_eq(run.end - run.begin, 1);
    mbi_free_map_end_release(&sorted, run);
    mbi_free_map_note_released(&sorted, run.begin);
    cr_assert(mbi_free_map_check(&sorted));
    sorted.pages_released++;
    cr_assert_not(mbi_free_map_check(&sorted), "the count of pages");
    sorted.pages_released--;
    sorted.bits[0] &= ~(uint64_t)1;
    tile->slots--;
    sorted.slots--;
    cr_assert_not(mbi_free_map_check(&sorted), "a slot of a page that was given back");
}
