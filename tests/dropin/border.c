/*
 * border BYTES: the pools serve requests of up to so many bytes, and nothing above, from the first request of a size on.
 *
 * BYTES is a slot's size. malloc_info names the border, and the pools that have slots.
 */
#include "check.h"

#include <malloc.h>
#include <string.h>

enum { OBJECTS = 20, TEXT_BYTES = 1 << 20 };

static char text[TEXT_BYTES];

static void read_pools(void)
{
    FILE *memory = fmemopen(text, sizeof text, "w");
    CHECK(memory != NULL && malloc_info(0, memory) == 0);
    CHECK(fclose(memory) == 0);
}

/* The largest slot of which there is any. */
static size_t largest_pool(void)
{
    size_t largest = 0;
    size_t bytes;
    for (char *pool = strstr(text, "<pool size="); pool != NULL; pool = strstr(pool + 1, "<pool size=")) {
        CHECK(sscanf(pool, "<pool size=\"%zu\"", &bytes) == 1);
        largest = bytes > largest ? bytes : largest;
    }
    return largest;
}

int main(int argc, char **argv)
{
    CHECK(argc == 2, "usage: border BYTES");
    static void *objects[2][OBJECTS];
    size_t border = strtoul(argv[1], NULL, 10);
    char said[64];
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[0][i] = malloc(border - 4); /* no other pool stands in: its slots would be larger */
        objects[1][i] = malloc(border + 1);
        CHECK(objects[0][i] != NULL && objects[1][i] != NULL);
        CHECK(malloc_usable_size(objects[0][i]) == border, "%zu", malloc_usable_size(objects[0][i]));
        memset(objects[0][i], 1, border - 4);
        memset(objects[1][i], 1, border + 1);
    }
    read_pools();
    snprintf(said, sizeof said, "<pools max=\"%zu\"", border);
    CHECK(strstr(text, said) != NULL, "another border: %s", strstr(text, "<pools"));
    CHECK(largest_pool() == border, "slots of %zu bytes", largest_pool());
    for (size_t i = 0; i < OBJECTS; i++) {
        free(objects[0][i]);
        free(objects[1][i]);
    }
    return 0;
}
