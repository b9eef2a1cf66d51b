/*
 * item: one value under its key, and when it is dead: its time has come, or flush_all did.
 *
 * Owners, one after the other:
 *   the connection or command that allocated it, and fills it in;
 *   the table, once it is published: key, value, flags and cas never change again;
 *   the worker that took it out of the table, which retires it (reclaim.h) and so frees it.
 * A change of a value publishes a new item in place of the old one. A dead item stays in the table
 * until another one takes its place, or the sweep meets it.
 *
 *     | node 16 | cas 8 | times 8 | flags 4 | sizes, generation, marks 9 | key | value |
 *
 * Each item pays for its head: so there are no links but the hash table's, which are the ring's,
 * too (table.h), and no byte is between head and key.
 *
 * Allocation: item_alloc may evict, and wait until other threads' readers have gone on. So no
 * pointer that was found in the table may be used across it.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <urcu/urcu-qsbr.h>

#include <urcu/rculfhash.h>

struct worker;

enum { KEY_BYTES_MAX = 250, GENERATION_BITS = 24 };

enum item_mark {
    ITEM_TOUCHED = 1, /* read, or stored anew, since the CLOCK's hand last passed */
    ITEM_FETCHED = 2, /* read ever */
    ITEM_STALE = 4, /* marked by md's or ms's I flag */
    ITEM_WON = 8, /* a client was told to refresh it */
};

struct item {
    struct cds_lfht_node node;
    uint64_t cas;
    _Atomic uint32_t expires_s; /* [TIMES] in item_now's seconds; 0: never */
    _Atomic uint32_t used_s;
    uint32_t flags;
    uint32_t value_bytes;
    uint32_t key_bytes : 32 - GENERATION_BITS; /* 0: it is the begin of a ring */
    uint32_t generation : GENERATION_BITS;
    _Atomic uint8_t marks; /* [MARKS] */
    char data[]; /* the key, then the value */
};

_Static_assert(offsetof(struct item, data) == 45, "as the picture says");

struct key {
    const char *bytes;
    uint8_t length;
    unsigned long hash;
};

/* Starts the time, and seeds the hash, so that no client can choose keys that collide. */
void item_start(void);

/* At most KEY_BYTES_MAX bytes; they are not copied. */
struct key key_of(const char *bytes, size_t length);

static inline char *item_value(struct item *item)
{
    return item->data + item->key_bytes;
}

static inline size_t item_bytes(const struct item *item)
{
    return offsetof(struct item, data) + item->key_bytes + item->value_bytes;
}

/* Whether a value of so many bytes is within -I. */
bool item_size_is_allowed(const struct key *key, size_t value_bytes);

/* An item with its key, the value still to be written; or NULL when there is no memory. */
struct item *item_alloc(struct worker *worker, const struct key *key, size_t value_bytes);

/* Frees an item that was never published. */
void item_free(struct item *item);

/* --- life and death --- */

/* Unix time as of the start, and then by a clock that nobody sets. */
uint32_t item_now(void);
extern uint32_t item_start_s;

/* The protocol's expiration time in such seconds; 0: never. */
uint32_t item_time(int32_t time, uint32_t now_s);

bool item_is_dead(const struct item *item, uint32_t now_s);

/* The generation that new items belong to. Items of others are dead. */
uint32_t item_generation(void);

/* flush_all: all items become dead at that second, or at once if it is not in the future. */
void item_flush(uint32_t at_s, uint32_t now_s);

/* Carries out a flush_all whose time has come. Called about ten times a second, by one thread. */
void item_flush_tick(uint32_t now_s);

/* --- what commands leave on items --- */

/*
 * Says that a command has read it. The marks are only written when they change: popular items are
 * read by all threads at once, and their line shall stay in every processor's cache.
 */
void item_touch(struct item *item, uint32_t now_s);

/*
 * [TIMES], [MARKS] relaxed: they order nothing. The item they belong to was published by a full
 * barrier (table.h). Times to die are set under the key's lock, or before the item is published, so
 * that none is lost when the item is replaced; so is ITEM_WON. The time of use and the other marks
 * are hints: an incr at the same moment may lose them.
 */
static inline uint32_t item_expires(const struct item *item)
{
    return atomic_load_explicit(&item->expires_s, memory_order_relaxed); /* [TIMES] */
}

static inline void item_expires_set(struct item *item, uint32_t expires_s)
{
    atomic_store_explicit(&item->expires_s, expires_s, memory_order_relaxed); /* [TIMES] */
}

static inline uint32_t item_used(const struct item *item)
{
    return atomic_load_explicit(&item->used_s, memory_order_relaxed); /* [TIMES] */
}

static inline unsigned item_marks(const struct item *item)
{
    return atomic_load_explicit(&item->marks, memory_order_relaxed); /* [MARKS] */
}

/* Sets marks and returns those from before: of several threads, one finds its mark not yet set. */
static inline unsigned item_mark(struct item *item, unsigned marks)
{
    return atomic_fetch_or_explicit(&item->marks, (uint8_t)marks, memory_order_relaxed);
}

static inline void item_unmark(struct item *item, unsigned marks)
{
    atomic_fetch_and_explicit(&item->marks, (uint8_t)~marks, memory_order_relaxed); /* [MARKS] */
}
