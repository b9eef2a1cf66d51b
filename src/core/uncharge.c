/* uncharge: pages that came back, and sealed tiles. */
#include "core/uncharge.h"

#include "core/huge.h"

static char *page_start(const struct free_map *map, size_t page)
{
    return map->first + page * map->page_bytes;
}

static size_t run_bytes(const struct free_map *map, struct page_run run)
{
    return (run.end - run.begin) * map->page_bytes;
}

/* Gives the next run of a span back again, if any of it is in memory; with the trim lock. */
static size_t give_back_again(struct pool *pool, struct free_map *map, size_t *from)
{
    if (!mbi_pool_lock(pool)) {
        *from = SIZE_MAX;
        return 0;
    }
    struct page_run run = mbi_free_map_next_released(map, from, TRIM_PAGES_MAX);
    mbi_pool_unlock(pool);
    /* Most often nothing is in memory: so the slots stay here for this look. */
    if (mbi_os_resident_bytes(page_start(map, run.begin), run_bytes(map, run)) == 0) {
        return 0;
    }
    (void)mbi_pool_lock(pool); /* not refused: this thread has the trim lock */
    run = mbi_free_map_begin_release_again(map, run);
    mbi_pool_unlock(pool);
    if (run.begin == run.end) {
        return 0;
    }
    char *start = page_start(map, run.begin);
    size_t bytes = mbi_os_resident_bytes(start, run_bytes(map, run));
    bool gone = mbi_os_release(start, run_bytes(map, run)); /* or some are locked in memory */
    (void)mbi_pool_lock(pool);
    mbi_free_map_end_release(map, run);
    mbi_pool_unlock(pool);
    return gone ? bytes : 0;
}

struct seal_rule {
    size_t tiles_min;
    size_t seals_max;
};

/*
 * Seals the next tiles of a span, once pages that came back into memory have gone again. Pages that
 * the program locked there stay.
 */
static size_t seal(struct pool *pool, struct free_map *map, size_t *from,
                   const struct seal_rule *rule)
{
    if (mbi_free_map_seals() >= rule->seals_max || !mbi_pool_lock(pool)) {
        *from = SIZE_MAX;
        return 0;
    }
    struct page_run run = mbi_free_map_begin_seal(map, from, rule->tiles_min);
    mbi_pool_unlock(pool);
    size_t bytes = run_bytes(map, run);
    if (bytes == 0) {
        return 0;
    }
    char *start = page_start(map, run.begin);
    bool gone = mbi_os_resident_bytes(start, bytes) == 0 || mbi_os_release(start, bytes);
    bool sealed = gone && mbi_os_seal(start, bytes);
    (void)mbi_pool_lock(pool); /* not refused: this thread has the trim lock */
    mbi_free_map_end_seal(map, run, sealed);
    mbi_pool_unlock(pool);
    *from = sealed ? *from : SIZE_MAX; /* the kernel most likely refuses the next ones, too */
    return sealed ? bytes : 0;
}

/* Goes over all spans, step by step: seals by the rule or, without one, gives back again. */
static size_t for_all_spans(const struct seal_rule *rule, size_t bytes_wanted)
{
    size_t bytes = 0;
    for (size_t class = pools_next(0); class < SIZE_CLASS_COUNT; class = pools_next(class + 1)) {
        struct pool *pool = pool_at(class);
        for (size_t i = 0; i < SPAN_COUNT && counter_read(&pool->released_bytes) != 0; i++) {
            size_t from = 0;
            while (from != SIZE_MAX && bytes < bytes_wanted) {
                if (!mbi_lock_acquire(LOCK_TRIM)) {
                    return bytes; /* another thread forks */
                }
                struct free_map *map = &pool->spans[i].map;
                bytes += rule != NULL ? seal(pool, map, &from, rule)
                                      : give_back_again(pool, map, &from);
                mbi_lock_release(LOCK_TRIM);
            }
        }
    }
    return bytes;
}

size_t mbi_uncharge_what_came_back(void)
{
    return for_all_spans(NULL, SIZE_MAX);
}

size_t mbi_uncharge(size_t tiles_min, size_t seals_max, size_t bytes_wanted)
{
    struct seal_rule rule = { .tiles_min = tiles_min, .seals_max = seals_max };
    return huge_allows_seals() ? for_all_spans(&rule, bytes_wanted) : 0;
}
