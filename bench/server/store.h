/*
 * store: the cache's operations on one key, each of them atomic. The commands, classic and meta,
 * differ in words only.
 *
 * Those that change something find the live item, decide, and publish in its place, all under the
 * lock of the key's ring (table.h). All calls are made in a worker's turn.
 */
#pragma once

#include "item.h"

enum store_mode { STORE_SET, STORE_ADD, STORE_REPLACE, STORE_APPEND, STORE_PREPEND, STORE_CAS };

enum store_result {
    STORE_DONE,
    STORE_NOT_STORED,
    STORE_EXISTS, /* with another cas */
    STORE_NOT_FOUND,
    STORE_NOT_A_NUMBER,
    STORE_NO_MEMORY,
};

struct store_request {
    struct item *item; /* its owner's, until store_commit; then the item that is stored, or NULL */
    enum store_mode mode;
    uint64_t cas;           /* the item must have this one; 0: any */
    bool older_makes_stale; /* ms with I: an older cas stores a stale item */
    bool is_meta;           /* answered by meta_value */
};

/* The live item, or NULL. Takes no lock. */
struct item *store_find(struct worker *worker, const struct key *key);

/* Sets the time of the item that is there by now, and returns it, or NULL. */
struct item *store_touch(struct worker *worker, const struct key *key, uint32_t expires_s);

/* Whether the caller's client is the one that shall refresh the item: true once for each. */
bool store_win(const struct key *key, struct item *item);

/* Publishes or frees the request's item. */
enum store_result store_commit(struct worker *worker, struct store_request *request);

/* `cas` as in the request, here and below. */
enum store_result store_delete(struct worker *worker, const struct key *key, uint64_t cas);

/* md with I: the item gets a new cas and is stale; expires_s NULL: that stays. */
enum store_result store_invalidate(struct worker *worker, const struct key *key, uint64_t cas,
                                   const uint32_t *expires_s);

struct arithmetic {
    uint64_t delta;
    bool decrements;
    uint64_t value; /* what came of it */
};

enum store_result store_arithmetic(struct worker *worker, const struct key *key,
                                   struct arithmetic *arithmetic);
