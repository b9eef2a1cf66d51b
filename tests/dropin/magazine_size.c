/*
 * magazine_size: MB_MAGAZINE_SIZE names the sizes of objects, and holds for them on the drop-in,
 * where malloc's classes are others than mb_alloc's.
 */
#include "check.h"
#include "memorybucket/memorybucket.h"

#include <dlfcn.h>
#include <stdlib.h>

enum { ROUNDS = 8, OBJECTS = 200 };

/* Each is of a size that the variable names. */
static const size_t sizes[] = { 24, 600, 1030 };

static uint64_t carved(const struct mb_stats *stats, uint64_t rounds)
{
    uint64_t slots = 0;
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        const struct mb_pool_stats *pool = &stats->pool[class];
        slots += pool->magazine_rounds == rounds ? pool->carved : 0;
    }
    return slots;
}

int main(void)
{
    static struct mb_stats before;
    static struct mb_stats after;
    int (*stats_get)(struct mb_stats *, size_t) = NULL;
    *(void **)&stats_get = dlsym(RTLD_DEFAULT, "mb_stats_get");
    CHECK(stats_get != NULL, "this is not the drop-in");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        CHECK(stats_get(&before, sizeof before) == 0, "no statistics");
        for (int object = 0; object < OBJECTS; object++) {
            void *volatile kept = malloc(sizes[i]);
            CHECK(kept != NULL, "no memory");
        }
        CHECK(stats_get(&after, sizeof after) == 0, "no statistics");
        uint64_t slots = carved(&after, ROUNDS) - carved(&before, ROUNDS);
        CHECK(slots >= OBJECTS - ROUNDS, "of %d objects of %zu bytes %d came by such magazines",
              OBJECTS, sizes[i], (int)slots);
    }
    CHECK(after.pool[4].magazine_rounds == 256, "another size has another number");
    return 0;
}
