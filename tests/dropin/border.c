/*
 * border: sizes on both sides of MB_POOL_MAX, in little address space. Pools beyond the border have
 * no spans, and so may not serve any of them: neither a process's first objects of a size, which
 * larger pools serve, nor malloc's, whose slots are multiples of 16 bytes.
 */
#include "check.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { OF_EACH = 12, SIZES_MAX = 600 };

static void *objects[SIZES_MAX][OF_EACH];

int main(int count, char **words)
{
    CHECK(count == 2, "usage: border SIZE");
    size_t last = strtoul(words[1], NULL, 10) + 200;
    size_t step = last / SIZES_MAX + 1;
    size_t sizes = 0;
    /* Those beside the border first, while nothing is mapped where such a pool would lie. */
    for (size_t size = last; size > step; size -= step, sizes++) {
        for (size_t i = 0; i < OF_EACH; i++) {
            char *object = malloc(size);
            CHECK(object != NULL && (uintptr_t)object % 16 == 0, "%zu bytes at %p", size,
                  (void *)object);
            CHECK(malloc_usable_size(object) >= size, "%zu bytes are %zu", size,
                  malloc_usable_size(object));
            memset(object, 7, size);
            objects[sizes][i] = i % 2 == 0 ? object : realloc(object, size + step);
        }
    }
    for (size_t i = 0; i < sizes * OF_EACH; i++) {
        free(objects[i / OF_EACH][i % OF_EACH]);
    }
    return 0;
}
