/*
 * meta: mg, ms, md and mn. They share flags, single letters with an argument right behind them, and
 * the form of the reply: a code, and flags in the order in which they were asked for.
 */
#include "command.h"

#include "connection.h"
#include "worker.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { LETTERS = 128, OPAQUE_MAX = 32 /* with its O */, WORDS_MAX = 19, REPLY_MAX = 1024 };

static const char bad_format[] = "CLIENT_ERROR bad command line format";
static const char bad_token[] = "CLIENT_ERROR bad token in command line format";
static const char opaque_is_long[] = "CLIENT_ERROR opaque token too long";

/* A command under way. */
struct meta {
    struct connection *connection;
    struct worker *worker;
    struct word *words; /* the flags alone */
    size_t count;
    struct key key;
    bool has[LETTERS];
    uint64_t of[LETTERS];    /* a flag's number; times in item_now's seconds */
    struct item *item; /* what the reply's flags are about; NULL: nothing is there */
    bool created;      /* by this command */
};

/* --- flags in --- */

/* One flag. Returns NULL, or the error. */
static const char *flag_read(struct meta *meta, const struct word *word)
{
    const char *argument = word->text + 1;
    uint64_t *number = &meta->of[(unsigned char)word->text[0]];
    int32_t time;
    switch (word->text[0]) {
    case 'T': case 'N': case 'R':
        if (!text_to_i32(argument, &time)) {
            return bad_token;
        }
        *number = item_time(time, meta->worker->now_s);
        return NULL;
    case 'C': case 'D': case 'J': /* of ma, which is not there, too: memcached accepts these */
        return text_to_u64(argument, number) ? NULL : bad_token;
    case 'F':
        return text_to_u64(argument, number) ? NULL : bad_format;
    case 'M':
        *number = (unsigned char)*argument;
        return word->length == 2 ? NULL : "CLIENT_ERROR incorrect length for M token";
    case 'O':
        return word->length <= OPAQUE_MAX ? NULL : opaque_is_long;
    default:
        return strchr("cfhIklLPqstuv", word->text[0]) != NULL ? NULL : "CLIENT_ERROR invalid flag";
    }
}

/* Reads the flags from words[first] on, and the key before. Returns NULL, or the first error. */
static const char *meta_read(struct meta *meta, struct connection *connection, struct line *line,
                             size_t first)
{
    *meta = (struct meta){ .connection = connection, .worker = connection->worker,
                           .words = line->words + first, .count = line->count - first };
    meta->key = key_of(line->words[1].text, line->words[1].length);
    const char *error = NULL;
    for (size_t i = 0; i < meta->count && error == NULL; i++) {
        unsigned char letter = (unsigned char)meta->words[i].text[0];
        if (letter >= LETTERS || meta->has[letter]) {
            return "CLIENT_ERROR duplicate flag";
        }
        meta->has[letter] = true;
        error = flag_read(meta, &meta->words[i]);
    }
    return error;
}

/* --- flags out --- */

static char *flag_write(char *at, const struct meta *meta, const struct word *word)
{
    char letter = word->text[0];
    *at++ = ' ';
    if (letter == 'O') {
        return mempcpy(at, word->text, word->length);
    }
    if (letter == 'k') {
        *at++ = 'k';
        return mempcpy(at, meta->key.bytes, meta->key.length);
    }
    struct item *item = meta->item;
    if (letter == 'c') {
        return at + sprintf(at, "c%" PRIu64, item != NULL ? item->cas : 0);
    }
    uint32_t expires_s = item_expires(item);
    int64_t left_s = expires_s != 0 ? (int64_t)expires_s - meta->worker->now_s : -1;
    int64_t number = letter == 't'   ? left_s
                     : letter == 's' ? item->value_bytes
                     : letter == 'f' ? item->flags
                     : letter == 'l' ? meta->worker->now_s - item_used(item)
                                     : (item_marks(item) & ITEM_FETCHED) != 0; /* h */
    return at + sprintf(at, "%c%" PRId64, letter, number);
}

/*
 * Sends a reply: the code, or, with a value, VA and its size; those flags asked for that are
 * allowed; more flags; the value.
 */
static void reply(struct meta *meta, const char *code, const char *allowed, const char *more,
                  const char *value, size_t value_bytes)
{
    char line[REPLY_MAX];
    char *at = value != NULL ? line + sprintf(line, "VA %zu", value_bytes) : stpcpy(line, code);
    for (size_t i = 0; i < meta->count; i++) {
        char letter = meta->words[i].text[0];
        if (meta->item != NULL && (letter == 'T' || (letter == 'N' && meta->created))) {
            uint32_t expires_s = (uint32_t)meta->of[(unsigned char)letter];
            item_expires_set(meta->item, expires_s); /* as a t behind it shall say */
            store_touch(meta->worker, &meta->key, expires_s); /* if another one has its place */
        } else if (strchr(allowed, letter) != NULL) {
            at = flag_write(at, meta, &meta->words[i]);
        }
    }
    strcpy(at, more);
    connection_send(meta->connection, line, value, value_bytes);
}

static void reply_result(struct meta *meta, enum store_result result, const char *allowed)
{
    static const char *const codes[] = {
        [STORE_DONE] = "HD",   [STORE_NOT_STORED] = "NS",
        [STORE_EXISTS] = "EX", [STORE_NOT_FOUND] = "NF",
        [STORE_NO_MEMORY] = "SERVER_ERROR out of memory",
    };
    reply(meta, codes[result], result == STORE_NO_MEMORY ? "" : allowed, "", NULL, 0);
}

/* --- mg --- */

/* An empty item for whoever misses first. Returns whether that is this client. */
static bool vivify(struct meta *meta)
{
    struct item *item = item_alloc(meta->worker, &meta->key, 0);
    if (item == NULL) {
        return false;
    }
    item_mark(item, ITEM_WON); /* before another client can find it */
    struct store_request store = { .item = item, .mode = STORE_ADD };
    return store_commit(meta->worker, &store) == STORE_DONE;
}

/* W, Z and X: whether this client shall refresh the item, another does, and the item is stale. */
static const char *turns_take(struct meta *meta)
{
    struct item *item = meta->item;
    if (meta->created) {
        return " W";
    }
    /* T sets a time before R looks at it, wherever the two stand; "never" it sets behind. */
    uint32_t expires_s = meta->of['T'] != 0 ? (uint32_t)meta->of['T'] : item_expires(item);
    unsigned before = item_marks(item);
    bool is_stale = (before & ITEM_STALE) != 0;
    bool is_due = meta->has['R'] && expires_s > meta->worker->now_s && expires_s < meta->of['R'];
    bool is_open = (before & ITEM_WON) == 0 && (is_stale || is_due);
    if (is_open && store_win(&meta->key, item)) {
        return is_stale ? " X W" : " W";
    }
    return !is_open && (before & ITEM_WON) == 0 ? "" : is_stale ? " Z X" : " Z";
}

static void command_get(struct meta *meta)
{
    struct item *item = store_find(meta->worker, &meta->key);
    worker_count(meta->worker, COUNT_cmd_get, 1);
    worker_count(meta->worker, item != NULL ? COUNT_get_hits : COUNT_get_misses, 1);
    meta->created = item == NULL && meta->has['N'] && vivify(meta);
    if (meta->has['N'] && item == NULL) {
        item = store_find(meta->worker, &meta->key);
    }
    if (item == NULL) {
        if (!meta->has['q']) {
            reply(meta, "EN", "Ok", "", NULL, 0);
        }
        return;
    }
    meta->item = item;
    reply(meta, "HD", "stcflhOk", turns_take(meta),
          meta->has['v'] ? item_value(item) : NULL, meta->has['v'] ? item->value_bytes : 0);
    if (!meta->has['u']) {
        item_touch(item, meta->worker->now_s);
    }
}

/* --- ms --- */

static bool mode_read(char letter, enum store_mode *mode)
{
    static const char letters[] = "SERAP"; /* in the order of enum store_mode */
    const char *found = strchr(letters, letter != 0 ? letter : 'S');
    *mode = found != NULL ? (enum store_mode)(found - letters) : STORE_SET;
    return found != NULL && *found != '\0';
}

/* Keeps, for when the value has come, the flags that the reply will have. */
static void reply_keep(struct connection *connection, const struct meta *meta)
{
    char *at = connection->store_reply;
    for (size_t i = 0; i < meta->count; i++) {
        if (strchr("Okc", meta->words[i].text[0]) != NULL) {
            /* A k may have more behind it, which means nothing. */
            bool whole = meta->words[i].text[0] == 'O';
            at = mempcpy(at, meta->words[i].text, whole ? meta->words[i].length : 1);
            *at++ = ' ';
        }
    }
    *at = '\0';
}

static void command_set(struct connection *connection, struct line *line)
{
    int32_t value_bytes;
    if (line->count < 3 || !text_to_i32(line->words[2].text, &value_bytes) || value_bytes < 0
        || value_bytes > INT_MAX - 2) {
        connection_reply(connection, bad_format);
        return;
    }
    struct meta meta;
    struct store_request request = { .is_meta = true };
    const char *error = meta_read(&meta, connection, line, 3);
    if (!mode_read((char)meta.of['M'], &request.mode) && error == NULL) {
        error = "CLIENT_ERROR invalid mode for ms M token";
    }
    if (error != NULL) {
        connection_reply(connection, error);
        connection_swallow(connection, (size_t)value_bytes);
        return;
    }
    bool is_whole = request.mode == STORE_SET || request.mode == STORE_REPLACE;
    request.mode = meta.has['C'] && is_whole ? STORE_CAS : request.mode;
    request.cas = meta.of['C'];
    request.older_makes_stale = meta.has['I'];
    reply_keep(connection, &meta);
    struct item *item = command_store_begin(connection, &meta.key, (size_t)value_bytes, &request);
    if (item != NULL) {
        item->flags = (uint32_t)meta.of['F'];
        item_expires_set(item, (uint32_t)meta.of['T']);
    }
    connection->store_mutes = meta.has['q']; /* errors are told */
}

void meta_value(struct connection *connection, struct store_request *request)
{
    struct word words[TEXT_WORDS_MAX];
    struct meta meta = { .connection = connection, .worker = connection->worker, .words = words };
    meta.count = text_split(connection->store_reply, words);
    struct item *item = request->item;
    char key[KEY_BYTES_MAX]; /* the item may be gone when the reply is written */
    memcpy(key, item->data, item->key_bytes);
    meta.key = key_of(key, item->key_bytes);
    bool is_quiet = connection->mutes;
    connection->mutes = false;
    enum store_result result = store_commit(meta.worker, request);
    meta.item = request->item;
    if (result != STORE_DONE || !is_quiet) {
        reply_result(&meta, result, "Okc");
    }
}

/* --- md --- */

static void command_delete(struct meta *meta)
{
    uint64_t cas = meta->of['C'];
    uint32_t expires_s = (uint32_t)meta->of['T'];
    enum store_result result =
        !meta->has['I'] ? store_delete(meta->worker, &meta->key, cas)
                        : store_invalidate(meta->worker, &meta->key, cas,
                                           meta->has['T'] ? &expires_s : NULL);
    bool deleted = result == STORE_DONE;
    worker_count(meta->worker, deleted ? COUNT_delete_hits : COUNT_delete_misses, 1);
    if (!deleted || !meta->has['q']) {
        reply_result(meta, result, "Ok");
    }
}

void meta_command(struct connection *connection, struct line *line)
{
    struct meta meta;
    char letter = line->words[0].text[1];
    worker_count(connection->worker, COUNT_cmd_meta, 1);
    if (letter == 'n') {
        connection_reply(connection, "MN");
    } else if (strchr("gsd", letter) == NULL || line->count < 2) {
        connection_reply(connection, "ERROR");
    } else if (line->words[1].length > KEY_BYTES_MAX) {
        connection_reply(connection, bad_format);
    } else if (line->count > WORDS_MAX) {
        connection_reply(connection, letter == 'g' ? "CLIENT_ERROR options flags are too long"
                                                   : "CLIENT_ERROR options flags too long");
    } else if (letter == 's') {
        command_set(connection, line);
    } else {
        const char *error = meta_read(&meta, connection, line, 2);
        if (error != NULL) {
            bool is_told = letter == 'g' || error == opaque_is_long;
            connection_reply(connection,
                             is_told ? error : "CLIENT_ERROR invalid or duplicate flag");
        } else if (letter == 'g') {
            command_get(&meta);
        } else {
            command_delete(&meta);
        }
    }
}
