/* parked: the stack of parked caches, and the way back of what is in them. */
#include "tcache/parked.h"

#include "core/config.h"
#include "core/decay.h"
#include "core/upcalls.h"
#include "tcache/budget.h"
#include "tcache/transfer.h"

/* Caches that one call drains: a quarter of a millisecond, about, where they are full. */
enum { DRAINED_AT_ONCE = 16, BUDGET_SHARE = 4 };

/* Linked by next_vacant. Under LOCK_REGISTRY. */
static struct thread_cache *parked;
/* Written under LOCK_REGISTRY, read without: what they took of the budget; how many ever came. */
static _Atomic uint64_t parked_bytes;
static _Atomic uint64_t arrivals;
/*
 * Of each class, the arrivals when no parked cache had a slot of it: until the next one arrives
 * none has. Read without the lock: a thread may ask once in vain, or not until its next slow path.
 */
static _Atomic uint64_t lacking[SIZE_CLASS_COUNT];

/* In whole pieces, so that a thread which goes on as the last one did takes none. */
static void give_back_unused(struct thread_cache *cache)
{
    size_t bytes = round_down(cache->taken_bytes - cache->used_bytes, BUDGET_PIECE_BYTES);
    if (bytes != 0) {
        budget_give_back(&cache->taken_bytes, bytes);
    }
}

static bool has_room_for(const struct thread_cache *cache)
{
    size_t bytes = counter_read(&parked_bytes) + cache->taken_bytes;
    return counter_read(&mbi_cache_counts.parked) < PARKED_MAX && !budget_is_crowded()
           && bytes <= bounded_most(&mbi_budget) / BUDGET_SHARE;
}

/* Windows end only while decay has something pending, or a cache waits for their end. */
static void arrange_drain(const struct thread_cache *cache)
{
    if (cache->used_bytes != 0) {
        mbi_decay_await_window();
    }
}

bool mbi_parked_add(struct thread_cache *cache)
{
    if (cache->busy || !mbi_lock_acquire(LOCK_REGISTRY)) {
        return false; /* busy: the thread ended on a slow path, in the middle of a transfer */
    }
    give_back_unused(cache);
    bool room = has_room_for(cache);
    if (room) {
        cache->windows = decay_windows();
        flag_set(&cache->idle, false);
        flag_set(&cache->parked, true);
        cache->next_vacant = parked;
        parked = cache;
        counter_add(&parked_bytes, cache->taken_bytes);
        counter_add(&arrivals, 1);
        counter_add(&mbi_cache_counts.parked, 1);
        mbi_thread_cache_tell(cache);
        arrange_drain(cache);
    }
    mbi_lock_release(LOCK_REGISTRY);
    return room;
}

/* The registry's lock, where a cache is parked. */
static bool acquire_if_any(void)
{
    return counter_read(&mbi_cache_counts.parked) != 0 && mbi_lock_acquire(LOCK_REGISTRY);
}

struct thread_cache *mbi_parked_adopt(struct thread_cache *volatile *owner)
{
    if (!acquire_if_any()) {
        return NULL;
    }
    sigset_t before = mbi_lock_block_signals(); /* all, or nothing, for a handler's fork */
    struct thread_cache *cache = parked;
    if (cache != NULL) {
        parked = cache->next_vacant;
        counter_subtract(&parked_bytes, cache->taken_bytes);
        counter_subtract(&mbi_cache_counts.parked, 1);
        flag_set(&cache->parked, false);
        thread_cache_set_thread(cache, 0);
        cache->looks_left_out = 0; /* the next look finds its number */
        cache->exit_seen = false;
        *owner = cache;
    }
    mbi_lock_restore_signals(&before);
    mbi_lock_release(LOCK_REGISTRY);
    return cache;
}

void mbi_parked_drain_locked(struct thread_cache *cache)
{
    if (flag_is_set(&cache->parked)) {
        size_t taken_bytes = cache->taken_bytes;
        (void)mbi_thread_cache_flush(cache);
        counter_subtract(&parked_bytes, taken_bytes - cache->taken_bytes);
    }
}

static bool is_lacking(size_t class)
{
    return counter_read(&lacking[class]) == counter_read(&arrivals);
}

MBI_COLD bool mbi_parked_give_block(size_t class)
{
    if (is_lacking(class) || !acquire_if_any()) {
        return false;
    }
    size_t bytes = 0;
    struct thread_cache *cache = parked;
    for (; cache != NULL && bytes < mbi_config.block_bytes; cache = cache->next_vacant) {
        size_t rounds = mbi_thread_cache_rounds(cache, class);
        if (rounds != 0) {
            bytes += rounds * pool_at(class)->slot_bytes;
            size_t taken_bytes = cache->taken_bytes;
            (void)mbi_transfer_flush_class(cache, class);
            mbi_thread_cache_tell(cache);
            counter_subtract(&parked_bytes, taken_bytes - cache->taken_bytes);
        }
    }
    if (cache == NULL) {
        counter_add(&lacking[class], counter_read(&arrivals) - counter_read(&lacking[class]));
    }
    mbi_lock_release(LOCK_REGISTRY);
    return bytes != 0;
}

MBI_COLD bool mbi_parked_drain_oldest(void)
{
    if (counter_read(&parked_bytes) == 0 || !acquire_if_any()) {
        return false;
    }
    struct thread_cache *oldest = NULL;
    for (struct thread_cache *cache = parked; cache != NULL; cache = cache->next_vacant) {
        oldest = cache->taken_bytes != 0 ? cache : oldest;
    }
    if (oldest != NULL) {
        mbi_parked_drain_locked(oldest);
    }
    mbi_lock_release(LOCK_REGISTRY);
    return oldest != NULL;
}

/* The first that holds something, and that no thread wanted for a whole window; false: none. */
static bool drain_one_unwanted(void)
{
    if (!acquire_if_any()) {
        return false;
    }
    struct thread_cache *cache = parked;
    while (cache != NULL && (cache->used_bytes == 0 || decay_windows() - cache->windows < 2)) {
        arrange_drain(cache);
        cache = cache->next_vacant;
    }
    if (cache != NULL) {
        mbi_parked_drain_locked(cache);
    }
    mbi_lock_release(LOCK_REGISTRY);
    return cache != NULL;
}

void mbi_parked_drain_unwanted(void)
{
    int drained = 0;
    while (drained < DRAINED_AT_ONCE && drain_one_unwanted()) {
        drained++;
    }
    if (drained == DRAINED_AT_ONCE) { /* the next window's end goes on */
        mbi_decay_await_window();
    }
}

size_t mbi_parked_bytes(void)
{
    size_t bytes = 0;
    for (const struct thread_cache *cache = parked; cache != NULL; cache = cache->next_vacant) {
        bytes += cache->taken_bytes;
    }
    return bytes;
}
