/*
 * huge: where there are huge pages, by MB_HUGEPAGE, and what they change.
 *
 * Ladder: above region. Callers: region, free_map, pool_carve, trim, uncharge, startup, fork.
 *
 * By default (MB_HUGEPAGE=large) a pool that has 32 MiB takes a whole huge page at a time: it
 * commits up to the end of the next one, and has the kernel bring that into memory at once. So huge
 * pages add a 16th to a pool at most, and a 32nd on the average. The spans ask for small pages
 * before and after. So khugepaged makes no huge pages, which would bring back what was given back,
 * and a span is one mapping, as it would be without. All else is as without: decay, seals, trim.
 * Slots that are larger than a small page take none: what an object does not use of its slot would
 * come into memory, too.
 *
 * With MB_HUGEPAGE=1 the spans themselves ask for huge pages. The kernel gives one only where all
 * of it is mapped and committed. So a span is mapped from its first byte on, colour included; a
 * block is at least a huge page, and no more is mapped at a time; no tile is sealed, as that maps
 * it in small pages; and nothing decays by default, as single pages that go split huge ones.
 */
#ifndef MEMORYBUCKET_CORE_HUGE_H
#define MEMORYBUCKET_CORE_HUGE_H

#include "core/config.h"
#include "core/region.h"

/* Of x86-64, and of aarch64 with pages of 4 KiB; larger small pages have larger huge ones. */
enum { HUGE_SMALL_PAGE_BYTES = 4096 };
#define HUGE_PAGE_BYTES (2 * MIB)

/* What a pool has when it begins to take huge pages. */
#define HUGE_POOL_BYTES (16 * HUGE_PAGE_BYTES)

/* Whether a large pool takes huge pages, of slots and in blocks of so many bytes. */
bool mbi_huge_fits(size_t slot_bytes, size_t block_bytes_max);

/*
 * Whether a pool takes a huge page for what it commits next. `pool_bytes` is all that it ever
 * committed, and a block may have up to `block_bytes_max` (a limit makes them smaller).
 */
static inline bool huge_is_next(size_t slot_bytes, size_t pool_bytes, size_t block_bytes_max)
{
    return pool_bytes >= HUGE_POOL_BYTES && mbi_huge_fits(slot_bytes, block_bytes_max);
}

/* Whether any page may be huge: else the free maps know which ones are (core/free_map.h). */
static inline bool huge_may_be_anywhere(void)
{
    return mbi_config.huge_pages == HUGE_IN_ALL_POOLS;
}

/*
 * Brings whole huge pages into memory, of which nothing is in memory yet: mapped, committed, and
 * no thread's. Returns how many bytes came so. Where the kernel has none, small ones come as they
 * are touched, and of the next requests some are left out. Preserves errno.
 */
size_t mbi_huge_take(char *start, size_t bytes);

/*
 * Called before pages are given back. The kernel keeps what is given back of a huge page until all
 * of it is, or memory is short: so those at the ends, of which a part goes, are split first.
 */
void mbi_huge_split_ends(char *start, size_t bytes);

/*
 * The same for whole huge pages of a range that the kernel refused, as a small page of it is locked
 * in memory, and that goes in pieces now.
 */
void mbi_huge_split_refused(char *start, size_t bytes);

/*
 * The process has forked, or is a child of fork: another one may share any huge page, and then the
 * kernel does not split it. Told before fork closes the gate (core/lock.h), which waits for the
 * step of a thread that did not see it.
 */
extern MBI_HIDDEN _Atomic bool mbi_huge_shared;

static inline void huge_note_fork(void)
{
    if (!flag_is_set(&mbi_huge_shared)) { /* else no page of the parent's is written to */
        flag_set(&mbi_huge_shared, true);
    }
}

static inline bool huge_may_be_shared(void)
{
    return flag_is_set(&mbi_huge_shared);
}

/* The size of the pages to ask for, in a span and in a free map. */
static inline enum os_pages huge_pages_of_span(void)
{
    return mbi_config.huge_pages == HUGE_IN_ALL_POOLS ? OS_PAGES_HUGE : OS_PAGES_SMALL;
}

static inline enum os_pages huge_pages_of_map(void)
{
    return mbi_config.huge_pages == HUGE_IN_ALL_POOLS ? OS_PAGES_AS_SET : OS_PAGES_SMALL;
}

/* How much of a span's beginning is never mapped. */
static inline size_t huge_unmapped_bytes(size_t colour_bytes)
{
    return huge_pages_of_span() == OS_PAGES_HUGE ? 0 : colour_bytes;
}

/* Whether an extent may be mapped ahead of need (mbi_extent_grow). */
static inline bool huge_allows_pieces(const struct extent *extent)
{
    return extent->pages != OS_PAGES_HUGE;
}

static inline size_t huge_block_bytes_min(void)
{
    return mbi_config.huge_pages == HUGE_IN_ALL_POOLS ? HUGE_PAGE_BYTES : mbi_os_page_bytes();
}

static inline bool huge_allows_seals(void)
{
    return mbi_config.huge_pages != HUGE_IN_ALL_POOLS;
}

/* Turns MB_HUGEPAGE=1 off, with a message, without a dense tier or where the kernel refuses. */
void mbi_huge_init(void);
static inline void huge_init(void)
{
    if (mbi_config.huge_pages == HUGE_IN_ALL_POOLS) {
        mbi_huge_init();
    }
}

#endif
