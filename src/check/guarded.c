/* guarded: hands out the pages, and reports the faults on them. */
#include "check/guarded.h"

#include "check/report.h"
#include "core/os.h"

#include <errno.h>
#include <string.h>
#include <ucontext.h>

/* Constant from mbi_guarded_init on. */
static char *region;
static size_t page_bytes;

/* Under the check lock. */
static uintptr_t *object_of_page; /* the latest; 0: none yet */
static size_t fresh; /* the first page that was never used */
static size_t live;  /* objects on pages */
static size_t turn;  /* objects that came while at least half of the pages were in use */
static struct quarantine freed;

static size_t region_bytes(void)
{
    return (2 * (size_t)GUARDED_PAGES + 1) * page_bytes;
}

static char *page_start(size_t page)
{
    return region + (2 * page + 1) * page_bytes;
}

/* The page that an address lies on, or the page in front of the guard that it lies on. */
static size_t page_of(const void *pointer)
{
    size_t at = ((uintptr_t)pointer - (uintptr_t)region) / page_bytes;
    return at != 0 ? (at - 1) / 2 : 0;
}

bool mbi_guarded_holds(const void *pointer)
{
    return region != NULL && (uintptr_t)pointer - (uintptr_t)region < region_bytes();
}

/* The page to use next; GUARDED_PAGES when this object gets none. */
static size_t choose_page(void)
{
    if (live >= GUARDED_PAGES / 2 && turn++ % GUARDED_SHARE != 0) {
        return GUARDED_PAGES;
    }
    if (fresh < GUARDED_PAGES) {
        return fresh++;
    }
    const struct object *oldest = quarantine_take(&freed);
    if (oldest == NULL) {
        return GUARDED_PAGES;
    }
    size_t page = page_of((const void *)object_address(oldest));
    mbi_ledger_remove(object_address(oldest));
    return page;
}

void *mbi_guarded_take(size_t size_bytes, size_t alignment_bytes, size_t *room_bytes)
{
    size_t bytes = round_up(size_max(size_bytes, 1), alignment_bytes);
    if (region == NULL || bytes > page_bytes) {
        return NULL;
    }
    size_t page = choose_page();
    if (page == GUARDED_PAGES || !mbi_os_commit(page_start(page), page_bytes)) {
        return NULL; /* a page that the kernel refuses is not tried again */
    }
    char *object = page_start(page) + page_bytes - bytes;
    object_of_page[page] = (uintptr_t)object;
    live++;
    *room_bytes = bytes;
    return object;
}

void mbi_guarded_free(struct object *object)
{
    (void)mbi_os_forbid(page_start(page_of((void *)object_address(object))), page_bytes);
    quarantine_put(&freed, object);
    live--;
}

/* "read" or "write", where the processor says which. */
static const char *access_of(const ucontext_t *context)
{
#if defined(__x86_64__)
    enum { PAGE_FAULT_WRITE = 2 }; /* Intel SDM 3A, 4.7 */
    return (context->uc_mcontext.gregs[REG_ERR] & PAGE_FAULT_WRITE) != 0 ? "write" : "read";
#else
    (void)context;
    return "access";
#endif
}

/* The stack from the instruction that faulted outwards, without the signal handler's frames. */
static void take_stack_of(const ucontext_t *context, struct stack *stack)
{
    mbi_stacks_take(NULL, stack);
#if defined(__x86_64__)
    void *at = (void *)(uintptr_t)context->uc_mcontext.gregs[REG_RIP];
    for (uint32_t i = 0; i < stack->count; i++) {
        if (stack->frames[i] == at) {
            stack->count -= i;
            memmove(stack->frames, stack->frames + i, stack->count * sizeof stack->frames[0]);
            /* Reports look up the byte before a return address. */
            stack->frames[0] = (char *)at + 1;
            break;
        }
    }
#else
    (void)context;
#endif
}

static bool find_object(size_t page, struct object *out)
{
    mbi_check_lock();
    uintptr_t start = page < GUARDED_PAGES ? object_of_page[page] : 0;
    bool found = start != 0 && mbi_ledger_copy(start, out);
    mbi_check_unlock();
    return found;
}

bool mbi_guarded_find(const void *pointer, struct object *out)
{
    return find_object(page_of(pointer), out);
}

/* Adds the next page's object when the pointer lies in the upper half of the guard before it. */
static void report_behind_guard(struct report *report, const char *pointer)
{
    struct object object;
    size_t into = (size_t)(pointer - region);
    bool is_guard = into / page_bytes % 2 == 0;
    bool is_upper_half = into % page_bytes >= page_bytes / 2;
    if (is_guard && is_upper_half && find_object(into / page_bytes / 2, &object)) {
        mbi_report_line(report, "  or %zu bytes before another object:",
                        (size_t)((const char *)object_address(&object) - pointer));
        mbi_report_object(report, &object);
    }
}

/* False when the page never had an object. */
static bool report_fault(void *pointer, const ucontext_t *context)
{
    struct object object;
    if (!mbi_guarded_find(pointer, &object)) {
        return false;
    }
    struct stack stack;
    struct report report;
    const char *how = access_of(context);
    ptrdiff_t at = (char *)pointer - (char *)object_address(&object);
    take_stack_of(context, &stack);
    const char *kind = object.state == OBJECT_FREED ? "use after free" : "overflow";
    mbi_report_begin(&report, kind, "%s of byte %td of an object of %zu bytes", how, at,
                     object.size_bytes);
    mbi_report_here(&report, pointer, how, &stack);
    mbi_report_object(&report, &object);
    report_behind_guard(&report, pointer);
    mbi_report_end(&report);
    return true;
}

bool mbi_guarded_take_fault(const siginfo_t *info, const void *context)
{
    if (!mbi_guarded_holds(info->si_addr)) {
        return false;
    }
    int saved_errno = errno;
    void *page = (void *)round_down((uintptr_t)info->si_addr, page_bytes);
    bool goes_on = report_fault(info->si_addr, context) && mbi_os_commit(page, page_bytes);
    errno = saved_errno;
    return goes_on;
}

bool mbi_guarded_init(void)
{
    page_bytes = mbi_os_page_bytes();
    object_of_page = mbi_os_map(GUARDED_PAGES * sizeof *object_of_page);
    region = object_of_page != NULL ? mbi_os_reserve(region_bytes()) : NULL;
    return region != NULL;
}
