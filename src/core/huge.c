/* huge: whether there can be any, and how they come and are split. */
#include "core/huge.h"

#include <errno.h>

MBI_SELDOM void mbi_huge_init(void)
{
    void *sample = mbi_os_reserve(HUGE_PAGE_BYTES);
    if (mbi_region_span(0, SPAN_DENSE) == NULL) {
        mbi_message("MB_HUGEPAGE=1: no huge pages, as the address space has no room for them");
        mbi_config.huge_pages = HUGE_NEVER;
    } else if (sample != NULL
               && !mbi_os_ask_for_pages(sample, HUGE_PAGE_BYTES, OS_PAGES_HUGE)) {
        /* A number: strerror may allocate, and this may be inside the first malloc. */
        mbi_message("MB_HUGEPAGE=1: no huge pages, as the kernel refuses (errno %d)", errno);
        mbi_config.huge_pages = HUGE_NEVER;
    }
    if (sample != NULL) {
        mbi_os_unreserve(sample, HUGE_PAGE_BYTES);
    }
    if (mbi_config.huge_pages == HUGE_IN_ALL_POOLS && !mbi_config_decay_is_given) {
        mbi_config.decay_ms = -1;
    }
}

MBI_SELDOM bool mbi_huge_fits(size_t slot_bytes, size_t block_bytes_max)
{
    return mbi_config.huge_pages == HUGE_IN_LARGE_POOLS && slot_bytes <= HUGE_SMALL_PAGE_BYTES
           && block_bytes_max >= HUGE_PAGE_BYTES && mbi_os_page_bytes() == HUGE_SMALL_PAGE_BYTES;
}

MBI_SELDOM void mbi_huge_take(char *start, size_t bytes)
{
    int saved_errno = errno;
    if (mbi_os_ask_for_pages(start, bytes, OS_PAGES_HUGE)) {
        for (size_t done = 0; done < bytes; done += HUGE_PAGE_BYTES) {
            /* relaxed [FRESH]: no other thread has the memory. An exchange writes, always. */
            (void)atomic_exchange_explicit((_Atomic char *)(start + done), 0,
                                           memory_order_relaxed);
        }
        (void)mbi_os_ask_for_pages(start, bytes, OS_PAGES_SMALL);
    }
    errno = saved_errno;
}

MBI_SELDOM void mbi_huge_split_ends(char *start, size_t bytes)
{
    uintptr_t begin = (uintptr_t)start;
    uintptr_t end = begin + bytes;
    uintptr_t first_whole = round_up(begin, HUGE_PAGE_BYTES);
    uintptr_t last_whole = round_down(end, HUGE_PAGE_BYTES);
    if (first_whole > last_whole) { /* all in one */
        mbi_os_split(start, bytes);
        return;
    }
    if (begin != first_whole) {
        mbi_os_split(start, first_whole - begin);
    }
    if (end != last_whole) {
        mbi_os_split((char *)last_whole, end - last_whole);
    }
}
