/* mbreplay_model: a thread's magazines, the centre, and the pools, each as a few numbers. */
#include "cli/mbreplay_model.h"

#include "cli/mbreplay_base.h"
#include "cli/mbreplay_steps.h"
#include "tcache/kept.h"

#include <stdlib.h>
#include <string.h>

enum { PARKED_CACHES_MAX = 64, FIRST_ROUNDS_MAX = 8, FIRST_BYTES = 16 << 10 };
enum { RUN_SHARE = 32, FIRST_RUN_ROUNDS = 8, FIRST_RUN_BYTES = 1024 };

/* As struct thread_cache. */
struct cache {
    uint32_t loaded[SIZE_CLASS_COUNT];
    uint16_t capacity[SIZE_CLASS_COUNT];
    uint32_t obtained[SIZE_CLASS_COUNT];
    struct kept kept[SIZE_CLASS_COUNT];
    size_t used_bytes;
    size_t upper_bytes;
    size_t extra_bytes;
};

/* As struct pool. */
struct model_pool {
    size_t slot_bytes;
    uint32_t rounds;
    uint32_t first_rounds;
    uint32_t line_rounds;
    uint64_t central; /* batches */
    uint64_t loose;   /* slots */
    struct model_counts *counts;
};

struct model {
    struct cache_bounds bounds;
    size_t class_end;
    struct model_pool pools[SIZE_CLASS_COUNT];
    struct cache **caches; /* of each thread's number */
    uint32_t threads;      /* that have begun */
    struct cache *parked[PARKED_CACHES_MAX];
    size_t parked_count;
    uint64_t carved_bytes;
};

/* ---- what a thread may have: transfer.c ------------------------------------------------------ */

static bool is_upper(size_t class)
{
    return class >= SMALL_CLASS_COUNT;
}

static bool has_share(const struct model *model, const struct cache *cache, size_t class,
                      size_t bytes)
{
    return !is_upper(class) || cache->upper_bytes + bytes <= model->bounds.upper_bytes;
}

static void use(struct cache *cache, size_t class, size_t bytes)
{
    cache->used_bytes += bytes;
    cache->upper_bytes += is_upper(class) ? bytes : 0;
}

static void unuse(struct cache *cache, size_t class, size_t bytes)
{
    cache->used_bytes -= bytes;
    cache->upper_bytes -= is_upper(class) ? bytes : 0;
}

static bool widen(struct model *model, struct cache *cache, size_t class, size_t rounds)
{
    const struct model_pool *pool = &model->pools[class];
    size_t bytes = (rounds - cache->capacity[class]) * pool->slot_bytes;
    bool first = rounds <= pool->first_rounds
                 && cache->used_bytes + bytes <= model->bounds.thread_bytes;
    if (!has_share(model, cache, class, bytes) && !first) {
        return false;
    }
    use(cache, class, bytes);
    cache->capacity[class] = (uint16_t)rounds;
    return true;
}

static bool widen_to_batch(struct model *model, struct cache *cache, size_t class)
{
    uint32_t rounds = model->pools[class].rounds;
    return cache->capacity[class] == rounds || widen(model, cache, class, rounds);
}

static size_t batch_bytes(const struct model_pool *pool)
{
    return pool->slot_bytes * pool->rounds;
}

static void keep(struct model *model, struct cache *cache, size_t class)
{
    struct kept *kept = &cache->kept[class];
    if (kept_depth(kept) != 0) {
        cache->extra_bytes += batch_bytes(&model->pools[class]);
    }
    kept_set_depth(kept, (uint16_t)(kept_depth(kept) + 1));
}

static void unkeep(struct model *model, struct cache *cache, size_t class)
{
    struct kept *kept = &cache->kept[class];
    uint16_t depth = (uint16_t)(kept_depth(kept) - 1);
    kept_set_depth(kept, depth);
    kept->low = depth < kept->low ? depth : kept->low;
    if (depth != 0) {
        cache->extra_bytes -= batch_bytes(&model->pools[class]);
    }
    unuse(cache, class, batch_bytes(&model->pools[class]));
}

static void flush(struct model_pool *pool)
{
    pool->central++;
    pool->counts->flushes++;
}

static void end_swap(struct model *model, struct cache *cache, size_t class)
{
    if (kept_count_swap(&cache->kept[class])) {
        unkeep(model, cache, class);
        flush(&model->pools[class]);
    }
}

static bool take_room(const struct model *model, struct cache *cache, size_t class)
{
    const struct kept *kept = &cache->kept[class];
    size_t bytes = batch_bytes(&model->pools[class]);
    if (!has_share(model, cache, class, bytes + model->bounds.upper_bytes / 4 * 3)) {
        return false;
    }
    if (kept_depth(kept) != 0
        && (kept_depth(kept) >= kept_depth_max(kept)
            || cache->extra_bytes + bytes > model->bounds.extra_bytes)) {
        return false;
    }
    use(cache, class, bytes);
    return true;
}

static bool widen_to_two(struct model *model, struct cache *cache, size_t class)
{
    const struct model_pool *pool = &model->pools[class];
    return pool->slot_bytes > TWO_BATCHES_SLOT_BYTES && model->threads == 1
           && cache->capacity[class] == pool->rounds && cache->kept[class].depth_more != 0
           && widen(model, cache, class, 2 * (size_t)pool->rounds);
}

/* A batch of the magazine's; or the magazine may hold more. */
static void put_away(struct model *model, struct cache *cache, size_t class)
{
    struct kept *kept = &cache->kept[class];
    if (take_room(model, cache, class)) {
        keep(model, cache, class);
        end_swap(model, cache, class);
        cache->loaded[class] -= model->pools[class].rounds;
        return;
    }
    if (widen_to_two(model, cache, class)) {
        return;
    }
    cache->loaded[class] -= model->pools[class].rounds;
    if (kept_depth(kept) != 0) { /* the one kept last gives up its place */
        unkeep(model, cache, class);
        use(cache, class, batch_bytes(&model->pools[class]));
        keep(model, cache, class);
    }
    flush(&model->pools[class]);
    kept_note_flush(kept);
}

static void leave_loose(struct model_pool *pool, uint64_t slots)
{
    pool->loose += slots;
    pool->counts->locks++;
    if (pool->loose >= pool->rounds) {
        pool->loose -= pool->rounds;
        flush(pool);
    }
}

/* Room for a slot that is freed; false: the pool takes it. */
static bool make_room(struct model *model, struct cache *cache, size_t class)
{
    struct model_pool *pool = &model->pools[class];
    size_t capacity = cache->capacity[class];
    if (capacity < pool->rounds) {
        size_t more = size_min(size_max(2 * capacity, pool->first_rounds), pool->rounds);
        if (is_upper(class) || !widen_to_batch(model, cache, class)) {
            (void)widen(model, cache, class, more);
        }
        capacity = cache->capacity[class];
        if (cache->loaded[class] < capacity) {
            return true;
        }
    }
    uint32_t loaded = cache->loaded[class];
    if (loaded >= pool->rounds) {
        put_away(model, cache, class);
    } else if (loaded != 0) {
        cache->loaded[class] = 0;
        leave_loose(pool, loaded);
    }
    return capacity != 0;
}

/* ---- where slots come from ------------------------------------------------------------------- */

static size_t run_rounds(const struct cache *cache, const struct model_pool *pool, size_t class)
{
    size_t first = size_max(size_min(FIRST_RUN_BYTES / pool->slot_bytes, FIRST_RUN_ROUNDS), 1);
    size_t rounds = size_max(first, cache->obtained[class] / RUN_SHARE);
    return size_min(round_up(rounds, pool->line_rounds), pool->rounds);
}

/* Loose slots, or so many fresh ones. */
static size_t obtain(struct model *model, struct model_pool *pool, size_t rounds)
{
    size_t got = pool->loose;
    pool->loose = 0;
    pool->counts->locks++;
    if (got == 0) {
        got = rounds;
        pool->counts->carved += rounds;
        model->carved_bytes += rounds * pool->slot_bytes;
    }
    return got;
}

/* Where the thread may not have a batch. */
static void refill_few(struct model *model, struct cache *cache, size_t class)
{
    struct model_pool *pool = &model->pools[class];
    size_t rounds = run_rounds(cache, pool, class);
    if (rounds > cache->capacity[class] && !widen(model, cache, class, rounds)) {
        rounds = size_max(cache->capacity[class], 1);
    }
    if (pool->loose < rounds && pool->central != 0) {
        pool->central--;
        pool->counts->refills++;
        pool->loose += pool->rounds;
    }
    if (pool->loose > rounds) {
        pool->loose -= rounds;
        pool->counts->locks++;
    } else {
        rounds = obtain(model, pool, rounds);
    }
    if (cache->obtained[class] < RUN_SHARE * pool->rounds) {
        cache->obtained[class] += (uint32_t)rounds;
    }
    cache->loaded[class] = (uint32_t)rounds;
}

static void refill_whole(struct model *model, struct cache *cache, size_t class)
{
    struct model_pool *pool = &model->pools[class];
    struct kept *kept = &cache->kept[class];
    cache->loaded[class] = pool->rounds;
    if (kept_depth(kept) != 0) {
        unkeep(model, cache, class);
        end_swap(model, cache, class);
    } else if (pool->central != 0) {
        pool->central--;
        pool->counts->refills++;
        kept_note_refill(kept);
    } else {
        size_t wanted = run_rounds(cache, pool, class);
        size_t got = obtain(model, pool, wanted);
        if (wanted < pool->rounds) {
            cache->obtained[class] += (uint32_t)got;
        }
        cache->loaded[class] = (uint32_t)got;
    }
    if (cache->loaded[class] > cache->capacity[class]) {
        (void)widen(model, cache, class, cache->loaded[class]);
    }
}

static void refill(struct model *model, struct cache *cache, size_t class)
{
    size_t rounds = model->pools[class].rounds;
    bool may_have_batch;
    if (!is_upper(class) || cache->capacity[class] >= rounds) {
        may_have_batch = cache->capacity[class] > rounds || widen_to_batch(model, cache, class);
    } else {
        size_t bytes = (rounds - cache->capacity[class]) * model->pools[class].slot_bytes;
        may_have_batch = has_share(model, cache, class, bytes);
    }
    if (may_have_batch) {
        refill_whole(model, cache, class);
    } else {
        refill_few(model, cache, class);
    }
}

/* ---- threads --------------------------------------------------------------------------------- */

static void flush_cache(struct model *model, struct cache *cache)
{
    for (size_t class = 0; class < model->class_end; class++) {
        struct model_pool *pool = &model->pools[class];
        for (uint16_t depth = kept_depth(&cache->kept[class]); depth != 0; depth--) {
            flush(pool);
        }
        uint32_t loaded = cache->loaded[class];
        for (; loaded >= pool->rounds; loaded -= pool->rounds) {
            flush(pool);
        }
        if (loaded != 0) {
            leave_loose(pool, loaded);
        }
    }
    free(cache);
}

/* A thread's cache is there from its first request on. */
static struct cache *cache_of(struct model *model, uint32_t thread)
{
    if (model->caches[thread] == NULL) {
        model->threads++;
        model->caches[thread] = model->parked_count != 0 ? model->parked[--model->parked_count]
                                                         : mbreplay_zeroed(1, sizeof(struct cache));
    }
    return model->caches[thread];
}

static void end_thread(struct model *model, uint32_t thread)
{
    struct cache *cache = model->caches[thread];
    model->caches[thread] = NULL;
    if (cache != NULL && model->parked_count < PARKED_CACHES_MAX) {
        model->parked[model->parked_count++] = cache;
    } else if (cache != NULL) {
        flush_cache(model, cache);
    }
}

/* ---- running --------------------------------------------------------------------------------- */

void mbreplay_model_standard(struct model_config *config)
{
    memset(config, 0, sizeof *config);
    config->pool_bytes = POOL_BYTES_MAX;
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        config->rounds[class] = rounds_standard(class);
    }
}

static void lay_out(struct model *model, const struct model_config *config,
                    struct model_result *result)
{
    uint16_t rounds[SIZE_CLASS_COUNT];
    memcpy(rounds, config->rounds, sizeof rounds);
    model->bounds = rounds_settle(rounds, config->thread_cache_bytes, config->pool_bytes);
    model->class_end = size_class_of(config->pool_bytes) + 1;
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        size_t slot_bytes = size_class_slot_bytes(class);
        size_t first = size_min(FIRST_BYTES / slot_bytes, FIRST_ROUNDS_MAX);
        model->pools[class] = (struct model_pool){
            .slot_bytes = slot_bytes,
            .rounds = rounds[class],
            .first_rounds = (uint32_t)size_max(first, BATCH_ROUNDS_MIN),
            .line_rounds = (uint32_t)size_class_line_rounds(class),
            .counts = &result->classes[class],
        };
    }
}

static void take(struct model *model, uint32_t thread, size_t class)
{
    struct cache *cache = cache_of(model, thread);
    if (cache->loaded[class] == 0) {
        refill(model, cache, class);
    }
    cache->loaded[class]--;
    model->pools[class].counts->operations++;
}

static void give(struct model *model, uint32_t thread, size_t class)
{
    struct cache *cache = cache_of(model, thread);
    if (cache->loaded[class] < cache->capacity[class] || make_room(model, cache, class)) {
        cache->loaded[class]++;
    } else {
        leave_loose(&model->pools[class], 1);
    }
    model->pools[class].counts->operations++;
}

/* What a step of an object above the border does to the bytes of such objects. */
static uint64_t large_change(const struct class_step *step, bool *takes)
{
    bool is_slot = step->kind == STEP_TAKE || step->kind == STEP_GIVE;
    *takes = step->kind == STEP_TAKE || step->kind == STEP_LARGE_TAKE;
    return is_slot ? size_class_slot_bytes(step->class) : (uint64_t)step->thread * LARGE_UNIT;
}

void mbreplay_model_run(const struct steps *trace, const struct model_config *config,
                        struct model_result *result)
{
    struct model *model = mbreplay_zeroed(1, sizeof *model);
    memset(result, 0, sizeof *result);
    lay_out(model, config, result);
    model->caches = mbreplay_zeroed(trace->threads, sizeof(void *));
    uint64_t large_bytes = 0;
    for (size_t i = 0; i < trace->count; i++) {
        const struct class_step *step = &trace->steps[i];
        bool takes;
        if (step->kind == STEP_END) {
            end_thread(model, step->thread);
        } else if (step->kind <= STEP_GIVE && step->class < model->class_end) {
            (step->kind == STEP_TAKE ? take : give)(model, step->thread, step->class);
        } else {
            uint64_t bytes = large_change(step, &takes);
            large_bytes += takes ? bytes : -bytes;
            result->large++;
        }
        uint64_t bytes = model->carved_bytes + large_bytes;
        result->bytes = bytes > result->bytes ? bytes : result->bytes;
    }
    result->operations = trace->operations;
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        result->refills += result->classes[class].refills;
    }
    for (uint32_t i = 0; i < trace->threads; i++) {
        free(model->caches[i]);
    }
    for (size_t i = 0; i < model->parked_count; i++) {
        free(model->parked[i]);
    }
    free(model->caches);
    free(model);
}
