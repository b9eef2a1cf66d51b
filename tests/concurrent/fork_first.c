/*
 * fork_first: the library uses the program's malloc before main. glibc's fork takes the locks of a
 * malloc only if it was used before, and a thread may do so first while another one forks.
 */
#include "testing.h"

static atomic_uint calls;

void *__real_malloc(size_t size_bytes);
void *__wrap_malloc(size_t size_bytes);

void *__wrap_malloc(size_t size_bytes)
{
    atomic_fetch_add(&calls, 1);
    return __real_malloc(size_bytes);
}

int main(void)
{
    unsigned before_main = atomic_load(&calls);
    CHECK(before_main != 0, "malloc was not called before main");
    mb_free(mb_alloc(100));
    CHECK(atomic_load(&calls) == before_main, "malloc was called for a small object");
    return 0;
}
