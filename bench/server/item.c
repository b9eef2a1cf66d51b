/* item: the hash of a key, an item's memory while it is not published, time, and flush_all. */
#include "item.h"

#include "memory.h"
#include "worker.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <xxhash.h>

enum { RELATIVE_MAX_S = 60 * 60 * 24 * 30 }; /* the protocol: what is larger is Unix time */

/*
 * What items keep of the number of flushes. None is there for as many of them: the sweep removes
 * dead items within half a minute.
 */
enum { GENERATIONS = (1 << GENERATION_BITS) - 1 };

/* Constant after item_start. */
static uint64_t seed;
static int64_t unix_offset_s;
uint32_t item_start_s;

/*
 * [GENERATION] relaxed: an item keeps the number that its command began with. A command that runs
 * beside flush_all may see either number; one that begins after its reply sees the new one, as the
 * sockets between the two order that.
 */
static _Atomic uint32_t generation;

/* [FLUSH-AT] relaxed: when a delayed flush_all is due, 0: never; the last one to set it counts. */
static _Atomic uint32_t flush_at_s;

static int64_t monotonic_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec;
}

void item_start(void)
{
    unix_offset_s = time(NULL) - monotonic_s();
    item_start_s = item_now();
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed) {
        seed = (uintptr_t)&seed; /* too early after boot: where the loader put us */
    }
}

/* --- an item's memory --- */

struct key key_of(const char *bytes, size_t length)
{
    return (struct key){ bytes, (uint8_t)length, XXH3_64bits_withSeed(bytes, length, seed) };
}

bool item_size_is_allowed(const struct key *key, size_t value_bytes)
{
    return offsetof(struct item, data) + key->length + value_bytes <= options.item_bytes_max;
}

struct item *item_alloc(struct worker *worker, const struct key *key, size_t value_bytes)
{
    size_t bytes = offsetof(struct item, data) + key->length + value_bytes;
    struct item *item = memory_item_alloc(worker, bytes);
    if (item != NULL) {
        memset(item, 0, offsetof(struct item, data)); /* its size has padding, which is not there */
        item->used_s = worker->now_s;
        item->value_bytes = (uint32_t)value_bytes;
        item->generation = item_generation() & GENERATIONS; /* as -Wconversion asks for */
        item->key_bytes = key->length;
        memcpy(item->data, key->bytes, key->length);
    }
    return item;
}

void item_free(struct item *item)
{
    void *memory = item;
    memory_item_discount(item, item_bytes(item));
    memory_items_free(1, &memory);
}

/* --- life and death --- */

uint32_t item_now(void)
{
    return (uint32_t)(monotonic_s() + unix_offset_s);
}

uint32_t item_time(int32_t time, uint32_t now_s)
{
    if (time < 0) {
        return 1; /* long ago */
    }
    return time == 0 || time > RELATIVE_MAX_S ? (uint32_t)time : (uint32_t)time + now_s;
}

bool item_is_dead(const struct item *item, uint32_t now_s)
{
    uint32_t expires_s = item_expires(item);
    return (expires_s != 0 && expires_s <= now_s) || item->generation != item_generation();
}

void item_touch(struct item *item, uint32_t now_s)
{
    enum { READ = ITEM_TOUCHED | ITEM_FETCHED };
    if ((item_marks(item) & READ) != READ) {
        item_mark(item, READ);
    }
    if (item_used(item) != now_s) {
        atomic_store_explicit(&item->used_s, now_s, memory_order_relaxed); /* [TIMES] */
    }
}

uint32_t item_generation(void)
{
    /* [GENERATION] */
    return atomic_load_explicit(&generation, memory_order_relaxed) & GENERATIONS;
}

void item_flush(uint32_t at_s, uint32_t now_s)
{
    bool is_now = at_s <= now_s;
    atomic_store_explicit(&flush_at_s, is_now ? 0 : at_s, memory_order_relaxed); /* [FLUSH-AT] */
    atomic_fetch_add_explicit(&generation, is_now, memory_order_relaxed); /* [GENERATION] */
}

void item_flush_tick(uint32_t now_s)
{
    uint32_t at_s = atomic_load_explicit(&flush_at_s, memory_order_relaxed); /* [FLUSH-AT] */
    /* Unless another one was set meanwhile: that stays. */
    if (at_s != 0 && at_s <= now_s
        && atomic_compare_exchange_strong_explicit(&flush_at_s, &at_s, 0, memory_order_relaxed,
                                                   memory_order_relaxed)) { /* [FLUSH-AT] */
        atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed); /* [GENERATION] */
    }
}
