/* plan: one page, shared with the runner. */
#include "plan.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

static _Thread_local uint64_t failed_here[FAULT_COUNT] __attribute__((tls_model("initial-exec")));

struct fault_page *fault_page(void)
{
    /* Written by the first call, which comes before there is a second thread. */
    static struct fault_page *page;
    static bool looked_for;
    if (!looked_for) {
        looked_for = true;
        /* mmap under its other name, as the first one is what fails. */
        void *start = mmap64(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, FAULT_FD, 0);
        page = start != MAP_FAILED ? start : NULL;
        if (page != NULL && page->magic != FAULT_MAGIC) {
            page = NULL;
        }
    }
    return page;
}

static uint64_t count(_Atomic uint64_t *counter)
{
    return atomic_fetch_add_explicit(counter, 1, memory_order_relaxed) + 1; /* [TEST] */
}

bool fault_happens(enum fault_function function)
{
    struct fault_page *page = fault_page();
    if (page == NULL || atomic_load_explicit(&page->over, memory_order_relaxed)) { /* [TEST] */
        return false;
    }
    uint64_t call = count(&page->calls[function]);
    uint64_t call_of_any = count(&page->calls[FAULT_ANY]);
    if (page->function == FAULT_ANY) {
        call = call_of_any;
    } else if (page->function != function) {
        return false;
    }
    bool fails = (page->mode == FAULT_ONCE && call == page->nth)
                 || (page->mode == FAULT_FROM && call >= page->nth);
    if (fails) {
        count(&page->failed[function]);
        failed_here[function]++;
    }
    return fails;
}

bool fault_fails_with(enum fault_function function, int error)
{
    if (!fault_happens(function)) {
        return false;
    }
    errno = error;
    return true;
}

void fault_end(void)
{
    if (fault_page() != NULL) {
        atomic_store_explicit(&fault_page()->over, true, memory_order_relaxed); /* [TEST] */
    }
}

uint64_t fault_failed_here(enum fault_function function)
{
    return failed_here[function];
}

uint64_t fault_system_failed_here(void)
{
    uint64_t sum = 0;
    for (int function = FAULT_SYSTEM_ALLOCATOR; function < FAULT_ANY; function++) {
        sum += failed_here[function];
    }
    return sum;
}
