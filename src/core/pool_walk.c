/* pool_walk: reads a pool, for statistics, checks and tests; changes nothing. */
#include "core/os.h"
#include "core/pool.h"
#include "core/region.h"

#include <inttypes.h>
#include <stdlib.h>

size_t mbi_pool_resident_bytes(struct pool *pool)
{
    struct extent extents[SPAN_COUNT];
    size_t bytes = 0;
    /* Without mbi_pool_lock, which counts: statistics do not change what they show. */
    if (!mbi_lock_acquire(pool_lock_name(pool))) {
        return counter_read(&pool->committed_bytes); /* a fork is under way: no more than this */
    }
    for (size_t i = 0; i < SPAN_COUNT; i++) {
        extents[i] = pool->spans[i].extent;
    }
    mbi_lock_release(pool_lock_name(pool));
    for (size_t i = 0; i < SPAN_COUNT; i++) {
        bytes += mbi_os_resident_bytes(extents[i].first,
                                       (size_t)(extents[i].mapped_end - extents[i].first));
    }
    return bytes;
}

enum pool_location mbi_pool_locate(struct pool *pool, const void *address, size_t *into)
{
    if (!pool_is_laid_out(pool_class(pool)) || !mbi_lock_acquire(pool_lock_name(pool))) {
        return POOL_NOT_MAPPED; /* refused: not known, as another thread forks */
    }
    const struct span *span = pool_span_of(pool, slot_space_number(&pool->space, address));
    size_t carved = span_carved_slots(span);
    bool mapped = false;
    for (size_t i = 0; i < SPAN_COUNT; i++) {
        mapped |= extent_has(&pool->spans[i].extent, address);
    }
    mbi_lock_release(pool_lock_name(pool));
    /* The colour is before the first slot: then the difference is huge. */
    size_t offset = (size_t)((uintptr_t)address - (uintptr_t)span->map.first);
    if (offset >= carved * pool->slot_bytes) {
        return mapped ? POOL_NOT_CARVED : POOL_NOT_MAPPED;
    }
    *into = offset % pool->slot_bytes;
    return *into == 0 ? POOL_SLOT_START : POOL_SLOT_INSIDE;
}

MBI_COLD void mbi_slot_space_corrupted(const struct slot_space *space, uint64_t found)
{
    const struct pool *pool = mbi_pools;
    while (pool < mbi_pools + SIZE_CLASS_COUNT - 1 && &pool->space != space) {
        pool++;
    }
    unsigned class = pool_class(pool); /* of a pool that may be all zeros */
    mbi_message("corrupted free list: a free slot of pool %u (%zu bytes) holds %#" PRIx64
                ", which is no link of it: an object was written to after it was freed, or freed "
                "twice; MB_CHECK=1 finds out where",
                class, size_class_slot_bytes(class), found);
    abort();
}

/*
 * Counts a piece at a time, so that no thread waits long for the lock. What lies in lanes is not
 * sorted, and so counts as used.
 */
static void count_occupancy(struct pool *pool, const struct span *span,
                            uint64_t bins[OCCUPANCY_BINS])
{
    enum { TILES_AT_ONCE = 1024 };
    size_t begin = 0;
    size_t tiles;
    do {
        if (!mbi_lock_acquire(pool_lock_name(pool))) {
            return; /* a fork is under way: these tiles are in no bin */
        }
        size_t carved = span_carved_slots(span);
        tiles = mbi_free_map_tiles(&span->map, carved);
        size_t end = size_min(begin + TILES_AT_ONCE, tiles);
        mbi_free_map_count_occupancy(&span->map, carved, begin, end, bins);
        mbi_lock_release(pool_lock_name(pool));
        begin = end;
    } while (begin < tiles);
}

void mbi_pool_count_occupancy(struct pool *pool, uint64_t bins[OCCUPANCY_BINS])
{
    for (size_t i = 0; i < SPAN_COUNT && pool_is_laid_out(pool_class(pool)); i++) {
        count_occupancy(pool, &pool->spans[i], bins);
    }
}

/* Follows a chain; false, after a message that names it, when it leaves the spans or miscounts. */
static bool chain_check(const struct pool *pool, uint64_t chain, const char *where)
{
    for (uint64_t rounds = chain_rounds(chain); chain != 0 || rounds != 0; rounds--) {
        if (rounds == 0 || chain_rounds(chain) != rounds) {
            mbi_message("check: pool %u: a chain %s does not count down to its end", pool->class,
                        where);
            return false;
        }
        const struct slot *slot = chain_first(chain);
        if (region_class_of(slot) != pool->class) {
            mbi_message("check: pool %u: slot %p %s is not in its spans", pool->class,
                        (const void *)slot, where);
            return false;
        }
        chain = slot->rest;
    }
    return true;
}

/* Slots in a list of batches; SIZE_MAX, after a message, when something is wrong. */
static size_t pool_check_batches(struct pool *pool, uint64_t number)
{
    size_t slots = 0;
    while (number != 0) {
        uint64_t packed = batch_read_packed(slot_space_slot(&pool->space, number));
        const struct slot *second = slot_space_slot(&pool->space, packed & SLOT_NUMBER_MASK);
        if (!chain_check(pool, chain_make(second, pool->rounds - 1), "in the centre")) {
            return SIZE_MAX;
        }
        slots += pool->rounds;
        if (slots > counter_read(&pool->carved)) {
            mbi_message("check: pool %u: the centre holds more than was carved", pool->class);
            return SIZE_MAX;
        }
        number = packed >> SLOT_NUMBER_BITS;
    }
    return slots;
}

/* Whether a part of the pool holds what is counted; else false after a message. */
static bool count_check(const struct pool *pool, const char *part, size_t slots,
                        const _Atomic uint64_t *counter)
{
    bool agree = counter_read(counter) == slots;
    if (!agree) {
        mbi_message("check: pool %u: %zu slots are in its %s, which is not what is counted",
                    pool->class, slots, part);
    }
    return agree;
}

/* Adds `found` to *slots; false when it stands for an error. */
static bool add_found(size_t *slots, size_t found)
{
    *slots += found;
    return found != SIZE_MAX;
}

static bool is_all_zeros(const void *memory, size_t bytes)
{
    const unsigned char *byte = memory;
    unsigned any = 0;
    for (size_t i = 0; i < bytes; i++) {
        any |= byte[i];
    }
    return any == 0;
}

/* Before a pool is laid out nothing is written to it; 0, or SIZE_MAX after a message. */
static size_t pool_check_unused(const struct pool *pool)
{
    unsigned index = pool_index(pool);
    bool unused = is_all_zeros(pool, sizeof *pool)
                  && is_all_zeros(&mbi_pool_lanes[index], sizeof mbi_pool_lanes[index]);
    for (size_t i = 0; i < CENTRAL_STACKS; i++) {
        const struct batch_stack *stack = &mbi_pool_stacks[i * SIZE_CLASS_COUNT + index];
        unused = unused && is_all_zeros(stack, sizeof *stack);
    }
    if (!unused) {
        mbi_message("check: pool %u was written to before it was laid out", pool_class(pool));
    }
    return unused ? 0 : SIZE_MAX;
}

size_t mbi_pool_check(struct pool *pool)
{
    size_t slots = 0;
    if (!pool_is_laid_out(pool_class(pool))) {
        return pool_check_unused(pool);
    }
    for (size_t i = 0; i < CENTRAL_STACKS; i++) {
        /* relaxed [CHECK]: the caller knows that no other thread is at work. */
        uint64_t head = atomic_load_explicit(&pool_stack(pool, i)->head, memory_order_relaxed);
        if (!add_found(&slots, pool_check_batches(pool, head & SLOT_NUMBER_MASK))
            || !add_found(&slots, pool_check_batches(pool, pool->aged[i]))
            || !add_found(&slots, pool_check_batches(pool, pool->surplus[i]))) {
            return SIZE_MAX;
        }
    }
    size_t in_lanes = 0;
    for (size_t i = 0; i < CENTRAL_STACKS; i++) {
        in_lanes += pool_lanes(pool)[i].rounds;
    }
    if (!chain_check(pool, pool->loose, "on the loose list")
        || !count_check(pool, "loose list", chain_rounds(pool->loose), &pool->loose_rounds)
        || !count_check(pool, "lanes", in_lanes, &pool->in_lanes)) {
        return SIZE_MAX;
    }
    size_t sorted_slots = 0;
    for (size_t i = 0; i < SPAN_COUNT; i++) {
        sorted_slots += pool->spans[i].map.slots;
        if (!mbi_free_map_check(&pool->spans[i].map)) {
            return SIZE_MAX;
        }
    }
    return count_check(pool, "free maps", sorted_slots, &pool->sorted_slots) ? slots : SIZE_MAX;
}
