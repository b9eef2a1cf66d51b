/* copies: the first page of a place, written and read. */
#include "core/copies.h"

#include "core/large.h"

#include <errno.h>

/* Changes with struct copy_calls. */
#define COPY_MAGIC UINT64_C(0x3130796d634f424d)

struct copy_page {
    _Atomic uint64_t magic;
    struct copy_calls calls;
};

/* Written by a constructor, and constant from then on. */
static const struct copy_calls *own_calls;

/* Places whose pages can be read, a bit each. relaxed [COPY-KNOWN]: a hint that spares a call. */
static _Atomic unsigned known;

void mbi_copies_init(const struct copy_calls *own)
{
    own_calls = own;
    mbi_region_find_places();
}

void mbi_copies_publish(void)
{
    struct copy_page *page = (struct copy_page *)(void *)mbi_region.place;
    if (LARGE_IS_ALL_OURS || page == NULL || own_calls == NULL
        || !mbi_os_commit(page, mbi_os_page_bytes())) {
        return;
    }
    page->calls = *own_calls;
    /* release [COPY-MAGIC]: pairs with [COPY-READ]. */
    atomic_store_explicit(&page->magic, COPY_MAGIC, memory_order_release);
}

static bool can_be_read(unsigned number, const struct copy_page *page)
{
    unsigned bit = 1U << number;
    if ((atomic_load_explicit(&known, memory_order_relaxed) & bit) == 0) { /* [COPY-KNOWN] */
        if (!mbi_os_is_readable(page)) {
            return false;
        }
        atomic_fetch_or_explicit(&known, bit, memory_order_relaxed); /* [COPY-KNOWN] */
    }
    return true;
}

static const struct copy_calls *calls_of(unsigned number)
{
    const struct copy_page *page = (const struct copy_page *)(void *)mbi_region_place(number);
    if ((const char *)page == mbi_region.place || !can_be_read(number, page)) {
        return NULL;
    }
    /* acquire [COPY-READ]: pairs with [COPY-MAGIC]. */
    bool is_copy = atomic_load_explicit(&page->magic, memory_order_acquire) == COPY_MAGIC;
    return is_copy ? &page->calls : NULL;
}

MBI_COLD const struct copy_calls *mbi_copies_find(const void *pointer)
{
    unsigned number = mbi_region_place_of(pointer);
    return number < mbi_region_places() ? calls_of(number) : NULL;
}

MBI_COLD const struct copy_calls *mbi_copies_ask(const void *pointer)
{
    const struct copy_calls *owner = NULL;
    int saved_errno = errno;
    for (unsigned number = 0; owner == NULL && number < mbi_region_places(); number++) {
        /* Mapped? Else memcheck complains of the system call that tries to read there. */
        const struct copy_calls *calls =
            mbi_os_is_mapped(mbi_region_place(number)) ? calls_of(number) : NULL;
        owner = calls != NULL && calls->holds(pointer) ? calls : NULL;
    }
    errno = saved_errno;
    return owner;
}
