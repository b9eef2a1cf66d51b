/* One of several plugins that each have the archive inside, and show its calls; for copies.c. */
#include "memorybucket/memorybucket.h"

void *copy_alloc(size_t size);
void *copy_realloc(void *object, size_t size);
size_t copy_usable_size(const void *object);
void copy_free(void *object);
void copy_free_sized(void *object, size_t size);
void copy_free_batch(size_t count, void **objects);
uint64_t copy_live(void);

void *copy_alloc(size_t size)
{
    return mb_alloc(size);
}

void *copy_realloc(void *object, size_t size)
{
    return mb_realloc(object, size);
}

size_t copy_usable_size(const void *object)
{
    return mb_usable_size(object);
}

void copy_free(void *object)
{
    mb_free(object);
}

void copy_free_sized(void *object, size_t size)
{
    mb_free_sized(object, size);
}

void copy_free_batch(size_t count, void **objects)
{
    mb_free_batch(count, objects);
}

/* Small objects of this copy that are live. */
uint64_t copy_live(void)
{
    static struct mb_stats stats;
    uint64_t live = 0;
    if (mb_stats_get(&stats, sizeof stats) == 0) {
        for (int pool = 0; pool < MB_POOL_COUNT; pool++) {
            live += stats.pool[pool].live;
        }
    }
    return live;
}
