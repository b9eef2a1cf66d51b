/*
 * huge: what MB_HUGEPAGE changes.
 *
 * Ladder: above config. Callers: region, pool_carve, uncharge, startup.
 *
 * With MB_HUGEPAGE=1 the dense spans ask for huge pages. The kernel gives one only where all of it
 * is mapped and committed. So a span is mapped from its first byte on, colour included; a block is
 * at least a huge page, and no more is mapped at a time; and no tile is sealed, as that maps it
 * anew, in small pages. Nothing decays by default: giving single pages back would split the huge
 * ones. Without it the library asks for small pages only: huge ones that the kernel makes by itself
 * would bring back pages that were given back.
 */
#ifndef MEMORYBUCKET_CORE_HUGE_H
#define MEMORYBUCKET_CORE_HUGE_H

#include "core/config.h"
#include "core/region.h"

/* Of x86-64, and of aarch64 with pages of 4 KiB. */
#define HUGE_PAGE_BYTES (2 * MIB)

/* Of what size the kernel shall make the pages of a span, and of a free map. */
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

/* Whether more of an extent is mapped than is needed, in order to be called seldom. */
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

/* Without a dense tier, or where the kernel knows no huge pages: says so, and goes on without. */
void mbi_huge_init(void);

#endif
