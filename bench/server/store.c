/* store: find, decide, publish. */
#include "store.h"
#include "stats.h"
#include "table.h"
#include "text.h"
#include "worker.h"

#include <string.h>

struct item *store_find(struct worker *worker, const struct key *key,
                        struct cds_lfht_iter *position)
{
    struct item *item = table_find(key, position);
    if (item == NULL || !item_is_dead(item, worker->now_s)) {
        return item;
    }
    counter_add(&worker->counters.get_expired, 1);
    table_remove(worker, item);
    return NULL;
}

/*
 * An item's cas is unique, and larger than that of the item it replaces: a worker counts on from
 * the larger of its own last and the old item's, and its number makes up the low bits. So no
 * counter is shared.
 */
static uint64_t cas_next(struct worker *worker, const struct item *old)
{
    enum { WORKER_BITS = 8 };
    uint64_t old_count = old != NULL ? old->cas >> WORKER_BITS : 0;
    worker->cas_count = (old_count > worker->cas_count ? old_count : worker->cas_count) + 1;
    return worker->cas_count << WORKER_BITS | worker->number;
}

/* In place of the item at the position, which was `old`, or as a new one. */
static bool publish(struct worker *worker, const struct key *key, struct cds_lfht_iter *position,
                    struct item *old, struct item *item)
{
    item->cas = cas_next(worker, old);
    return old != NULL ? table_replace(worker, position, key, item)
                       : table_add(worker, key, item);
}

/* What a new item has from the old one, of whose marks it keeps these. */
static void attributes_copy(struct item *item, const struct item *old, unsigned marks)
{
    item->flags = old->flags;
    item_expires_set(item, item_expires(old));
    item_mark(item, item_marks(old) & marks);
}

/* What append and prepend make of the item that is there; *joined is NULL but for STORE_DONE. */
static enum store_result join(struct worker *worker, const struct key *key,
                              const struct store_request *request, struct item **joined)
{
    struct cds_lfht_iter position;
    for (;;) {
        *joined = NULL;
        struct item *old = store_find(worker, key, &position);
        if (old == NULL) {
            return STORE_NOT_STORED;
        }
        if (request->cas != 0 && request->cas != old->cas) {
            return STORE_EXISTS;
        }
        uint32_t added_bytes = request->item->value_bytes;
        uint32_t old_bytes = old->value_bytes;
        uint64_t old_cas = old->cas;
        if (!item_size_is_allowed(key, (size_t)old_bytes + added_bytes)) {
            return STORE_NOT_STORED;
        }
        struct item *item = item_alloc(worker, key, (size_t)old_bytes + added_bytes);
        if (item == NULL) {
            return STORE_NOT_STORED;
        }
        old = store_find(worker, key, &position); /* the one before may be freed by now */
        if (old == NULL || old->cas != old_cas) {
            item_free(worker, item);
            continue;
        }
        attributes_copy(item, old, ITEM_FETCHED | ITEM_KEY_BINARY);
        bool first = request->mode == STORE_PREPEND;
        memcpy(item_value(item) + (first ? added_bytes : 0), item_value(old), old_bytes);
        memcpy(item_value(item) + (first ? 0 : old_bytes), item_value(request->item), added_bytes);
        if (publish(worker, key, &position, old, item)) {
            *joined = item;
            return STORE_DONE;
        }
        item_free(worker, item);
    }
}

static enum store_result decide_cas(struct worker *worker, const struct store_request *request,
                                    struct item *old)
{
    if (old == NULL) {
        counter_add(&worker->counters.cas_misses, 1);
        return STORE_NOT_FOUND;
    }
    if (request->cas == old->cas) {
        counter_add(&worker->counters.cas_hits, 1);
        return STORE_DONE;
    }
    if (request->older_makes_stale && request->cas < old->cas) {
        item_expires_set(request->item, item_expires(old));
        item_mark(request->item, ITEM_STALE | (item_marks(old) & ITEM_WON));
        return STORE_DONE;
    }
    counter_add(&worker->counters.cas_badval, 1);
    return STORE_EXISTS;
}

static enum store_result decide(struct worker *worker, const struct store_request *request,
                                struct item *old)
{
    switch (request->mode) {
    case STORE_ADD:
        if (old != NULL) {
            item_touch(old, worker->now_s);
        }
        return old == NULL ? STORE_DONE : STORE_NOT_STORED;
    case STORE_REPLACE:
        return old != NULL ? STORE_DONE : STORE_NOT_STORED;
    case STORE_CAS:
        return decide_cas(worker, request, old);
    default:
        return STORE_DONE;
    }
}

static enum store_result store_whole(struct worker *worker, const struct key *key,
                                     struct store_request *request, uint64_t *cas)
{
    struct cds_lfht_iter position;
    for (;;) {
        struct item *old = store_find(worker, key, &position);
        enum store_result result = decide(worker, request, old);
        if (result != STORE_DONE) {
            item_free(worker, request->item);
            return result;
        }
        if (publish(worker, key, &position, old, request->item)) {
            *cas = request->item->cas;
            return STORE_DONE;
        }
    }
}

enum store_result store_commit(struct worker *worker, struct store_request *request,
                               uint64_t *cas)
{
    struct key key = item_key(request->item);
    uint64_t new_cas = 0;
    enum store_result result;
    if (request->mode == STORE_APPEND || request->mode == STORE_PREPEND) {
        struct item *joined;
        result = join(worker, &key, request, &joined);
        new_cas = joined != NULL ? joined->cas : 0;
        item_free(worker, request->item);
    } else {
        result = store_whole(worker, &key, request, &new_cas);
    }
    request->item = NULL;
    if (cas != NULL) {
        *cas = new_cas;
    }
    return result;
}

enum store_result store_delete(struct worker *worker, const struct key *key, uint64_t cas)
{
    struct cds_lfht_iter position;
    for (;;) {
        struct item *item = store_find(worker, key, &position);
        if (item == NULL) {
            return STORE_NOT_FOUND;
        }
        if (cas != 0 && cas != item->cas) {
            return STORE_EXISTS;
        }
        if (table_remove(worker, item)) {
            return STORE_DONE;
        }
    }
}

/* What is different in an item that takes another's place. */
struct change {
    const char *value; /* NULL: the old one */
    uint32_t value_bytes;
    bool makes_stale;
    const uint32_t *expires_s; /* NULL: the old one */
};

/* Replaces the item that has old_cas. STORE_EXISTS: it has another by now, and nothing changes. */
static enum store_result supersede(struct worker *worker, const struct key *key, uint64_t old_cas,
                                   const struct change *change, struct item **made)
{
    struct item *item = item_alloc(worker, key, change->value_bytes);
    if (item == NULL) {
        return STORE_NO_MEMORY;
    }
    struct cds_lfht_iter position;
    struct item *old = store_find(worker, key, &position);
    if (old != NULL && old->cas == old_cas) {
        unsigned lost = ITEM_TOUCHED | (change->makes_stale ? (unsigned)ITEM_WON : 0);
        attributes_copy(item, old, ~lost);
        memcpy(item_value(item), change->value != NULL ? change->value : item_value(old),
               change->value_bytes);
        if (change->makes_stale) {
            item_mark(item, ITEM_STALE);
        }
        if (change->expires_s != NULL) {
            item_expires_set(item, *change->expires_s);
        }
        if (publish(worker, key, &position, old, item)) {
            *made = item;
            return STORE_DONE;
        }
    }
    item_free(worker, item);
    return STORE_EXISTS;
}

enum store_result store_invalidate(struct worker *worker, const struct key *key, uint64_t cas,
                                   const uint32_t *expires_s)
{
    struct cds_lfht_iter position;
    for (;;) {
        struct item *old = store_find(worker, key, &position);
        if (old == NULL) {
            return STORE_NOT_FOUND;
        }
        if (cas != 0 && cas != old->cas) {
            return STORE_EXISTS;
        }
        struct change change = { NULL, old->value_bytes, true, expires_s };
        struct item *made;
        enum store_result result = supersede(worker, key, old->cas, &change, &made);
        if (result != STORE_EXISTS) {
            return result;
        }
    }
}

static enum store_result create_number(struct worker *worker, const struct key *key,
                                       struct arithmetic *arithmetic)
{
    char digits[TEXT_U64_MAX];
    size_t length = text_of_u64(digits, arithmetic->initial);
    struct item *item = item_alloc(worker, key, length);
    if (item == NULL) {
        return STORE_NO_MEMORY;
    }
    memcpy(item_value(item), digits, length);
    item_expires_set(item, arithmetic->initial_expires_s);
    struct store_request request = { .item = item, .mode = STORE_ADD };
    enum store_result result = store_commit(worker, &request, &arithmetic->new_cas);
    arithmetic->value = arithmetic->initial;
    arithmetic->new_expires_s = arithmetic->initial_expires_s;
    return result;
}

static uint64_t arithmetic_apply(const struct arithmetic *arithmetic, uint64_t value)
{
    if (!arithmetic->decrements) {
        return value + arithmetic->delta; /* wraps round, as the protocol says */
    }
    return value > arithmetic->delta ? value - arithmetic->delta : 0;
}

/* A number never becomes shorter: memcached fills it up with spaces, and clients see them. */
static uint32_t number_write(char digits[TEXT_U64_MAX], uint64_t value, uint32_t old_bytes)
{
    size_t length = text_of_u64(digits, value);
    size_t wanted = old_bytes > length ? old_bytes : length;
    memset(digits + length, ' ', wanted - length);
    return (uint32_t)wanted;
}

enum store_result store_arithmetic(struct worker *worker, const struct key *key,
                                   struct arithmetic *arithmetic)
{
    struct cds_lfht_iter position;
    for (;;) {
        struct item *old = store_find(worker, key, &position);
        if (old == NULL) {
            return arithmetic->creates ? create_number(worker, key, arithmetic) : STORE_NOT_FOUND;
        }
        if (arithmetic->cas != 0 && arithmetic->cas != old->cas) {
            return STORE_EXISTS;
        }
        uint64_t value;
        char digits[TEXT_U64_MAX];
        uint32_t old_bytes = old->value_bytes;
        if (old_bytes == 0 || old_bytes >= sizeof digits) {
            return STORE_NOT_A_NUMBER;
        }
        memcpy(digits, item_value(old), old_bytes);
        digits[old_bytes] = '\0';
        if (!text_to_u64(digits, &value)) {
            return STORE_NOT_A_NUMBER;
        }
        arithmetic->value = arithmetic_apply(arithmetic, value);
        struct change change = {
            .value = digits,
            .value_bytes = number_write(digits, arithmetic->value, old_bytes),
            .expires_s = arithmetic->sets_expires ? &arithmetic->expires_s : NULL,
        };
        struct item *item;
        enum store_result result = supersede(worker, key, old->cas, &change, &item);
        if (result == STORE_DONE) {
            arithmetic->new_cas = item->cas;
            arithmetic->new_expires_s = item_expires(item);
        }
        if (result != STORE_EXISTS) {
            return result;
        }
    }
}
