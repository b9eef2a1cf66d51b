/* store: find, decide, publish. */
#include "store.h"

#include "table.h"
#include "text.h"
#include "worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct item *store_find(struct worker *worker, const struct key *key)
{
    struct item *item = table_find(key);
    return item != NULL && !item_is_dead(item, worker->now_s) ? item : NULL;
}

struct item *store_touch(struct worker *worker, const struct key *key, uint32_t expires_s)
{
    table_lock(key);
    struct item *item = store_find(worker, key);
    if (item != NULL) {
        item_expires_set(item, expires_s);
    }
    table_unlock(key);
    return item;
}

/* Under the lock, as a change at the same moment hands the mark on to the next item. */
bool store_win(const struct key *key, struct item *item)
{
    table_lock(key);
    bool wins = table_find(key) == item && (item_mark(item, ITEM_WON) & ITEM_WON) == 0;
    table_unlock(key);
    return wins;
}

/*
 * Publishes an item in place of `old`, if that is not NULL, with a cas that is unique and larger
 * than the old one's: a worker counts on from the larger of its own last and the old item's, and
 * its number makes up the low bits. So no counter is shared.
 */
static void publish_locked(struct worker *worker, const struct key *key, const struct item *old,
                           struct item *item)
{
    enum { WORKER_BITS = 8 };
    uint64_t old_count = old != NULL ? old->cas >> WORKER_BITS : 0;
    worker->cas_count = (old_count > worker->cas_count ? old_count : worker->cas_count) + 1;
    item->cas = worker->cas_count << WORKER_BITS | worker->number;
    table_put_locked(worker, key, item);
}

/* Whether a live item, or NULL, is there, and has that cas; 0: any. */
static enum store_result check(const struct item *item, uint64_t cas)
{
    return item == NULL                     ? STORE_NOT_FOUND
           : cas == 0 || cas == item->cas ? STORE_DONE
                                          : STORE_EXISTS;
}

/* --- items that are made from the one that is there --- */

struct change {
    uint64_t cas;       /* as in a request */
    const char *before; /* what comes before the old value, or in its place */
    size_t before_bytes;
    const char *after;
    size_t after_bytes;
    bool keeps_value;
    bool makes_stale;
    const uint32_t *expires_s;     /* NULL: that stays */
    struct arithmetic *arithmetic; /* NULL, or what makes `before`: */
    char digits[TEXT_U64_MAX];
};

/*
 * Does the sum on the old value. The new one has never fewer bytes, as memcached fills a number up
 * with spaces, and clients see them. False: it is not a number.
 */
static bool number_change(struct change *change, struct item *old)
{
    struct arithmetic *arithmetic = change->arithmetic;
    size_t bytes = old->value_bytes < sizeof change->digits ? old->value_bytes : 0;
    *(char *)mempcpy(change->digits, item_value(old), bytes) = '\0';
    uint64_t number;
    if (!text_to_u64(change->digits, &number)) {
        return false;
    }
    uint64_t less = number > arithmetic->delta ? number - arithmetic->delta : 0;
    arithmetic->value = arithmetic->decrements ? less : number + arithmetic->delta; /* wraps */
    size_t length = (size_t)sprintf(change->digits, "%-*" PRIu64, (int)bytes, arithmetic->value);
    change->before = change->digits;
    change->before_bytes = length;
    return true;
}

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

/*
 * Publishes a changed item in place of the one that is there: looks how large it will be, allocates
 * it without the lock, and looks again. STORE_DONE: *made is that item.
 */
static enum store_result change_item(struct worker *worker, const struct key *key,
                                     struct change *change, struct item **made)
{
    struct item *item = NULL;
    for (;;) {
        table_lock(key);
        struct item *old = store_find(worker, key);
        enum store_result result = check(old, change->cas);
        if (result == STORE_DONE && change->arithmetic != NULL && !number_change(change, old)) {
            result = STORE_NOT_A_NUMBER;
        }
        bool is_possible = result == STORE_DONE;
        size_t kept_bytes = is_possible && change->keeps_value ? old->value_bytes : 0;
        size_t bytes = kept_bytes + change->before_bytes + change->after_bytes;
        bool fits = is_possible && item != NULL && item->value_bytes == bytes;
        if (fits) {
            change_fill(change, old, item);
            publish_locked(worker, key, old, item);
            *made = item;
        }
        table_unlock(key);
        if (fits) {
            return STORE_DONE;
        }
        if (item != NULL) {
            item_free(item);
        }
        if (!is_possible || !item_size_is_allowed(key, bytes)) {
            return is_possible ? STORE_NOT_STORED : result;
        }
        item = item_alloc(worker, key, bytes);
        if (item == NULL) {
            return STORE_NO_MEMORY;
        }
    }
}

static enum store_result store_join(struct worker *worker, const struct key *key,
                                    const struct store_request *request, struct item **made)
{
    const char *value = item_value(request->item);
    size_t bytes = request->item->value_bytes;
    bool first = request->mode == STORE_PREPEND;
    struct change change = { .cas = request->cas,
                             .before = value, .before_bytes = first ? bytes : 0,
                             .after = value, .after_bytes = first ? 0 : bytes,
                             .keeps_value = true };
    enum store_result result = change_item(worker, key, &change, made);
    return result == STORE_DONE || result == STORE_EXISTS ? result : STORE_NOT_STORED;
}

enum store_result store_invalidate(struct worker *worker, const struct key *key, uint64_t cas,
                                   const uint32_t *expires_s)
{
    struct item *made;
    struct change change = { .cas = cas, .before = "", .after = "", .keeps_value = true,
                             .makes_stale = true, .expires_s = expires_s };
    return change_item(worker, key, &change, &made);
}

enum store_result store_arithmetic(struct worker *worker, const struct key *key,
                                   struct arithmetic *arithmetic)
{
    struct item *made;
    struct change change = { .after = "", .arithmetic = arithmetic };
    enum store_result result = change_item(worker, key, &change, &made);
    bool down = arithmetic->decrements;
    if (result == STORE_DONE) {
        worker_count(worker, down ? COUNT_decr_hits : COUNT_incr_hits, 1);
    } else if (result == STORE_NOT_FOUND) {
        worker_count(worker, down ? COUNT_decr_misses : COUNT_incr_misses, 1);
    }
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
    table_lock(key);
    struct item *old = store_find(worker, key);
    enum store_result result = decide(worker, request, old);
    if (result == STORE_DONE) {
        publish_locked(worker, key, old, request->item);
    }
    table_unlock(key);
    return result;
}

enum store_result store_commit(struct worker *worker, struct store_request *request)
{
    struct key key = key_of(request->item->data, request->item->key_bytes);
    struct item *made = request->item;
    bool joins = request->mode == STORE_APPEND || request->mode == STORE_PREPEND;
    enum store_result result = joins ? store_join(worker, &key, request, &made)
                                     : store_whole(worker, &key, request);
    if (joins || result != STORE_DONE) {
        item_free(request->item);
    }
    request->item = result == STORE_DONE ? made : NULL;
    return result;
}

enum store_result store_delete(struct worker *worker, const struct key *key, uint64_t cas)
{
    table_lock(key);
    struct item *item = store_find(worker, key);
    enum store_result result = check(item, cas);
    if (result == STORE_DONE) {
        table_remove_locked(worker, key, item);
    }
    table_unlock(key);
    return result;
}
