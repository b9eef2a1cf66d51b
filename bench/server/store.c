/* store: find, decide, publish. */
#include "store.h"

#include "table.h"
#include "text.h"
#include "worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct item *store_find(struct worker *worker, const struct key *key,
                        struct cds_lfht_iter *position)
{
    struct item *item = table_find(key, position);
    if (item != NULL && item_is_dead(item, worker->now_s)) {
        worker_count(worker, COUNT_get_expired, 1);
        table_remove(worker, item);
        item = NULL;
    }
    return item;
}

struct item *store_get(struct worker *worker, const struct key *key, enum counter hits,
                       enum counter misses)
{
    struct cds_lfht_iter position;
    struct item *item = store_find(worker, key, &position);
    worker_count(worker, item != NULL ? hits : misses, 1);
    return item;
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

/* In place of `old`, which is at the position; NULL: as a new item. False: it is too late. */
static bool publish(struct worker *worker, const struct key *key, struct cds_lfht_iter *position,
                    struct item *old, struct item *item)
{
    item->cas = cas_next(worker, old);
    return old != NULL ? table_replace(worker, position, key, item)
                       : table_add(worker, key, item);
}

/* The live item with that cas; 0: any. */
static enum store_result find_with(struct worker *worker, const struct key *key, uint64_t cas,
                                   struct cds_lfht_iter *position, struct item **found)
{
    *found = store_find(worker, key, position);
    if (*found == NULL) {
        return STORE_NOT_FOUND;
    }
    return cas == 0 || cas == (*found)->cas ? STORE_DONE : STORE_EXISTS;
}

/* --- items that are made from the one that is there --- */

struct change {
    const char *before; /* what comes before the old value, or in its place */
    size_t before_bytes;
    const char *after;
    size_t after_bytes;
    bool keeps_value;
    bool makes_stale;
    const uint32_t *expires_s; /* NULL: that stays */
};

static void change_fill(const struct change *change, struct item *old, struct item *item)
{
    char *at = mempcpy(item_value(item), change->before, change->before_bytes);
    if (change->keeps_value) {
        at = mempcpy(at, item_value(old), old->value_bytes);
    }
    memcpy(at, change->after, change->after_bytes);
    bool is_joined = change->keeps_value && !change->makes_stale; /* and so without a past */
    unsigned lost = ITEM_TOUCHED | (change->makes_stale ? (unsigned)ITEM_WON : 0);
    item_mark(item, (is_joined ? 0 : item_marks(old) & ~lost)
                        | (change->makes_stale ? (unsigned)ITEM_STALE : 0));
    item_expires_set(item, change->expires_s != NULL ? *change->expires_s : item_expires(old));
    item->flags = old->flags;
}

/* Replaces `old` by one that is changed. STORE_AGAIN: another thread has done so. */
static enum store_result supersede(struct worker *worker, const struct key *key, struct item *old,
                                   const struct change *change, struct item **made)
{
    uint64_t cas = old->cas; /* unique, so it tells whether the item is still the same */
    size_t kept_bytes = change->keeps_value ? old->value_bytes : 0;
    size_t bytes = kept_bytes + change->before_bytes + change->after_bytes;
    if (!item_size_is_allowed(key, bytes)) {
        return STORE_NOT_STORED;
    }
    struct item *item = item_alloc(worker, key, bytes); /* `old` may be freed by now */
    if (item == NULL) {
        return STORE_NO_MEMORY;
    }
    struct cds_lfht_iter position;
    if (find_with(worker, key, cas, &position, &old) == STORE_DONE) {
        change_fill(change, old, item);
        if (publish(worker, key, &position, old, item)) {
            *made = item;
            return STORE_DONE;
        }
    }
    item_free(worker, item);
    return STORE_AGAIN;
}

/* The same for the item that has that cas, if there is one. */
static enum store_result change_with(struct worker *worker, const struct key *key, uint64_t cas,
                                     const struct change *change, struct item **made)
{
    enum store_result result;
    do {
        struct cds_lfht_iter position;
        struct item *old;
        result = find_with(worker, key, cas, &position, &old);
        if (result == STORE_DONE) {
            result = supersede(worker, key, old, change, made);
        }
    } while (result == STORE_AGAIN);
    return result;
}

static enum store_result store_join(struct worker *worker, const struct key *key,
                                    const struct store_request *request, struct item **made)
{
    const char *value = item_value(request->item);
    size_t bytes = request->item->value_bytes;
    bool first = request->mode == STORE_PREPEND;
    struct change change = { .before = value, .before_bytes = first ? bytes : 0,
                             .after = value, .after_bytes = first ? 0 : bytes,
                             .keeps_value = true };
    enum store_result result = change_with(worker, key, request->cas, &change, made);
    return result == STORE_DONE || result == STORE_EXISTS ? result : STORE_NOT_STORED;
}

enum store_result store_invalidate(struct worker *worker, const struct key *key, uint64_t cas,
                                   const uint32_t *expires_s)
{
    struct item *made;
    struct change change = { .before = "", .after = "", .keeps_value = true, .makes_stale = true,
                             .expires_s = expires_s };
    return change_with(worker, key, cas, &change, &made);
}

/* --- numbers --- */

/*
 * Does the sum on a value of so many digits. Returns the bytes of the new value: never fewer, as
 * memcached fills a number up with spaces, and clients see them. 0: it is not a number.
 */
static size_t number_change(char digits[TEXT_U64_MAX], size_t bytes, struct arithmetic *arithmetic)
{
    uint64_t old;
    digits[bytes] = '\0';
    if (!text_to_u64(digits, &old)) {
        return 0;
    }
    uint64_t delta = arithmetic->delta;
    uint64_t less = old > delta ? old - delta : 0;
    arithmetic->value = arithmetic->decrements ? less : old + delta; /* which wraps round */
    size_t length = (size_t)sprintf(digits, "%" PRIu64, arithmetic->value);
    size_t wanted = bytes > length ? bytes : length;
    memset(digits + length, ' ', wanted - length);
    return wanted;
}

enum store_result store_arithmetic(struct worker *worker, const struct key *key,
                                   struct arithmetic *arithmetic)
{
    bool down = arithmetic->decrements;
    enum store_result result;
    do {
        struct cds_lfht_iter position;
        struct item *item;
        result = find_with(worker, key, 0, &position, &item);
        if (result != STORE_DONE) {
            worker_count(worker, down ? COUNT_decr_misses : COUNT_incr_misses, 1);
            return result;
        }
        char digits[TEXT_U64_MAX] = "";
        size_t old_bytes = item->value_bytes < sizeof digits ? item->value_bytes : 0;
        memcpy(digits, item_value(item), old_bytes);
        struct change change = { .before = digits, .after = "" };
        change.before_bytes = number_change(digits, old_bytes, arithmetic);
        if (change.before_bytes == 0) {
            return STORE_NOT_A_NUMBER;
        }
        struct item *made;
        result = supersede(worker, key, item, &change, &made);
    } while (result == STORE_AGAIN);
    worker_count(worker, down ? COUNT_decr_hits : COUNT_incr_hits, result == STORE_DONE);
    return result;
}

/* --- whole items --- */

static enum store_result decide_cas(struct worker *worker, const struct store_request *request,
                                    struct item *old)
{
    if (old == NULL) {
        worker_count(worker, COUNT_cas_misses, 1);
        return STORE_NOT_FOUND;
    }
    bool matches = request->cas == old->cas;
    worker_count(worker, matches ? COUNT_cas_hits : COUNT_cas_badval, 1);
    if (!matches && request->older_makes_stale && request->cas < old->cas) {
        item_expires_set(request->item, item_expires(old));
        item_mark(request->item, ITEM_STALE | (item_marks(old) & ITEM_WON));
        return STORE_DONE;
    }
    return matches ? STORE_DONE : STORE_EXISTS;
}

static enum store_result decide(struct worker *worker, const struct store_request *request,
                                struct item *old)
{
    if (request->mode == STORE_CAS) {
        return decide_cas(worker, request, old);
    }
    bool wrong = (request->mode == STORE_ADD && old != NULL)
                 || (request->mode == STORE_REPLACE && old == NULL);
    return wrong ? STORE_NOT_STORED : STORE_DONE;
}

static enum store_result store_whole(struct worker *worker, const struct key *key,
                                     const struct store_request *request)
{
    for (;;) {
        struct cds_lfht_iter position;
        struct item *old = store_find(worker, key, &position);
        enum store_result result = decide(worker, request, old);
        if (result != STORE_DONE || publish(worker, key, &position, old, request->item)) {
            return result;
        }
    }
}

enum store_result store_commit(struct worker *worker, struct store_request *request)
{
    struct key key = item_key(request->item);
    struct item *made = request->item;
    bool joins = request->mode == STORE_APPEND || request->mode == STORE_PREPEND;
    enum store_result result = joins ? store_join(worker, &key, request, &made)
                                     : store_whole(worker, &key, request);
    if (joins || result != STORE_DONE) {
        item_free(worker, request->item);
    }
    request->item = result == STORE_DONE ? made : NULL;
    return result;
}

enum store_result store_delete(struct worker *worker, const struct key *key, uint64_t cas)
{
    for (;;) {
        struct cds_lfht_iter position;
        struct item *item;
        enum store_result result = find_with(worker, key, cas, &position, &item);
        if (result != STORE_DONE || table_remove(worker, item)) {
            return result;
        }
    }
}
