/*
 * grace_period [EPERM|ENOSYS]: a cache that a walker looks at is not reused before the walker has
 * left.
 *
 * A walk stands still inside its read-side section while so many caches are retired that a grace
 * period is due. Without one, the last retirement returns at once, and the walker sees that; with
 * one it cannot return before the walker goes on, which it does after a while. With an argument,
 * membarrier fails so before: then liburcu cannot be asked for the grace period, nobody waits for
 * it, and the caches stay retired until the walk is over.
 */
#include "refuse_membarrier.h"
#include "standing_walker.h"

enum { STANDSTILL_MS = 300 };

static _Atomic bool retired;
static bool retired_under_the_walker;
static uint64_t reusable_before;
static uint64_t reusable_under_the_walker;

static bool walker_has_seen_it(void)
{
    static int milliseconds;
    retired_under_the_walker = atomic_load_explicit(&retired, memory_order_acquire); /* [TEST] */
    reusable_under_the_walker = counter_read(&mbi_cache_counts.reusable) - reusable_before;
    return retired_under_the_walker || ++milliseconds == STANDSTILL_MS;
}

static void retire_one(void)
{
    struct thread_cache *cache = mbi_vacant_take();
    CHECK(cache != NULL, "no memory");
    mbi_registry_add(cache);
    mbi_registry_retire(cache);
}

int main(int argc, char **argv)
{
    mb_free(mb_alloc(1)); /* one active cache to walk over */
    if (argc == 2 && !refuse_membarrier(refusal_from_name(argv[1]))) {
        puts("this kernel has no membarrier to refuse, or no seccomp to refuse it with");
        return SKIPPED;
    }
    struct thread_cache *caches[RETIRE_BATCH];
    for (size_t i = 0; i < RETIRE_BATCH; i++) {
        caches[i] = mbi_vacant_take();
        CHECK(caches[i] != NULL, "no memory");
        mbi_registry_add(caches[i]);
    }
    retire_one();
    reusable_before = counter_read(&mbi_cache_counts.reusable);
    CHECK(counter_read(&mbi_cache_counts.retired) == 0, "a cache waits, and nobody walks");
    pthread_t walker = start_standing_walker(walker_has_seen_it);
    for (size_t i = 0; i < RETIRE_BATCH; i++) {
        mbi_registry_retire(caches[i]);
    }
    atomic_store_explicit(&retired, true, memory_order_release); /* [TEST] */
    pthread_join(walker, NULL);
    CHECK(argc == 2 || !retired_under_the_walker, "nobody waited for the walker");
    CHECK(reusable_under_the_walker == 0, "%llu caches could be reused while a walker saw them",
          (unsigned long long)reusable_under_the_walker);
    retire_one(); /* which finds that nobody walks any more */
    CHECK(counter_read(&mbi_cache_counts.retired) == 0, "they were not reused at all");
    check_accounting(0);
    return 0;
}
