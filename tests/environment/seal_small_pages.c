/*
 * seal_small_pages: what was sealed, and is used again, is as before: one mapping with its
 * neighbours, and asked not to have huge pages. Also where the kernel cannot be asked that with a
 * mapping (before Linux 6.7): the linker puts a function in mmap's place that does not pass the
 * flag on.
 */
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

struct mappings {
    size_t all;
    size_t small_pages; /* asked to have no others */
};

static struct mappings mappings_of_span(void)
{
    struct mappings found = { 0, 0 };
    uintptr_t span = (uintptr_t)mbi_region_span(size_class_of(SIZE), SPAN_DENSE);
    bool inside = false;
    char line[512];
    FILE *smaps = fopen("/proc/self/smaps", "r");
    CHECK(smaps != NULL, "/proc/self/smaps");
    while (fgets(line, sizeof line, smaps) != NULL) {
        unsigned long begin;
        unsigned long end;
        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2) {
            inside = begin - span < DENSE_SPAN_BYTES && end - span <= DENSE_SPAN_BYTES;
            found.all += inside;
        } else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            found.small_pages += strstr(line, " nh") != NULL;
        }
    }
    fclose(smaps);
    return found;
}

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
    struct mappings before = mappings_of_span();
    if (before.small_pages == 0 || mbi_region.reserved_bytes != 0) {
        return SKIPPED; /* a kernel without huge pages, or a tool that has the address space */
    }
    CHECK(before.all == 1, "%zu mappings of one span", before.all);
    mb_free_batch(OBJECTS, objects);
    (void)mb_trim(0);
    CHECK(mbi_free_map_seals() != 0, "nothing was sealed");
    use();
    struct mappings after = mappings_of_span();
    CHECK(after.all == after.small_pages, "of %zu mappings %zu may have huge pages", after.all,
          after.all - after.small_pages);
    /* At the span's beginning nothing joins it with what was used before: that has its own history. */
    CHECK(after.all <= 2, "%zu mappings of one span where there was one", after.all);
    mb_free_batch(OBJECTS, objects);
    check_accounting(0);
    return 0;
}
