/*
 * page_size: another page size than the kernel's, for all of the library but os.c, by the linker's
 * --wrap. A multiple of the real one: so what is done to whole pretended pages is done to whole pages.
 */
#include <stddef.h>

#ifndef PAGE_KIB
#define PAGE_KIB 16
#endif

size_t __wrap_mbi_os_page_bytes(void);

size_t __wrap_mbi_os_page_bytes(void)
{
    return (size_t)PAGE_KIB << 10;
}
