/*
 * seal_small_pages: what was sealed, and is used again, is as before: one mapping with its
 * neighbours, and asked not to have huge pages. Also where the kernel cannot be asked that with a
 * mapping (before Linux 6.7): the linker puts a function in mmap's place that does not pass the
 * flag on.
 */
#include "mappings.h"
#include "testing.h"

#include "core/region.h"
#include "core/uncharge.h"

#include <sys/mman.h>

enum { OBJECTS = 500000, SIZE = 64 };

void *__real_mmap(void *start, size_t bytes, int access, int flags, int file, off_t offset);
void *__wrap_mmap(void *start, size_t bytes, int access, int flags, int file, off_t offset);
void *__wrap_mmap(void *start, size_t bytes, int access, int flags, int file, off_t offset)
{
    return __real_mmap(start, bytes, access, flags & ~MAP_STACK, file, offset);
}

static void *objects[OBJECTS];

static const char small_pages[] = " nh"; /* the flag of a mapping that asked to have no others */

static void use(void)
{
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = mb_alloc(SIZE);
        CHECK(objects[i] != NULL, "no memory");
        memset(objects[i], 1, SIZE);
    }
}

int main(void)
{
    use();
    if (span_mappings(SIZE, small_pages) == 0 || mbi_region.reserved_bytes != 0) {
        return SKIPPED; /* a kernel without huge pages, or a tool that has the address space */
    }
    size_t before = span_mappings(SIZE, NULL);
    CHECK(before == 1, "%zu mappings of one span", before);
    mb_free_batch(OBJECTS, objects);
    (void)mb_trim(0);
    CHECK(mbi_free_map_seals() != 0, "nothing was sealed");
    use();
    size_t after = span_mappings(SIZE, NULL);
    size_t after_small = span_mappings(SIZE, small_pages);
    CHECK(after == after_small, "of %zu mappings %zu may have huge pages", after, after - after_small);
    /* At the span's beginning nothing joins it with what was used before: that has its own history. */
    CHECK(after <= 2, "%zu mappings of one span where there was one", after);
    mb_free_batch(OBJECTS, objects);
    check_accounting(0);
    return 0;
}
