/* huge: whether there can be any, and how they come and are split. */
#include "core/huge.h"

#include <errno.h>

_Atomic bool mbi_huge_shared;

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

/*
 * To look for a huge page the kernel may move other memory about, while a pool's lock is held. So
 * after the kernel had none, requests are left out: one, then 3, 7, and up to LEFT_OUT_MAX.
 *
 * relaxed [HUGE-MISS]: pools that count at the same time leave out a request more, or one less.
 */
enum { LEFT_OUT_MAX = 255 };
static struct {
    _Atomic uint16_t now;  /* are still left out */
    _Atomic uint16_t next; /* were left out since the kernel had one, the last time */
} left_out;

static bool is_left_out(void)
{
    uint16_t now = atomic_load_explicit(&left_out.now, memory_order_relaxed); /* [HUGE-MISS] */
    if (now != 0) {
        atomic_store_explicit(&left_out.now, (uint16_t)(now - 1),
                              memory_order_relaxed); /* [HUGE-MISS] */
    }
    return now != 0;
}

static void note_taken(bool whole)
{
    uint16_t before = atomic_load_explicit(&left_out.next, memory_order_relaxed); /* [HUGE-MISS] */
    uint16_t next = whole ? 0 : (uint16_t)size_min(before * 2U + 1, LEFT_OUT_MAX);
    if (!whole || before != 0) {
        atomic_store_explicit(&left_out.now, next, memory_order_relaxed);  /* [HUGE-MISS] */
        atomic_store_explicit(&left_out.next, next, memory_order_relaxed); /* [HUGE-MISS] */
    }
}

/*
 * Of a huge page of which the first byte was written: whether it came as one. A kernel that refuses
 * mincore says no. So hardly any is asked for there; those that come are not noted, and not split.
 */
static bool came_whole(const char *huge_page)
{
    const char *last = huge_page + HUGE_PAGE_BYTES - HUGE_SMALL_PAGE_BYTES;
    return mbi_os_resident_bytes(last, HUGE_SMALL_PAGE_BYTES) != 0;
}

MBI_SELDOM size_t mbi_huge_take(char *start, size_t bytes)
{
    int saved_errno = errno;
    size_t whole_bytes = 0;
    if (!is_left_out() && mbi_os_ask_for_pages(start, bytes, OS_PAGES_HUGE)) {
        bool whole = true;
        for (size_t done = 0; whole && done < bytes; done += HUGE_PAGE_BYTES) {
            /* relaxed [FRESH]: no other thread has the memory. An exchange writes, always. */
            (void)atomic_exchange_explicit((_Atomic char *)(start + done), 0,
                                           memory_order_relaxed);
            whole = came_whole(start + done);
            whole_bytes += whole ? HUGE_PAGE_BYTES : 0;
        }
        note_taken(whole);
        (void)mbi_os_ask_for_pages(start, bytes, OS_PAGES_SMALL);
    }
    errno = saved_errno;
    return whole_bytes;
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

/*
 * The kernel gave back what lies before the first locked page, and there is nothing to split there.
 * So it is asked at the end. Where that page is locked itself, too, the rest stays in one until
 * memory is short.
 */
MBI_SELDOM void mbi_huge_split_refused(char *start, size_t bytes)
{
    uintptr_t begin = round_up((uintptr_t)start, HUGE_PAGE_BYTES);
    uintptr_t end = (uintptr_t)start + bytes;
    size_t page_bytes = mbi_os_page_bytes();
    for (; begin + HUGE_PAGE_BYTES <= end; begin += HUGE_PAGE_BYTES) {
        mbi_os_split((char *)begin + HUGE_PAGE_BYTES - page_bytes, page_bytes);
    }
}
