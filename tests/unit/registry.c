/* registry: where caches are, and that a walk sees each active one. */
#include "tcache/registry.h"

#include "tcache/startup.h"

#include <criterion/criterion.h>
#include <pthread.h>

static size_t begun;
static size_t visited;

static void begin(void *argument)
{
    (void)argument;
    begun++;
    visited = 0;
}

static void visit(const struct thread_cache *cache, void *argument)
{
    int cancel_state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    cr_assert_eq(cancel_state, PTHREAD_CANCEL_DISABLE, "a walk can be cancelled");
    cr_assert(cache->active);
    *(const struct thread_cache **)argument = cache;
    visited++;
}

static size_t walk(void)
{
    const struct thread_cache *last = NULL;
    begun = 0;
    mbi_registry_walk(begin, visit, &last);
    cr_assert_eq(begun, 1, "nothing changed, and yet it walked %zu times", begun);
    return visited;
}

Test(registry, a_walk_visits_what_was_added_and_not_retired)
{
    cr_assert_eq(mbi_startup(), 0);
    struct thread_cache *caches[100];
    size_t before = walk();
    for (size_t i = 0; i < 100; i++) {
        caches[i] = mbi_vacant_take();
        cr_assert_not_null(caches[i]);
        cr_assert_eq((uintptr_t)caches[i] % ISOLATION_BYTES, 0);
        mbi_registry_add(caches[i]);
    }
    cr_assert_eq(walk(), before + 100);
    for (size_t i = 0; i < 100; i++) {
        mbi_registry_retire(caches[i]);
    }
    cr_assert_eq(walk(), before);
}

Test(registry, retired_caches_are_reused_after_a_grace_period)
{
    cr_assert_eq(mbi_startup(), 0);
    for (size_t i = 0; i < 10 * RETIRE_BATCH; i++) {
        struct thread_cache *cache = mbi_vacant_take();
        cr_assert_not_null(cache);
        mbi_registry_add(cache);
        mbi_registry_retire(cache);
    }
    uint64_t retired = counter_read(&mbi_cache_counts.retired);
    cr_assert_lt(retired, RETIRE_BATCH);
    cr_assert_leq(retired + counter_read(&mbi_cache_counts.reusable), 2 * RETIRE_BATCH);
}

Test(registry, counts_of_a_retired_cache_are_kept)
{
    cr_assert_eq(mbi_startup(), 0);
    cr_assert_not_null(pool_for_use(5));
    struct thread_cache *cache = mbi_vacant_take();
    mbi_registry_add(cache);
    counter_add(&cache->transfers[5].refills, 3);
    counter_add(&cache->transfers[5].flushes, 4);
    counter_add(&cache->counts.large_allocs, 7);
    mbi_registry_retire(cache);
    cr_assert_eq(counter_read(&pool_at(5)->departed.refills), 3);
    cr_assert_eq(counter_read(&pool_at(5)->departed.flushes), 4);
    cr_assert_eq(counter_read(&mbi_departed_counts.large_allocs), 7);
    cr_assert_eq(counter_read(&cache->transfers[5].refills), 0);
}

#define COUNT_ONE(name, ...) counter_add(&counts->name, 1);
#define EXPECT_ONE(name, ...) \
    cr_expect_eq(counter_read(&departed->name), 1, "%s was left in the cache", #name);
#define TEST_FOR(name, ...) one_counter_alone_is_kept(offsetof(struct transfer_counts, name), #name);

/* Whatever else the cache has not counted. */
static void one_counter_alone_is_kept(size_t offset, const char *name)
{
    cr_assert_not_null(pool_for_use(6));
    struct thread_cache *cache = mbi_vacant_take();
    mbi_registry_add(cache);
    char *counts = (char *)&cache->transfers[6];
    char *departed = (char *)&pool_at(6)->departed;
    counter_add((_Atomic uint64_t *)(void *)(counts + offset), 1);
    mbi_registry_retire(cache);
    cr_expect_eq(counter_read((_Atomic uint64_t *)(void *)(departed + offset)), 1,
                 "%s of a thread that has exited are missing", name);
    cr_expect_eq(counter_read((_Atomic uint64_t *)(void *)(counts + offset)), 0);
}

Test(registry, each_transfer_counter_is_kept_without_the_others)
{
    cr_assert_eq(mbi_startup(), 0);
    TRANSFER_COUNTERS(TEST_FOR)
}

Test(registry, each_counter_of_a_thread_is_kept)
{
    cr_assert_eq(mbi_startup(), 0);
    struct thread_cache *cache = mbi_vacant_take();
    struct thread_counts *counts = &cache->counts;
    const struct thread_counts *departed = &mbi_departed_counts;
    mbi_registry_add(cache);
    THREAD_COUNTERS(COUNT_ONE)
    mbi_registry_retire(cache);
    THREAD_COUNTERS(EXPECT_ONE)
}
