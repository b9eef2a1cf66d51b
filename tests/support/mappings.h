/* mappings: what the kernel says of a span's mappings. */
#ifndef MEMORYBUCKET_TESTS_MAPPINGS_H
#define MEMORYBUCKET_TESTS_MAPPINGS_H

#include "testing.h"

#include "core/region.h"

#include <stdio.h>
#include <string.h>

/*
 * The mappings of the dense span of a size; with `flag`, which begins with a space, only those that have it (proc(5),
 * VmFlags).
 */
static inline size_t span_mappings(size_t size, const char *flag)
{
    uintptr_t span = (uintptr_t)mbi_region_span(size_class_of(size), SPAN_DENSE);
    size_t found = 0;
    bool inside = false;
    char line[512];
    FILE *smaps = fopen("/proc/self/smaps", "r");
    CHECK(smaps != NULL, "/proc/self/smaps");
    while (fgets(line, sizeof line, smaps) != NULL) {
        unsigned long begin;
        unsigned long end;
        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2) {
            inside = begin - span < DENSE_SPAN_BYTES && end - span <= DENSE_SPAN_BYTES;
            found += inside && flag == NULL;
        } else if (inside && flag != NULL && strncmp(line, "VmFlags:", 8) == 0) {
            found += strstr(line, flag) != NULL;
        }
    }
    fclose(smaps);
    return found;
}

#endif
