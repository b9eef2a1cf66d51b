/* order: what lies in the centre out of order is sorted, and comes in the order of its addresses. */
#include "core/order.h"

#include "core/config.h"
#include "core/excess.h"
#include "core/limit.h"
#include "core/os.h"
#include "core/trim.h"
#include "testing.h"

#include <criterion/criterion.h>

enum { OBJECTS = 200000, SIZE = 64, CLASS = 7 };

static void *objects[OBJECTS];

/* Nothing goes back. */
static void never_back(void)
{
    setenv("MB_DECAY_MS", "-1", 1);
}

/* Windows of a day: but steps by volume. */
static void never_by_time(void)
{
    setenv("MB_DECAY_MS", "86400000", 1);
}

static void allocate(size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        objects[i] = mb_alloc(size);
        cr_assert_not_null(objects[i]);
        memset(objects[i], 0x5a, size);
    }
}

static void free_all(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mb_free(objects[i]);
    }
}

static void free_shuffled(size_t count)
{
    uint64_t random = 7;
    for (size_t i = count - 1; i > 0; i--) {
        size_t other = random_below(&random, i + 1);
        void *object = objects[i];
        objects[i] = objects[other];
        objects[other] = object;
    }
    free_all(count);
}

/* How many of the objects lie right behind the one before. */
static size_t in_order(size_t count)
{
    size_t found = 0;
    for (size_t i = 1; i < count; i++) {
        found += (char *)objects[i] - (char *)objects[i - 1] == SIZE;
    }
    return found;
}

static bool step(size_t slots_max)
{
    cr_assert(mbi_lock_acquire(LOCK_TRIM));
    bool worked = mbi_order_step(slots_max);
    mbi_lock_release(LOCK_TRIM);
    return worked;
}

/* Passes until the pool is ordered; returns how many of its slots were. */
static uint64_t passes(const struct pool *pool)
{
    uint64_t before = counter_read(&pool->ordered);
    for (size_t i = 0; i < 2 * (OBJECTS / TRIM_NUMBERS_MAX); i++) {
        (void)step(TRIM_SLOTS_MAX);
    }
    return counter_read(&pool->ordered) - before;
}

static void age(struct pool *pool)
{
    cr_assert(mbi_lock_acquire(LOCK_TRIM));
    cr_assert(mbi_pool_age(pool, true));
    mbi_lock_release(LOCK_TRIM);
}

/* Gives back what may go; returns how many bytes did. */
static size_t release(struct pool *pool)
{
    struct trim_allowance left = { 0, SIZE_MAX, TRIM_PAGES_MAX, SIZE_MAX, true };
    size_t before;
    size_t bytes = 0;
    cr_assert(mbi_lock_acquire(LOCK_TRIM));
    do {
        before = bytes;
        left.pages = TRIM_PAGES_MAX;
        (void)mbi_trim_release(pool, &left, &bytes);
    } while (bytes != before);
    mbi_lock_release(LOCK_TRIM);
    return bytes;
}

/* The centre has all of them, and nothing was done about it: with the trim lock, no step is. */
static struct pool *pool_with(size_t count, void (*free_them)(size_t))
{
    allocate(count, SIZE);
    cr_assert(mbi_lock_acquire(LOCK_TRIM));
    free_them(count);
    mb_thread_flush();
    mbi_lock_release(LOCK_TRIM);
    return pool_at(CLASS);
}

static void come_in_order(void)
{
    allocate(OBJECTS, SIZE);
    free_shuffled(OBJECTS);
    mb_thread_flush();
    const struct pool *pool = pool_at(CLASS);
    cr_assert_geq(counter_read(&pool->ordered), OBJECTS * 3 / 4, "%llu are ordered",
                  (unsigned long long)counter_read(&pool->ordered));
    cr_assert_eq(counter_read(&pool->released_bytes), 0);
    allocate(OBJECTS, SIZE);
    cr_assert_geq(in_order(OBJECTS), OBJECTS * 7 / 10, "%zu lie in order", in_order(OBJECTS));
    cr_assert_leq(counter_read(&pool->ordered), OBJECTS / 50); /* what else was carved */
    check_accounting(OBJECTS);
}

Test(order, objects_come_in_order_again, .init = never_by_time)
{
    come_in_order();
}

Test(order, also_where_nothing_goes_back, .init = never_back)
{
    come_in_order();
}

Test(order, what_is_in_order_stays_on_the_lists, .init = never_by_time)
{
    allocate(OBJECTS, SIZE);
    free_all(OBJECTS);
    mb_thread_flush();
    cr_assert_eq(counter_read(&pool_at(CLASS)->ordered), 0);
    check_accounting(0);
}

/* 32 pools in whose centre less than the least lies; together they have enough for a pass. */
Test(order, pools_with_little_are_left_alone, .init = never_back)
{
    enum { POOLS = 32, BYTES = 96 << 10 };
    _Static_assert(POOLS * BYTES > ORDER_FLOOR_BYTES && BYTES < ORDER_POOL_BYTES, "as it says");
    size_t count = 0;
    for (size_t i = 0; i < POOLS; i++) {
        size_t size = 8 * (i + 32);
        for (size_t bytes = 0; bytes < BYTES; bytes += size) {
            objects[count++] = mb_alloc(size);
            objects[OBJECTS - count] = mb_alloc(size);
        }
    }
    cr_assert_leq(2 * count, OBJECTS);
    cr_assert_geq(counter_read(&pool_at(32)->carved) * pool_at(32)->slot_bytes, ORDER_POOL_BYTES);
    free_shuffled(count);
    mb_thread_flush();
    cr_assert_geq(centre_list_bytes(), ORDER_FLOOR_BYTES);
    cr_assert_eq(passes(pool_at(32)), 0);
    cr_assert_eq(centre_list_bytes(), centre_bytes());
    check_accounting(count);
}

Test(order, a_step_is_bounded, .init = never_back)
{
    const struct pool *pool = pool_with(OBJECTS, free_shuffled);
    for (bool worked = true; worked;) {
        uint64_t before = counter_read(&pool->ordered);
        worked = step(2048);
        cr_assert_leq(counter_read(&pool->ordered) - before, 2048 + pool->rounds);
    }
    cr_assert_geq(counter_read(&pool->ordered), OBJECTS - pool->rounds);
}

Test(order, ordered_slots_count_as_the_centre_s, .init = never_back)
{
    struct pool *pool = pool_with(OBJECTS, free_shuffled);
    size_t bytes = centre_bytes();
    uint64_t ordered = passes(pool);
    cr_assert_geq(ordered, OBJECTS - pool->rounds);
    cr_assert_eq(centre_bytes(), bytes);
    cr_assert_leq(centre_list_bytes(), pool_batch_bytes(pool));
    cr_assert_eq(mbi_pool_sorted_bytes(pool), 0);
    check_accounting(0);
    allocate(1000, SIZE);
    uint64_t taken = ordered - counter_read(&pool->ordered);
    cr_assert_geq(taken, 1000 - pool->rounds); /* the loose ones come first */
    cr_assert_eq(centre_bytes(), bytes - taken * SIZE);
    check_accounting(1000);
}

Test(order, pages_stay_until_they_are_old, .init = never_back)
{
    struct pool *pool = pool_with(OBJECTS, free_shuffled);
    uint64_t ordered = passes(pool);
    cr_assert_eq(release(pool), 0);
    age(pool); /* the window in which they were ordered */
    cr_assert_eq(counter_read(&pool->ordered), ordered);
    cr_assert_eq(release(pool), 0);

    (void)pool_with(OBJECTS / 2, free_shuffled); /* these were needed in the next one */
    uint64_t rest = counter_read(&pool->ordered);
    (void)passes(pool);
    age(pool);
    cr_assert_geq(pool_settled_slots(pool), rest);
    cr_assert_leq(pool_settled_slots(pool), rest + mbi_os_page_bytes() / SIZE); /* a last page's */
    size_t bytes = release(pool);
    cr_assert_leq(bytes, pool_settled_slots(pool) * SIZE);
    cr_assert_geq(bytes, rest * SIZE / 10 * 9);
    check_accounting(0);

    age(pool);
    age(pool);
    cr_assert_eq(counter_read(&pool->ordered), 0);
    cr_assert_geq(release(pool), (OBJECTS / 2 - pool->rounds) * SIZE / 10 * 9);
    check_accounting(0);
}

Test(order, trim_gives_all_of_them_back, .init = never_back)
{
    struct pool *pool = pool_with(OBJECTS, free_shuffled);
    (void)passes(pool);
    cr_assert_geq(mb_trim(0), OBJECTS * SIZE / 10 * 9);
    cr_assert_eq(counter_read(&pool->ordered), 0);
    cr_assert_eq(centre_bytes(), 0);
    check_accounting(0);
}

Test(order, what_is_too_much_goes_back, .init = never_by_time)
{
    enum { BIG = 400 };
    allocate(OBJECTS, BIG);
    free_shuffled(OBJECTS);
    cr_assert_geq((size_t)OBJECTS * BIG, 2 * EXCESS_FLOOR_BYTES);
    cr_assert_leq(bounded_taken(&mbi_committed), EXCESS_FLOOR_BYTES + ((size_t)16 << 20));
    check_accounting(0);
}

/* A pool in order is looked at in each second pass, then in each fourth, and so on. */
Test(order, pools_in_order_are_left_out, .init = never_back)
{
    const struct pool *pool = pool_with(OBJECTS, free_all);
    size_t looked_at[16];
    size_t looks = 0;
    for (size_t i = 0; i < 16; i++) {
        uint64_t before = counter_read(&pool->departed.refills);
        (void)step(TRIM_SLOTS_MAX); /* a pass, as nothing is sorted */
        if (counter_read(&pool->departed.refills) != before) {
            looked_at[looks++] = i;
        }
    }
    const size_t expected[] = { 0, 2, 6, 14 };
    cr_assert_eq(looks, 4, "%zu passes looked at it", looks);
    cr_assert_arr_eq(looked_at, expected, sizeof expected);
    cr_assert_geq(centre_list_bytes(), ORDER_FLOOR_BYTES);
    cr_assert_not(order_is_due());
    check_accounting(0);
}

Test(order, a_pass_is_due_when_the_lists_have_grown, .init = never_back)
{
    cr_assert_not(order_is_due());
    struct pool *pool = pool_with(OBJECTS, free_shuffled);
    cr_assert(order_is_due());
    (void)passes(pool);
    cr_assert_not(order_is_due());
    size_t count = (ORDER_FLOOR_BYTES + ORDER_GROWTH_BYTES) / SIZE + 2 * pool->rounds;
    (void)pool_with(count, free_all);
    cr_assert(order_is_due());
    (void)passes(pool);
    cr_assert_not(order_is_due());
    mbi_pools_spread(2);
    (void)pool_with(OBJECTS, free_all);
    cr_assert_not(order_is_due(), "with threads on two processors");
}
