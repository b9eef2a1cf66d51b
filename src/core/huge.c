/* huge: whether there can be any. */
#include "core/huge.h"

#include <errno.h>

void mbi_huge_init(void)
{
    if (!mbi_config.huge_pages) {
        return;
    }
    void *sample = mbi_os_reserve(HUGE_PAGE_BYTES);
    if (mbi_region_span(0, SPAN_DENSE) == NULL) {
        mbi_message("MB_HUGEPAGE=1: no huge pages, as the address space has no room for them");
        mbi_config.huge_pages = false;
    } else if (sample != NULL
               && !mbi_os_ask_for_pages(sample, HUGE_PAGE_BYTES, OS_PAGES_HUGE)) {
        /* A number: strerror may allocate, and this may be inside the first malloc. */
        mbi_message("MB_HUGEPAGE=1: no huge pages, as the kernel refuses (errno %d)", errno);
        mbi_config.huge_pages = false;
    }
    if (sample != NULL) {
        mbi_os_unreserve(sample, HUGE_PAGE_BYTES);
    }
    if (mbi_config.huge_pages && !mbi_config_decay_is_given) {
        mbi_config.decay_ms = -1;
    }
}
