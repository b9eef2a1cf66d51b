/*
 * walk_fold: a walk that meets a departing cache both folded and listed does not count it twice.
 *
 * The linker puts __wrap_mbi_pool_fold_counts between the registry and the pool: there a thread
 * that retires a cache stands still, the counts already with the pool and still in the cache. The
 * first turn of a walk falls wholly into that moment; the cache departs during the second.
 */
#include "testing.h"

#include "tcache/registry.h"

enum { CLASS = 5, REFILLS = 3 };

static _Atomic bool folded;
static _Atomic bool go_on;
static _Atomic bool retired;

void __real_mbi_pool_fold_counts(struct pool *pool, const struct transfer_counts *counts);
void __wrap_mbi_pool_fold_counts(struct pool *pool, const struct transfer_counts *counts);

static void wait_until(const _Atomic bool *flag)
{
    while (!atomic_load_explicit(flag, memory_order_acquire)) { /* [TEST] */
        usleep(100);
    }
}

static void set(_Atomic bool *flag)
{
    atomic_store_explicit(flag, true, memory_order_release); /* [TEST] */
}

void __wrap_mbi_pool_fold_counts(struct pool *pool, const struct transfer_counts *counts)
{
    __real_mbi_pool_fold_counts(pool, counts);
    set(&folded);
    wait_until(&go_on);
}

static void *retire(void *argument)
{
    mbi_registry_retire(argument);
    set(&retired);
    return NULL;
}

struct sum {
    int turns;
    uint64_t refills;
};

static void begin(void *argument)
{
    struct sum *sum = argument;
    if (++sum->turns == 2) {
        set(&go_on);
        wait_until(&retired);
    }
    sum->refills = counter_read(&pool_at(CLASS)->departed.refills);
}

static void add(const struct thread_cache *cache, void *argument)
{
    struct sum *sum = argument;
    sum->refills += counter_read(&cache->transfers[CLASS].refills);
}

int main(void)
{
    mb_free(mb_alloc(1));
    struct thread_cache *cache = mbi_vacant_take();
    CHECK(cache != NULL && pool_for_use(CLASS) != NULL, "no memory");
    mbi_registry_add(cache);
    counter_add(&cache->transfers[CLASS].refills, REFILLS);

    pthread_t retirer = start_thread(retire, cache);
    wait_until(&folded);
    struct sum sum = { 0, 0 };
    mbi_registry_walk(begin, add, &sum);
    set(&go_on);
    pthread_join(retirer, NULL);
    CHECK(sum.refills == REFILLS, "%llu refills after %d turns, not %d",
          (unsigned long long)sum.refills, sum.turns, REFILLS);
    return 0;
}
