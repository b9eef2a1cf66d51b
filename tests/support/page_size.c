/*
 * page_size: another page size than the kernel's, for all of the library but os.c, by the linker's
 * --wrap. A multiple of the real one: so what is done to whole pretended pages is done to whole pages.
 * What is reserved begins with such a page, as it would with a kernel of that page size.
 */
#include <stddef.h>
#include <stdint.h>

#ifndef PAGE_KIB
#define PAGE_KIB 16
#endif

size_t __wrap_mbi_os_page_bytes(void);

size_t __wrap_mbi_os_page_bytes(void)
{
    return (size_t)PAGE_KIB << 10;
}

void *__real_mbi_os_reserve(size_t bytes);
void *__wrap_mbi_os_reserve(size_t bytes);

void *__wrap_mbi_os_reserve(size_t bytes)
{
    size_t page = __wrap_mbi_os_page_bytes();
    char *reserved = __real_mbi_os_reserve(bytes + page);
    return reserved == NULL ? NULL : reserved + (page - (uintptr_t)reserved % page) % page;
}
