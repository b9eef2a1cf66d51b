/* upper: pools above 512 bytes, up to the border that MB_POOL_MAX sets. */
#include "core/config.h"
#include "core/pool.h"
#include "core/region.h"
#include "tcache/budget.h"
#include "tcache/startup.h"
#include "tcache/thread_cache.h"
#include "testing.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MANY = 3000 };
static void *objects[MANY];
static void *many[MANY * 3];

static bool is_pooled(const void *pointer)
{
    return region_class_of(pointer) < SIZE_CLASS_COUNT;
}

static void all_pools(void)
{
    setenv("MB_POOL_MAX", "32K", 1);
}

/* Each size has a slot of its own class, and the bytes are the object's. */
Test(upper, every_size_up_to_the_border_is_served_by_a_pool, .init = all_pools)
{
    for (size_t size = 1; size <= POOL_BYTES_MAX + 1; size += size < 4096 ? 1 : 61) {
        unsigned char *object = mb_alloc(size);
        cr_assert_not_null(object);
        cr_assert_eq(is_pooled(object), size <= POOL_BYTES_MAX, "%zu bytes", size);
        cr_assert_geq(mb_usable_size(object), size);
        if (is_pooled(object)) {
            cr_assert_eq(mb_usable_size(object), mb_good_size(size));
        }
        memset(object, (int)size, size);
        objects[size % MANY] = object;
        mb_free(object);
    }
    check_accounting(0);
}

Test(upper, by_default_the_system_allocator_serves_them)
{
    void *object = mb_alloc(SMALL_BYTES_MAX + 1);
    cr_assert_not(is_pooled(object));
    cr_assert_eq(mb_good_size(600), 600);
    mb_free(object);
}

/* The border is a slot's size: 700 becomes 704. */
Test(upper, a_border_inside_a_class_is_rounded_up)
{
    setenv("MB_POOL_MAX", "700", 1);
    void *below = mb_alloc(704);
    void *above = mb_alloc(705);
    struct mb_stats stats;
    cr_assert_eq(mb_stats_get_quick(&stats, sizeof stats), 0);
    cr_assert_eq(stats.pool_max, 704);
    cr_assert(is_pooled(below));
    cr_assert_not(is_pooled(above));
    mb_free(above);
    mb_free(below);
}

Test(upper, slots_are_aligned_up_to_a_page, .init = all_pools)
{
    for (size_t alignment = 16; alignment <= 8192; alignment *= 2) {
        for (size_t size = 1; size < 20000; size += 333) {
            void *object = mb_aligned_alloc(alignment, size);
            cr_assert_eq((uintptr_t)object % alignment, 0, "%zu of %zu", size, alignment);
            mb_free(object);
        }
    }
}

/* An object that grows a byte at a time moves a few times a doubling, and keeps its bytes. */
Test(upper, a_growing_buffer_moves_seldom, .init = all_pools)
{
    size_t moves = 0;
    unsigned char *buffer = NULL;
    for (size_t size = 1; size <= POOL_BYTES_MAX; size++) {
        unsigned char *now = mb_realloc(buffer, size);
        cr_assert_not_null(now);
        moves += now != buffer;
        buffer = now;
        buffer[size - 1] = (unsigned char)(size % 251);
    }
    for (size_t i = 0; i < POOL_BYTES_MAX; i++) {
        cr_assert_eq(buffer[i], (i + 1) % 251);
    }
    /* The first, to 16, 32, 64, 96 and 128 bytes, then 4 a doubling, and beyond 1,024 bytes 2. */
    cr_assert_eq(moves, 1 + 5 + 12 + 10, "%zu moves", moves);
    mb_free(buffer);
}

/* As often as shows need of full magazines. */
static void use_class(size_t class)
{
    enum { ROUNDS = 10, OBJECTS = 100 };
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < OBJECTS; i++) {
            objects[i] = mb_alloc(size_class_slot_bytes(class));
            cr_assert_not_null(objects[i]);
        }
        mb_free_batch(OBJECTS, objects);
    }
}

/* What a thread holds of them is bounded, however many it used; but for a few slots of each. */
Test(upper, their_share_of_a_thread_is_bounded, .init = all_pools)
{
    enum { FEW_BYTES = 16 << 10 };
    cr_assert_eq(mbi_startup(), 0);
    size_t held = 0;
    size_t few_bytes = 0;
    for (size_t class = SMALL_CLASS_COUNT; class < SIZE_CLASS_COUNT; class++) {
        use_class(class);
    }
    for (size_t class = SMALL_CLASS_COUNT; class < SIZE_CLASS_COUNT; class++) {
        size_t slot_bytes = size_class_slot_bytes(class);
        held += mbi_thread_cache_rounds(mbi_thread_cache, class) * slot_bytes;
        few_bytes += size_max(FEW_BYTES, 2 * slot_bytes);
    }
    size_t most = mbi_config.upper_bytes_max + few_bytes;
    cr_assert_leq(held, most, "%zu bytes in magazines, of %zu", held, most);
    cr_assert_leq(mbi_thread_cache->upper_bytes, most);
    check_accounting(0);
    mb_thread_flush();
    cr_assert_eq(mbi_thread_cache->upper_bytes, 0, "%zu bytes are its share still",
                 mbi_thread_cache->upper_bytes);
}

/* One class alone, however much of it comes and goes, leaves most of the share to the others. */
Test(upper, few_full_magazines_are_kept, .init = all_pools)
{
    enum { SIZE = 2048, ROUNDS = 50 };
    size_t class = size_class_of(SIZE);
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < MANY; i++) {
            objects[i] = mb_alloc(SIZE);
            cr_assert_not_null(objects[i]);
        }
        mb_free_batch(MANY, objects);
    }
    size_t batch_bytes = mbi_config.magazine_rounds[class] * (size_t)SIZE;
    size_t held = mbi_thread_cache_rounds(mbi_thread_cache, class) * SIZE;
    cr_assert_leq(held, mbi_config.upper_bytes_max / 4 + 2 * batch_bytes, "%zu bytes", held);
    check_accounting(0);
}

/* So much of other classes that no magazine of an upper one is kept. */
static void use_a_quarter_of_the_share(void)
{
    for (size_t class = size_class_of(8192); class < SIZE_CLASS_COUNT; class++) {
        use_class(class);
    }
    cr_assert_gt(mbi_thread_cache->upper_bytes, mbi_config.upper_bytes_max / 4);
}

/* Each object says which it is: so none is given out twice. */
static void take(size_t from, size_t to, size_t size)
{
    for (size_t i = from; i < to; i++) {
        objects[i] = mb_alloc(size);
        cr_assert_not_null(objects[i]);
        *(size_t *)objects[i] = i;
    }
}

static void give(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        cr_assert_eq(*(size_t *)objects[i], i);
        mb_free(objects[i]);
    }
}

static uint64_t transfers_of(size_t class)
{
    const struct transfer_counts *counts = &mbi_thread_cache->transfers[class];
    return counter_read(&counts->refills) + counter_read(&counts->flushes);
}

/* Swings over a few batches: shows need of more than one. */
static void swing(size_t size, size_t rounds)
{
    enum { SWINGS = 3 };
    for (int turn = 0; turn < SWINGS; turn++) {
        take(0, 4 * rounds, size);
        give(0, 4 * rounds);
    }
}

/* Then what comes and goes around the middle is no transfer. */
Test(upper, a_lone_threads_magazine_of_large_slots_holds_two_batches, .init = all_pools)
{
    enum { SIZE = 4096, TURNS = 100 };
    size_t class = size_class_of(SIZE);
    use_a_quarter_of_the_share();
    size_t rounds = mbi_config.magazine_rounds[class];
    swing(SIZE, rounds);
    cr_assert_eq(mbi_thread_cache->capacity[class], 2 * rounds);
    size_t in_magazines = mbi_thread_cache_rounds(mbi_thread_cache, class);
    cr_assert(in_magazines >= rounds && in_magazines <= 2 * rounds, "%zu slots", in_magazines);
    take(0, 3 * rounds, SIZE);
    give(0, rounds);
    uint64_t before = transfers_of(class);
    for (int turn = 0; turn < TURNS; turn++) {
        take(0, rounds, SIZE);
        give(0, rounds);
    }
    cr_assert_eq(transfers_of(class), before);
    give(rounds, 3 * rounds);
    check_accounting(0);
    mb_thread_flush();
    cr_assert_eq(mbi_thread_cache_rounds(mbi_thread_cache, class), 0);
    cr_assert_eq(mbi_thread_cache->upper_bytes, 0);
    check_accounting(0);
}

Test(upper, magazines_of_smaller_slots_hold_one_batch, .init = all_pools)
{
    enum { SIZE = 2048 };
    size_t class = size_class_of(SIZE);
    use_a_quarter_of_the_share();
    swing(SIZE, mbi_config.magazine_rounds[class]);
    cr_assert_eq(mbi_thread_cache->capacity[class], mbi_config.magazine_rounds[class]);
    check_accounting(0);
}

static void *use_some(void *size)
{
    mb_free(mb_alloc(*(size_t *)size));
    return NULL;
}

/* Another one may have what lies in the magazine. */
Test(upper, a_magazine_holds_one_batch_where_there_were_other_threads, .init = all_pools)
{
    enum { SIZE = 4096 };
    static size_t size = SIZE;
    size_t class = size_class_of(SIZE);
    pthread_t thread;
    use_a_quarter_of_the_share();
    cr_assert_eq(pthread_create(&thread, NULL, use_some, &size), 0);
    pthread_join(thread, NULL);
    swing(SIZE, mbi_config.magazine_rounds[class]);
    cr_assert_eq(mbi_thread_cache->capacity[class], mbi_config.magazine_rounds[class]);
    check_accounting(0);
}

/* It keeps the room, which is counted, until the class is flushed; and then it has one batch. */
Test(upper, a_magazine_of_two_batches_stays_one_when_a_thread_starts, .init = all_pools)
{
    enum { SIZE = 4096 };
    static size_t size = SIZE;
    size_t class = size_class_of(SIZE);
    const struct thread_cache *cache = mbi_thread_cache_ensure();
    pthread_t thread;
    use_a_quarter_of_the_share();
    size_t rounds = mbi_config.magazine_rounds[class];
    swing(SIZE, rounds);
    cr_assert_eq(cache->capacity[class], 2 * rounds);
    take(0, 5 * rounds, SIZE);
    give(0, 2 * rounds);
    cr_assert_eq(pthread_create(&thread, NULL, use_some, &size), 0);
    pthread_join(thread, NULL);
    cr_assert_not(budget_is_of_one_thread());
    give(2 * rounds, 5 * rounds);
    swing(SIZE, rounds);
    cr_assert_eq(cache->capacity[class], 2 * rounds);
    cr_assert_leq(mbi_thread_cache_rounds(cache, class), 2 * rounds);
    cr_assert_leq(cache->upper_bytes, mbi_config.upper_bytes_max);
    cr_assert_leq(cache->used_bytes, cache->taken_bytes);
    cr_assert_leq(bounded_taken(&mbi_budget), bounded_most(&mbi_budget));
    cr_assert_geq(bounded_taken(&mbi_budget), cache->taken_bytes);
    check_accounting(0);
    mb_thread_flush();
    cr_assert_eq(cache->upper_bytes, 0);
    use_a_quarter_of_the_share();
    swing(SIZE, rounds);
    cr_assert_eq(cache->capacity[class], rounds);
    check_accounting(0);
}

/* Whose share others have used up has a few slots all the same: no lock for each request. */
Test(upper, a_class_beyond_the_share_caches_a_few, .init = all_pools)
{
    enum { SIZE = 3000, ROUNDS = 100, AT_ONCE = 3 };
    cr_assert_eq(mbi_startup(), 0);
    mb_free(mb_alloc(1)); /* the thread has a cache */
    mbi_thread_cache->upper_bytes += mbi_config.upper_bytes_max;
    struct pool *pool = pool_at(size_class_of(SIZE));
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < AT_ONCE; i++) {
            objects[i] = mb_alloc(SIZE);
        }
        for (size_t i = 0; i < AT_ONCE; i++) {
            mb_free(objects[i]);
        }
    }
    mbi_thread_cache->upper_bytes -= mbi_config.upper_bytes_max;
    uint64_t locks = counter_read(&pool->mutex_acquisitions);
    cr_assert_leq(locks, ROUNDS / 4, "%lu locks", (unsigned long)locks);
    check_accounting(0);
}

/* Objects that a batch asks for come from the same pools as single ones. */
Test(upper, batches_come_from_pools_up_to_the_border)
{
    enum { BORDER = 1280, BATCH = 100 };
    setenv("MB_POOL_MAX", "1280", 1);
    mb_free(mb_alloc(1)); /* the thread has a cache */
    for (size_t size = BORDER - 1; size <= BORDER + 1; size++) {
        cr_assert_eq(mb_alloc_batch(size, BATCH, objects), BATCH);
        for (size_t i = 0; i < BATCH; i++) {
            cr_assert_eq(is_pooled(objects[i]), size <= BORDER, "%zu bytes", size);
        }
        mb_free_batch(BATCH, objects);
    }
    check_accounting(0);
}

static bool is_used_beyond(size_t bytes)
{
    return pools_next(size_class_of(bytes) + 1) < SIZE_CLASS_COUNT;
}

/* Nothing finds a way into a pool that has no spans: no refused request, no object that grows. */
static void use_no_pool_beyond(size_t border)
{
    cr_assert_eq(mbi_startup(), 0);
    cr_assert_eq(mbi_config.pool_bytes_max, border);
    (void)mb_memory_limit_set(2 << 20);
    size_t done = 0;
    while (done < MANY && (objects[done] = mb_alloc(border)) != NULL) {
        done++;
    }
    cr_assert_lt(done, MANY);
    cr_assert_null(mb_alloc(border / 2 + 1));
    cr_assert_not(is_used_beyond(border), "a refused request used a larger pool");
    mb_free_batch(done, objects);
    (void)mb_memory_limit_set(0);
    void *object = mb_realloc(mb_alloc(100), border - border / 16);
    cr_assert(is_pooled(object));
    mb_free(object);
    cr_assert_not(is_used_beyond(border), "an object that grew is beyond it");
    check_accounting(0);
}

Test(upper, pools_beyond_a_border_of_1280_are_never_used)
{
    setenv("MB_POOL_MAX", "1280", 1);
    use_no_pool_beyond(1280);
}

Test(upper, pools_beyond_a_border_of_20480_are_never_used)
{
    setenv("MB_POOL_MAX", "20000", 1);
    use_no_pool_beyond(20480);
}

static void *allocate_without_a_cache(void *argument)
{
    thread_use_cache(&mbi_cache_direct);
    void *object = mb_alloc(2000);
    void *zeroed = mb_calloc(20, 100);
    cr_assert(is_pooled(object) && is_pooled(zeroed));
    for (size_t i = 0; i < 2000; i++) {
        cr_assert_eq(((char *)zeroed)[i], 0);
    }
    object = mb_realloc(object, 30000);
    cr_assert(is_pooled(object));
    for (size_t i = 0; i < MANY; i++) { /* of loose slots there are fewer than make a batch */
        struct pool *pool = pool_at(size_class_of(20000));
        objects[i] = mb_alloc(20000);
        cr_assert(is_pooled(objects[i]));
        cr_assert_lt(counter_read(&pool->loose_rounds), pool->rounds);
    }
    mb_free_batch(MANY, objects);
    mb_free(object);
    mb_free(zeroed);
    return argument;
}

/* Pools serve also threads that never get a cache, or have it no more: no limit is evaded. */
Test(upper, a_thread_without_a_cache_is_served_by_pools, .init = all_pools)
{
    mb_free(mb_alloc(1));
    pthread_join(start_thread(allocate_without_a_cache, NULL), NULL);
    check_accounting(0);
}

/* The first thing that a thread does, when it has no cache yet. */
static void *begin_with(void *argument)
{
    void *object = *(int *)argument == 0   ? mb_calloc(3, 300)
                   : *(int *)argument == 1 ? mb_realloc(NULL, 5000)
                                           : mb_aligned_alloc(64, 9000);
    cr_assert(is_pooled(object), "way %d", *(int *)argument);
    mb_free(object);
    return NULL;
}

Test(upper, a_threads_first_request_is_served_by_a_pool, .init = all_pools)
{
    for (int way = 0; way < 3; way++) {
        pthread_join(start_thread(begin_with, &way), NULL);
    }
    check_accounting(0);
}

/* An object of the system allocator that shrinks to what a pool serves moves there. */
Test(upper, what_shrinks_below_the_border_moves_to_a_pool, .init = all_pools)
{
    unsigned char *object = mb_alloc(100000);
    cr_assert_not(is_pooled(object));
    memset(object, 7, 100000);
    object = mb_realloc(object, 20000);
    cr_assert(is_pooled(object));
    cr_assert(object[0] == 7 && object[19999] == 7);
    mb_free(object);
    check_accounting(0);
}

/* All of it goes back, whatever part of a page or how many pages a slot covers. */
Test(upper, trim_gives_their_memory_back, .init = all_pools)
{
    static const size_t sizes[] = { 700, 4096, 5000, 20480, 32768 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t j = 0; j < MANY; j++) {
            objects[j] = mb_alloc(sizes[i]);
            memset(objects[j], 1, sizes[i]);
        }
        for (size_t j = 0; j < MANY; j++) {
            if (j % 10 != 0) {
                mb_free(objects[j]);
            }
        }
        (void)mb_trim(0);
        check_accounting(MANY / 10);
        for (size_t j = 0; j < MANY; j += 10) {
            mb_free(objects[j]);
        }
        (void)mb_trim(0);
        struct pool *pool = pool_at(size_class_of(sizes[i]));
        cr_assert_leq(mbi_pool_resident_bytes(pool), 8192, "%zu bytes", sizes[i]);
        uint64_t carved = counter_read(&pool->carved);
        for (size_t j = 0; j < MANY; j++) {
            objects[j] = mb_alloc(sizes[i]);
            memset(objects[j], 1, sizes[i]);
        }
        cr_assert_eq(counter_read(&pool->carved), carved, "released memory is used before fresh");
        mb_free_batch(MANY, objects);
        check_accounting(0);
    }
}

Test(upper, calloc_gives_zeros, .init = all_pools)
{
    for (size_t size = 600; size < 40000; size = size * 5 / 4) {
        unsigned char *object = mb_alloc(size);
        memset(object, 0xA5, size);
        mb_free(object);
        object = mb_calloc(size / 8, 8);
        for (size_t i = 0; i < size / 8 * 8; i++) {
            cr_assert_eq(object[i], 0);
        }
        mb_free(object);
    }
}

static size_t resident_pages(void *object, size_t bytes)
{
    const uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t first = (uintptr_t)object & ~(page_bytes - 1);
    unsigned char resident[64];
    const size_t pages = ((uintptr_t)object + bytes - first + page_bytes - 1) / page_bytes;
    cr_assert_leq(pages, sizeof resident);
    cr_assert_eq(mincore((void *)first, pages * page_bytes, resident), 0);
    size_t count = 0;
    for (size_t i = 0; i < pages; i++) {
        count += resident[i] & 1U;
    }
    return count;
}

/* Of a fresh slot of 8 pages one or two are written to: its own first, and a neighbour's. */
Test(upper, calloc_does_not_clear_fresh_pages, .init = all_pools)
{
    enum { OBJECTS = 64, BYTES = 32768 };
    size_t pages = 0;
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = mb_calloc(1, BYTES);
        pages += resident_pages(objects[i], BYTES);
    }
    cr_assert_leq(pages, OBJECTS * 2, "%zu pages", pages);
    for (size_t i = 0; i < OBJECTS; i++) {
        mb_free(objects[i]);
    }
    check_accounting(0);
}

/* In all ways in which free slots come back: from the magazine, the centre and the loose list. */
Test(upper, calloc_clears_slots_that_were_used, .init = all_pools)
{
    enum { OBJECTS = 100 };
    static const size_t sizes[] = { 520, 1024, 1025, 4095, 4096, 5000, 20000, 32768 };
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (unsigned round = 0; round < 3; round++) {
            for (size_t i = 0; i < OBJECTS; i++) {
                unsigned char *object = objects[i] = mb_calloc(1, sizes[s]);
                for (size_t byte = 0; byte < sizes[s]; byte++) {
                    cr_assert_eq(object[byte], 0, "byte %zu of %zu", byte, sizes[s]);
                }
                memset(object, 0xa5, sizes[s]);
            }
            for (size_t i = 0; i < OBJECTS; i++) {
                mb_free(objects[i]);
            }
            if (round == 1) {
                mb_thread_flush();
            }
        }
    }
    check_accounting(0);
}

static void calloc_carves_nothing(size_t count, size_t size)
{
    struct pool *pool = pool_at(size_class_of(size));
    uint64_t carved = counter_read(&pool->carved);
    for (size_t i = 0; i < count; i++) {
        objects[i] = mb_calloc(1, size);
        cr_assert_not_null(objects[i]);
    }
    cr_assert_eq(counter_read(&pool->carved), carved, "fresh slots were carved");
    mb_free_batch(count, objects);
}

/* Fresh slots need not be cleared, but what was freed comes first: from the centre, or loose. */
Test(upper, calloc_takes_no_fresh_slot_while_others_are_free, .init = all_pools)
{
    enum { SIZE = 20000, OBJECTS = 100, FEW = 3 };
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = mb_alloc(SIZE);
        memset(objects[i], 1, SIZE);
    }
    mb_free_batch(OBJECTS, objects);
    mb_thread_flush();
    calloc_carves_nothing(OBJECTS, SIZE);
    mb_thread_flush();
    (void)mb_trim(0);
    cr_assert_geq(counter_read(&pool_at(size_class_of(SIZE))->sorted_slots), OBJECTS);
    calloc_carves_nothing(OBJECTS, SIZE);

    size_t few_bytes = SIZE / 2;
    for (size_t i = 0; i < FEW; i++) {
        objects[i] = mb_alloc(few_bytes);
    }
    mb_free_batch(FEW, objects);
    mb_thread_flush();
    cr_assert_geq(counter_read(&pool_at(size_class_of(few_bytes))->loose_rounds), FEW);
    calloc_carves_nothing(FEW, few_bytes);
    check_accounting(0);
}

static size_t allocate_until_refused(size_t size, size_t count, void **out)
{
    size_t done = 0;
    while (done < count && (out[done] = mb_alloc(size)) != NULL) {
        done++;
    }
    return done;
}

/* Large slots that are free do not become small objects' one by one: their memory goes back. */
Test(upper, small_objects_do_not_use_up_large_slots, .init = all_pools)
{
    enum { LIMIT = 16 << 20, SMALL = 100000 };
    static void *small[SMALL];
    (void)mb_memory_limit_set(LIMIT);
    for (size_t size = 1024; size <= POOL_BYTES_MAX; size *= 2) {
        size_t done = allocate_until_refused(size, SMALL, small);
        cr_assert_geq(done * size, LIMIT / 4 * 3);
        mb_free_batch(done, small);
        cr_assert_eq(allocate_until_refused(16, SMALL, small), SMALL, "after %zu bytes", size);
        mb_free_batch(SMALL, small);
    }
    check_accounting(0);
}

/* What is free in pages that live objects hold serves small objects in the end. */
Test(upper, at_last_large_slots_serve_small_objects, .init = all_pools)
{
    (void)mb_memory_limit_set(1 << 20);
    size_t done = allocate_until_refused(1024, MANY, objects);
    cr_assert_gt(done, 10);
    mb_free(objects[done / 2]); /* three quarters of its page are in use */
    void *object = mb_alloc(16);
    cr_assert_eq(object, objects[done / 2]);
    cr_assert_null(mb_alloc(16));
    objects[done / 2] = object;
    mb_free_batch(done, objects);
    check_accounting(0);
}

/* An object that grows gets more than it asks for, where there is more. */
Test(upper, growing_needs_no_more_than_was_asked_for)
{
    (void)mb_memory_limit_set(1 << 20);
    char *growing = mb_alloc(100);
    size_t done = allocate_until_refused(136, MANY * 3, many);
    cr_assert_gt(done, 1000);
    mb_free(many[done / 2]);
    errno = 77;
    char *grown = mb_realloc(growing, 136);
    cr_assert_eq(grown, many[done / 2]);
    cr_assert_eq(errno, 77);
    many[done / 2] = grown;
    mb_free_batch(done, many);
    check_accounting(0);
}

static void *use_a_cache(void *argument)
{
    mb_free(mb_alloc(24));
    return argument;
}

/*
 * A batch of the centre may be more than the process's budget lets the magazine hold. What is freed
 * then makes no chain of it that is longer than a batch.
 */
Test(upper, a_batch_beyond_the_budget_grows_no_further)
{
    enum { ROUNDS = 40 };
    setenv("MB_POOL_MAX", "32K", 1);
    setenv("MB_MAGAZINE_SIZE", "32768-32768:40", 1);
    setenv("MB_THREAD_CACHE_MAX", "1G", 1);
    setenv("MB_CACHE_MAX", "1M", 1);
    mb_free(mb_alloc(24));
    pthread_join(start_thread(use_a_cache, NULL), NULL); /* from now on there is a budget */
    for (size_t turn = 0; turn < 3; turn++) {
        size_t done = mb_alloc_batch(POOL_BYTES_MAX, (size_t)4 * ROUNDS, objects);
        mb_free_batch(done, objects);
        mb_thread_flush();
        for (size_t i = 0; i <= ROUNDS; i++) { /* a batch, and one of the next */
            objects[i] = mb_alloc(POOL_BYTES_MAX);
        }
        for (size_t i = 0; i <= ROUNDS; i++) {
            mb_free(objects[i]);
        }
        mb_thread_flush();
        check_accounting(0);
    }
}

/* Also what upper classes hold beyond their share counts to what a thread may cache. */
Test(upper, a_small_thread_cache_stays_small)
{
    setenv("MB_POOL_MAX", "32K", 1);
    setenv("MB_THREAD_CACHE_MAX", "512K", 1);
    size_t held = 0;
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        for (size_t turn = 0; turn < 3; turn++) {
            size_t done = mb_alloc_batch(size_class_slot_bytes(class), 64, objects);
            for (size_t i = 0; i < done; i++) {
                mb_free(objects[i]);
            }
        }
    }
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        held += mbi_thread_cache_rounds(mbi_thread_cache, class) * size_class_slot_bytes(class);
    }
    cr_assert_leq(held, mbi_config.thread_cache_bytes_max);
    check_accounting(0);
}
