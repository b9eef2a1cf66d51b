/*
 * walk_refused: a walk whose thread cannot be registered with liburcu, as there is no memory.
 *
 * Only that walk does without: caches that are retired meanwhile wait for its end, also when a
 * grace period has ended. With memory the thread's next walk registers it, and later ones need
 * none.
 */
#include "testing.h"

#include "core/os.h"
#include "tcache/registry.h"

static bool refused;

/* Names that the linker gives (--wrap): the calls inside the library come here. */
void *__real_mbi_os_map(size_t bytes);
void *__wrap_mbi_os_map(size_t bytes);

void *__wrap_mbi_os_map(size_t bytes)
{
    return refused ? NULL : __real_mbi_os_map(bytes);
}

static struct thread_cache *add_one(void)
{
    struct thread_cache *cache = mbi_vacant_take();
    CHECK(cache != NULL && mbi_registry_add(cache) != 0, "no cache");
    return cache;
}

int main(void)
{
    struct thread_cache *caches[RETIRE_BATCH];
    mb_free(mb_alloc(1));
    for (size_t i = 0; i < RETIRE_BATCH; i++) {
        caches[i] = add_one();
    }
    struct thread_cache *last = add_one();
    uint64_t reusable = counter_read(&mbi_cache_counts.reusable);

    refused = true;
    bool rcu = mbi_vacant_begin_walk();
    CHECK(!rcu, "liburcu is asked for a thread for which there is no memory");
    for (size_t i = 0; i < RETIRE_BATCH; i++) {
        mbi_registry_retire(caches[i]);
    }
    CHECK(counter_read(&mbi_cache_counts.retired) == RETIRE_BATCH
              && counter_read(&mbi_cache_counts.reusable) == reusable,
          "a grace period counts beside a walk for which it did not wait");
    mbi_vacant_end_walk(rcu);
    mbi_registry_retire(last); /* which finds that nobody walks any more */
    CHECK(counter_read(&mbi_cache_counts.retired) == 0, "they were not reused at all");

    refused = false;
    rcu = mbi_vacant_begin_walk();
    CHECK(rcu, "one refusal is enough for all walks");
    mbi_vacant_end_walk(rcu);
    refused = true;
    rcu = mbi_vacant_begin_walk();
    CHECK(rcu, "a thread that is registered needs memory");
    mbi_vacant_end_walk(rcu);
    refused = false;
    check_accounting(0);
    return 0;
}
