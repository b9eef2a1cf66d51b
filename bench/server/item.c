/* item: the life of an item outside the table, and the hash of its key. */
#include "item.h"

#include "allocator.h"
#include "budget.h"
#include "expiry.h"
#include "options.h"
#include "worker.h"

#include <string.h>
#include <sys/random.h>

static uint64_t seed[2]; /* constant after item_start */

void item_start(void)
{
    if (getrandom(seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed) {
        seed[0] = (uint64_t)(uintptr_t)&seed; /* too early after boot: where the loader put us */
    }
    seed[1] |= 1;
}

/* The two halves of a 128-bit product, folded: each input bit moves half of the output's. */
static uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The table takes its buckets from the low bits, the rings are chosen by the high ones. */
static uint64_t hash_bytes(const char *bytes, size_t length)
{
    uint64_t hash = seed[0] ^ length;
    uint64_t word;
    for (; length >= sizeof word; length -= sizeof word, bytes += sizeof word) {
        memcpy(&word, bytes, sizeof word);
        hash = mix(hash ^ word, seed[1] ^ 0x9E3779B97F4A7C15U);
    }
    word = 0;
    memcpy(&word, bytes, length);
    hash = mix(hash ^ word, seed[1] ^ 0xD6E8FEB86659FD93U);
    return mix(hash ^ seed[0], 0xA0761D6478BD642FU);
}

struct key key_of(const char *bytes, size_t length)
{
    return (struct key){ bytes, (uint8_t)length, hash_bytes(bytes, length) };
}

struct key item_key(const struct item *item)
{
    return key_of(item->data, item->key_bytes);
}

static size_t bytes_of(const struct key *key, size_t value_bytes)
{
    return offsetof(struct item, data) + key->length + value_bytes;
}

bool item_size_is_allowed(const struct key *key, size_t value_bytes)
{
    return bytes_of(key, value_bytes) <= options.item_bytes_max;
}

struct item *item_alloc(struct worker *worker, const struct key *key, size_t value_bytes)
{
    size_t bytes = bytes_of(key, value_bytes);
    struct item *item = budget_alloc(worker, bytes);
    if (item != NULL) {
        *item = (struct item){ .value_bytes = (uint32_t)value_bytes,
                               .generation = expiry_generation(),
                               .key_bytes = key->length,
                               .used_s = worker->now_s };
        memcpy(item->data, key->bytes, key->length);
    }
    return item;
}

void item_free(struct worker *worker, struct item *item)
{
    size_t bytes = item_bytes(item);
    budget_give_back(worker, item);
    allocator_item_free(item, bytes);
}

bool item_is_dead(const struct item *item, uint32_t now_s)
{
    uint32_t expires_s = item_expires(item);
    return (expires_s != 0 && expires_s <= now_s) || item->generation != expiry_generation();
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
