/* trim: aging, sorting, releasing. */
#include "core/trim.h"

#include "core/centre.h"
#include "core/limit.h"
#include "core/os.h"
#include "core/probes.h"

/* The slots that are being sorted, by number. Under the trim lock. */
enum { NUMBERS_MAX = 8192 };
static uint32_t numbers[NUMBERS_MAX];

/* Slots are followed along several batches at once, as each step waits for memory. */
enum { BATCHES_AT_ONCE = 32, SLOTS_PER_LOCK = 512 };

bool mbi_trim_lock(void)
{
    return mbi_lock_acquire(LOCK_TRIM);
}

bool mbi_trim_try_lock(void)
{
    return mbi_lock_try_acquire(LOCK_TRIM);
}

void mbi_trim_unlock(void)
{
    mbi_lock_release(LOCK_TRIM);
}

bool mbi_trim_age(struct pool *pool, bool central)
{
    if (counter_read(&pool->carved) == 0) {
        return false;
    }
    bool any = false;
    bool surplus = false;
    if (!mbi_pool_lock(pool)) {
        return true; /* not known */
    }
    for (size_t i = 0; i < CENTRAL_STACKS; i++) {
        surplus |= pool->surplus[i] != 0;
    }
    for (size_t i = 0; i < CENTRAL_STACKS; i++) {
        if (!surplus) {
            pool->surplus[i] = pool->aged[i];
            pool->aged[i] = central ? (uint32_t)batch_stack_detach(&pool->central[i]) : 0;
        }
        any |= pool->surplus[i] != 0 || pool->aged[i] != 0;
    }
    any |= pool->loose != 0;
    mbi_pool_unlock(pool);
    return any;
}

/* Takes up to `count` batches off the surplus, and the loose slots; how many chains. */
static size_t take_chains_locked(struct pool *pool, size_t count, uint64_t chains[])
{
    size_t taken = 0;
    size_t loose = pool->loose != 0;
    if (loose != 0) {
        chains[taken++] = pool->loose;
        mbi_pool_set_loose_locked(pool, 0);
    }
    for (size_t i = 0; i < CENTRAL_STACKS; i++) {
        while (taken < count && pool->surplus[i] != 0) {
            chains[taken++] = batch_list_pop(&pool->surplus[i], &pool->space, pool->rounds);
            counter_add(&pool->departed.refills, 1);
        }
    }
    mbi_centre_tell(-(int64_t)((taken - loose) * pool_batch_bytes(pool)));
    return taken;
}

/* Follows all chains, a slot of each in turn; their numbers go to `numbers`. */
static size_t follow_chains(const struct pool *pool, uint64_t chains[], size_t count)
{
    size_t found = 0;
    bool any = true;
    while (any) {
        any = false;
        for (size_t i = 0; i < count; i++) {
            struct slot *slot = chain_first(chains[i]);
            if (slot != NULL) {
                uint64_t rounds = chain_rounds(chains[i]);
                if (MBI_UNLIKELY(!slot_space_has(&pool->space, slot)
                                 || chain_rounds(slot->rest) != rounds - 1)) {
                    mbi_slot_space_corrupted(&pool->space, chains[i]);
                }
                numbers[found++] = (uint32_t)slot_space_number(&pool->space, slot);
                chains[i] = slot->rest;
                __builtin_prefetch(chain_first(chains[i]));
                any = true;
            }
        }
    }
    return found;
}

static void sort_locked(struct pool *pool, const uint32_t *begin, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct slot *slot = slot_space_slot(&pool->space, begin[i]);
        struct free_map *map = begin[i] < slot_space_dense_units(&pool->space)
                                    ? &pool->dense_map
                                    : &pool->wide_map;
        mbi_free_map_add(map, free_map_index(map, slot));
    }
    counter_add(&pool->sorted_slots, count);
}

static bool cover_locked(struct pool *pool)
{
    return mbi_free_map_cover(&pool->dense_map, mbi_pool_carved_locked(pool, &pool->dense_map))
           && mbi_free_map_cover(&pool->wide_map,
                               mbi_pool_carved_locked(pool, &pool->wide_map));
}

size_t mbi_trim_sort(struct pool *pool, size_t slots_max)
{
    uint64_t chains[BATCHES_AT_ONCE];
    size_t count = (slots_max < NUMBERS_MAX ? slots_max : NUMBERS_MAX) / pool->rounds;
    if (count > BATCHES_AT_ONCE) {
        count = BATCHES_AT_ONCE;
    }
    if (!mbi_pool_lock(pool)) {
        return 0;
    }
    count = cover_locked(pool) ? take_chains_locked(pool, count != 0 ? count : 1, chains) : 0;
    mbi_pool_unlock(pool);

    size_t found = follow_chains(pool, chains, count);
    for (size_t done = 0; done < found; done += SLOTS_PER_LOCK) {
        size_t left = found - done;
        (void)mbi_pool_lock(pool); /* not refused, as above */
        sort_locked(pool, numbers + done, left < SLOTS_PER_LOCK ? left : SLOTS_PER_LOCK);
        mbi_pool_unlock(pool);
    }
    return found;
}

/*
 * A page that is carved in part can go only when the rest of it is carved too: nobody could be
 * kept from carving it during the system call. So the rest becomes sorted slots, when what there
 * is of the page is; and some more, so that fresh runs go on beginning on a cache line.
 */
static void complete_last_page_locked(struct pool *pool)
{
    struct free_map *map = pool_carved_span(pool);
    size_t carved = map->slots != 0 ? mbi_pool_carved_locked(pool, map) : 0;
    size_t touched = (size_t)(pool->touched_end - map->first);
    size_t missing = carved != 0 ? mbi_free_map_page_rest(map, carved, touched) : 0;
    if (missing == 0) {
        return;
    }
    size_t end = round_up(carved + missing, size_class_line_rounds(pool->class));
    if (end > map->slots_max || !mbi_free_map_cover(map, end)) {
        return;
    }
    struct slot_run run = mbi_pool_carve_locked(pool, end - carved);
    for (size_t i = 0; i < run.rounds; i++) {
        mbi_free_map_add(map, carved + i);
    }
    counter_add(&pool->sorted_slots, run.rounds);
}

/* Which pages of a run are gone. */
struct pages_gone {
    uint64_t bits[TRIM_PAGES_MAX / 64];
};

/*
 * Gives the pages back: all at once, or, as the kernel refuses that where a page of them is locked
 * in memory, one by one. Nobody else uses them meanwhile; no lock.
 */
static size_t release_pages(const struct free_map *map, struct page_run run,
                            struct pages_gone *gone)
{
    char *start = map->first + run.begin * map->page_bytes;
    size_t pages = run.end - run.begin;
    bool all = mbi_os_release(start, pages * map->page_bytes);
    size_t released = 0;
    for (size_t i = 0; i < pages; i++) {
        if (all || mbi_os_release(start + i * map->page_bytes, map->page_bytes)) {
            gone->bits[i / 64] |= (uint64_t)1 << i % 64;
            released++;
        }
    }
    return released;
}

/* The next run; how many pages were tried, 0 when there is none. Adds what went to *bytes_gone. */
static size_t release_run(struct pool *pool, struct free_map *map, size_t *tiles_max,
                          size_t pages_max, size_t *bytes_gone)
{
    struct page_run run = { .begin = 0, .end = 0 };
    if (mbi_pool_lock(pool)) {
        complete_last_page_locked(pool);
        run = mbi_free_map_begin_release(map, tiles_max, pages_max);
        mbi_pool_unlock(pool);
    }
    size_t tried = run.end - run.begin;
    if (tried == 0) {
        return 0;
    }
    struct pages_gone gone = { { 0 } };
    size_t pages = release_pages(map, run, &gone);
    size_t bytes = pages * map->page_bytes;

    (void)mbi_pool_lock(pool); /* not refused, as above */
    mbi_free_map_end_release(map, run);
    map->refused |= pages != tried;
    for (size_t i = 0; i < tried; i++) {
        if ((gone.bits[i / 64] >> i % 64 & 1U) != 0) {
            mbi_free_map_note_released(map, run.begin + i);
        }
    }
    counter_add(&pool->committed_bytes, -(uint64_t)bytes);
    counter_add(&pool->released_bytes, bytes);
    mbi_pool_unlock(pool);
    mbi_limit_return(bytes);
    probe_release(pool->slot_bytes, bytes);
    *bytes_gone += bytes;
    return tried;
}

bool mbi_trim_release(struct pool *pool, size_t *tiles_max, size_t *pages_max, size_t *bytes)
{
    struct free_map *spans[] = { &pool->dense_map, &pool->wide_map };
    assert(*pages_max <= TRIM_PAGES_MAX);
    for (size_t i = 0; i < 2; i++) {
        size_t tried = 1;
        while (tried != 0 && *tiles_max != 0 && *pages_max != 0) {
            tried = release_run(pool, spans[i], tiles_max, *pages_max, bytes);
            *pages_max -= tried;
        }
    }
    return *tiles_max == 0 || *pages_max == 0;
}

enum { AGES = 3 }; /* surplus, aged, central */

/* What is in the centre, whatever its age, and the loose slots. */
static void sort_all(struct pool *pool)
{
    for (int age = 0; age < AGES; age++) {
        /* Threads may bring loose slots all the time: so no more than there can be now. */
        uint64_t left = counter_read(&pool->carved);
        size_t sorted;
        do {
            if (!mbi_trim_lock()) {
                return;
            }
            sorted = mbi_trim_sort(pool, NUMBERS_MAX);
            if (sorted == 0) {
                (void)mbi_trim_age(pool, true);
            }
            mbi_trim_unlock();
            left -= sorted < left ? sorted : left;
        } while (sorted != 0 && left != 0);
    }
}

size_t mbi_trim_sorted_bytes(const struct pool *pool)
{
    size_t bytes = counter_read(&pool->sorted_slots) * pool->slot_bytes;
    size_t released = counter_read(&pool->released_bytes);
    return bytes > released ? bytes - released : 0;
}

static size_t release_all(struct pool *pool, size_t bytes_max)
{
    size_t page_bytes = mbi_os_page_bytes();
    size_t bytes = 0;
    bool more = true;
    while (more && bytes_max - bytes >= page_bytes) {
        size_t tiles_max = TRIM_TILES_MAX;
        if (!mbi_trim_lock()) {
            break;
        }
        size_t pages_max = (bytes_max - bytes) / page_bytes;
        pages_max = pages_max < TRIM_PAGES_MAX ? pages_max : TRIM_PAGES_MAX;
        more = mbi_trim_release(pool, &tiles_max, &pages_max, &bytes);
        mbi_trim_unlock();
    }
    return bytes;
}

/* Not in decay's steps: pages that are locked in memory would take a call each, every time. */
static void retry_refused(struct pool *pool)
{
    if (mbi_pool_lock(pool)) {
        mbi_free_map_retry_refused(&pool->dense_map);
        mbi_free_map_retry_refused(&pool->wide_map);
        mbi_pool_unlock(pool);
    }
}

size_t mbi_trim_pools(size_t keep_bytes)
{
    size_t free_bytes = 0;
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        if (counter_read(&mbi_pools[class].carved) != 0) {
            sort_all(&mbi_pools[class]);
            retry_refused(&mbi_pools[class]);
            free_bytes += mbi_trim_sorted_bytes(&mbi_pools[class]);
        }
    }
    size_t bytes_max = free_bytes > keep_bytes ? free_bytes - keep_bytes : 0;
    if (keep_bytes == 0) {
        bytes_max = SIZE_MAX; /* also pages that become free by being filled up */
    }
    size_t bytes = 0;
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        bytes += release_all(&mbi_pools[class], bytes_max - bytes);
    }
    return bytes;
}

static void turn_to_class(struct trim_turn *turn, size_t class)
{
    *turn = (struct trim_turn){ .class = class, .ages = 0, .slots_left = 0 };
    if (class < SIZE_CLASS_COUNT) {
        turn->slots_left = counter_read(&mbi_pools[class].carved);
    }
}

void mbi_trim_begin_turn(struct trim_turn *turn)
{
    turn_to_class(turn, 0);
}

/* Sorts some slots, or lets them age so that they can be; false when the pool has had its turn. */
static bool sort_some(struct pool *pool, struct trim_turn *turn)
{
    while (turn->slots_left != 0 && turn->ages < AGES) {
        size_t sorted = mbi_trim_sort(pool, NUMBERS_MAX);
        turn->slots_left -= sorted < turn->slots_left ? sorted : turn->slots_left;
        if (sorted != 0) {
            return true;
        }
        (void)mbi_trim_age(pool, true);
        turn->ages++;
    }
    return false;
}

bool mbi_trim_step_turn(struct trim_turn *turn, size_t *bytes)
{
    while (turn->class < SIZE_CLASS_COUNT) {
        struct pool *pool = &mbi_pools[turn->class];
        size_t tiles_max = TRIM_TILES_MAX;
        size_t pages_max = TRIM_PAGES_MAX;
        size_t before = *bytes;
        bool more = false;
        if (counter_read(&pool->carved) != 0) {
            if (!mbi_trim_lock()) {
                return false; /* another thread forks */
            }
            more = mbi_trim_release(pool, &tiles_max, &pages_max, bytes);
            more = *bytes != before || sort_some(pool, turn) || more;
            mbi_trim_unlock();
        }
        if (more) {
            return true;
        }
        turn_to_class(turn, turn->class + 1);
    }
    return false;
}
