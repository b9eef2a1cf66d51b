/*
 * rest: what must hold while no thread is at work: every object whole, none over another, and the
 * accounting equation of every pool with as many live slots as the model has.
 *
 * Belongs to model.h, and is embedded into printed programs behind it.
 */
#ifndef MEMORYBUCKET_TESTS_PROPERTY_REST_H
#define MEMORYBUCKET_TESTS_PROPERTY_REST_H

#include "property/model.h"

enum { OBJECTS_MAX = TABLES * PLACES + SHARED_PLACES };

/* Every live object; one thread at a time. */
static const struct object *every_object[OBJECTS_MAX];

static inline size_t objects_collect(void)
{
    size_t count = 0;
    for (const struct table *table = tables; table < tables + TABLES; table++) {
        for (size_t place = 0; table->used && place < PLACES; place++) {
            if (table->at[place].memory != NULL) {
                every_object[count++] = &table->at[place];
            }
        }
    }
    for (size_t i = 0; i < SHARED_PLACES; i++) {
        const struct object *object =
            atomic_load_explicit(&shared[i], memory_order_acquire); /* [TEST] */
        if (object != NULL) {
            every_object[count++] = object;
        }
    }
    return count;
}

static inline int object_compare(const void *a, const void *b)
{
    uintptr_t left = (uintptr_t)(*(const struct object *const *)a)->memory;
    uintptr_t right = (uintptr_t)(*(const struct object *const *)b)->memory;
    return (left > right) - (left < right);
}

static inline void objects_check(size_t count)
{
    qsort(every_object, count, sizeof every_object[0], object_compare);
    for (size_t i = 0; i < count; i++) {
        const struct object *object = every_object[i];
        object_check(object, object->memory, object->usable);
        EXPECT(i + 1 == count || object->memory + object->usable <= every_object[i + 1]->memory,
               "%p, of %zu bytes, reaches into the next object", (void *)object->memory,
               object->usable);
    }
}

/*
 * Slots are of 8, 16, ... 512 bytes; of 528, 544, ... 1,024, in two classes each; and then of 9, 10,
 * 12, 14 and 16 eighths of each power of two. The last class with slots of so many bytes.
 */
static inline size_t class_of_slot(size_t bytes)
{
    size_t class = 128;
    size_t quarter = 256;
    if (bytes <= 1024) {
        return bytes / 8 - 1;
    }
    while (bytes > 8 * quarter) {
        class += 5;
        quarter *= 2;
    }
    return bytes % quarter != 0 ? class : class + bytes / quarter - 4;
}

/* carved = live + held for every pool, and live is what the model says. */
static inline void accounting_check(size_t count)
{
    static struct mb_stats stats;
    uint64_t live[MB_POOL_COUNT] = { 0 };
    for (size_t i = 0; i < count; i++) {
        if (every_object[i]->pooled) {
            live[class_of_slot(every_object[i]->usable)]++;
        }
    }
    EXPECT(mb_stats_get(&stats, sizeof stats) == 0, "no statistics");
    uint64_t of_size = 0;
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        const struct mb_pool_stats *pool = &stats.pool[class];
        uint64_t held = pool->magazines + pool->parked + pool->central + pool->loose + pool->sorted
                        + pool->orphaned;
        EXPECT(pool->carved == pool->live + held, "slots of %llu bytes: %llu carved, %llu held",
               (unsigned long long)pool->slot_bytes, (unsigned long long)pool->carved,
               (unsigned long long)held);
        of_size += pool->live;
        if (class_of_slot(pool->slot_bytes) != class) {
            continue; /* the next class's slots are as large */
        }
        EXPECT(of_size == live[class], "%llu slots of %llu bytes are live, %llu should be",
               (unsigned long long)of_size, (unsigned long long)pool->slot_bytes,
               (unsigned long long)live[class]);
        of_size = 0;
    }
    if (!model_at_once) {
        EXPECT(stats.memory_limit == limit_bytes, "the limit is %zu", limit_bytes);
        EXPECT(limit_bytes == 0 || stats.committed_bytes <= committed_max,
               "%llu bytes are committed under a limit of %zu",
               (unsigned long long)stats.committed_bytes, limit_bytes);
    }
    errno = 0;
}

/* The background thread moves slots while they are counted: then only the objects are looked at. */
static inline void model_check(void)
{
    size_t count = objects_collect();
    objects_check(count);
    if (!background) {
        accounting_check(count);
    }
}

/* Threads may be at work: the numbers are recent, and each makes sense alone. */
static inline void stats_look(void)
{
    struct mb_stats stats;
    EXPECT(mb_stats_get(NULL, sizeof(struct mb_stats)) == -EINVAL, "statistics without room for them");
    EXPECT(mb_stats_get(&stats, sizeof stats) == 0, "no statistics");
    EXPECT(stats.threads_idle <= stats.threads, "%llu of %llu threads are idle",
           (unsigned long long)stats.threads_idle, (unsigned long long)stats.threads);
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        bool first_of_two = class >= MB_SMALL_POOL_COUNT && class < 128 && class % 2 == 0;
        EXPECT(class_of_slot(stats.pool[class].slot_bytes) == class + first_of_two, "pool %zu",
               class);
    }
    errno = 0;
}

/* Back to the beginning: nothing is live, no limit, no handler, no background thread. */
static inline void model_finish(void)
{
    mb_out_of_memory_handler_set(NULL, NULL);
    mb_background_stop();
    background = false;
    (void)mb_memory_limit_set(0);
    limit_bytes = 0;
    atomic_store_explicit(&limited, false, memory_order_relaxed); /* [TEST] */
    own = tables;
    model_at_once = false;
    objects_check(objects_collect());
    for (struct table *table = tables; table < tables + TABLES; table++) {
        for (size_t place = 0; table->used && place < PLACES; place++) {
            object_free(&table->at[place]);
        }
        table->used = false;
    }
    for (size_t i = 0; i < SHARED_PLACES; i++) {
        object_share(0, i);
        object_free(&own->at[0]);
    }
    EXPECT(mb_usable_size(NULL) == 0, "mb_usable_size(NULL)");
    model_check();
}

#endif
