/*
 * early_alloc: the first allocation comes before main, and before any constructor.
 *
 * .preinit_array runs before the constructor that would bring the library up, and before there is
 * an environment.
 */
#include "testing.h"

#include "core/region.h"

static void *from_preinit[MB_SMALL_POOL_COUNT];
static void *from_constructor;

static void allocate_first(void)
{
    for (size_t i = 0; i < MB_SMALL_POOL_COUNT; i++) {
        from_preinit[i] = mb_alloc((i + 1) * 8);
        CHECK(from_preinit[i] != NULL, "no memory");
        memset(from_preinit[i], 0x11, (i + 1) * 8);
    }
}
__attribute__((section(".preinit_array"), used)) static void (*const preinit)(void) =
    allocate_first;

__attribute__((constructor(102))) static void allocate_second(void)
{
    from_constructor = mb_alloc(100);
}

__attribute__((destructor)) static void free_last(void)
{
    mb_free(from_constructor);
}

int main(void)
{
    CHECK(mbi_region.bytes != 0, "no pools");
    check_accounting(MB_SMALL_POOL_COUNT + 1);
    mb_free_batch(MB_SMALL_POOL_COUNT, from_preinit);
    check_accounting(1);
    CHECK(mb_init() == 0 && mb_init() == 0, "mb_init");
    return 0;
}
