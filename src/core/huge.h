/*
 * huge: what MB_HUGEPAGE changes.
 *
 * Ladder: above config. Callers: region, pool_carve, uncharge, startup.
 *
 * With MB_HUGEPAGE=1 the dense spans ask for huge pages. The kernel gives one only where all of it
 * is mapped and committed. So a span is mapped from its first byte on, colour included; a block is
 * at least a huge page, and no more is mapped at a time; no tile is sealed, as that maps it in
 * small pages; and nothing decays by default, as single pages that go split huge ones. Otherwise
 * the library asks for small pages: huge ones would bring pages back that were given back.
 */
#ifndef MEMORYBUCKET_CORE_HUGE_H
#define MEMORYBUCKET_CORE_HUGE_H

#include "core/config.h"
#include "core/region.h"

/* Of x86-64, and of aarch64 with pages of 4 KiB. */
#define HUGE_PAGE_BYTES (2 * MIB)

/* The size of the pages to ask for, in a span and in a free map. */
static inline enum os_pages huge_pages_of_span(enum span_name span)
{
    if (!mbi_config.huge_pages) {
        return OS_PAGES_SMALL;
    }
    return span == SPAN_DENSE ? OS_PAGES_HUGE : OS_PAGES_AS_SET;
}

static inline enum os_pages huge_pages_of_map(void)
{
    return mbi_config.huge_pages ? OS_PAGES_AS_SET : OS_PAGES_SMALL;
}

/* How much of a span's beginning is never mapped. */
static inline size_t huge_unmapped_bytes(enum span_name span, size_t colour_bytes)
{
    return huge_pages_of_span(span) == OS_PAGES_HUGE ? 0 : colour_bytes;
}

/* Whether an extent may be mapped ahead of need (mbi_extent_grow). */
static inline bool huge_allows_pieces(const struct extent *extent)
{
    return extent->pages != OS_PAGES_HUGE;
}

static inline size_t huge_block_bytes_min(void)
{
    return mbi_config.huge_pages ? HUGE_PAGE_BYTES : mbi_os_page_bytes();
}

static inline bool huge_allows_seals(void)
{
    return !mbi_config.huge_pages;
}

/* Turns MB_HUGEPAGE off, with a message, without a dense tier or where the kernel refuses. */
void mbi_huge_init(void);

#endif
