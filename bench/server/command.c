/* command: which command a line is, and the classic ones, with memcached's replies. */
#include "command.h"

#include "connection.h"
#include "memory.h"
#include "worker.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char bad_format[] = "CLIENT_ERROR bad command line format";
static const char bad_exptime[] = "CLIENT_ERROR invalid exptime argument";

/* --- set and its like --- */

struct item *command_store_begin(struct connection *connection, const struct key *key,
                                 size_t value_bytes, const struct store_request *request)
{
    size_t here = evbuffer_get_length(connection->input) - connection->line_bytes;
    size_t upload_bytes = here < value_bytes ? value_bytes : 0;
    bool allowed = item_size_is_allowed(key, value_bytes);
    bool fits = allowed && memory_upload_begin(upload_bytes);
    struct item *item = fits ? item_alloc(connection->worker, key, value_bytes) : NULL;
    if (item != NULL) {
        connection->store = *request;
        connection->store.item = item;
        connection->value_left = value_bytes;
        connection->upload_bytes = upload_bytes;
        connection->upload_s = connection->worker->now_s;
        connection->store_mutes = connection->mutes;
        connection->mutes = false;
        connection->state = CONNECTION_VALUE;
        return item;
    }
    memory_upload_end(fits ? upload_bytes : 0);
    worker_count(connection->worker, COUNT_store_no_memory, allowed);
    connection_reply(connection, allowed ? "SERVER_ERROR out of memory storing object"
                                         : "SERVER_ERROR object too large for cache");
    if (request->mode == STORE_SET) {
        store_delete(connection->worker, key, 0); /* as memcached: no older value stays behind */
    }
    connection_swallow(connection, value_bytes);
    return NULL;
}

static void command_store(struct connection *connection, struct line *line)
{
    const struct word *words = line->words;
    struct store_request request = { .mode = (enum store_mode)line->variant };
    uint64_t flags;
    int32_t exptime;
    int32_t value_bytes;
    if (!text_to_u64(words[2].text, &flags) || !text_to_i32(words[3].text, &exptime)
        || !text_to_i32(words[4].text, &value_bytes) || value_bytes < 0
        || value_bytes > INT_MAX - 2
        || (request.mode == STORE_CAS && !text_to_u64(words[5].text, &request.cas))) {
        connection_reply(connection, bad_format);
        return;
    }
    struct item *item = command_store_begin(connection, &line->key, (size_t)value_bytes, &request);
    if (item != NULL) {
        item->flags = (uint32_t)flags; /* cut to size, as memcached does */
        item_expires_set(item, item_time(exptime, connection->worker->now_s));
    }
}

void command_value(struct connection *connection, bool is_whole)
{
    static const char *const replies[] = {
        [STORE_DONE] = "STORED",         [STORE_NOT_STORED] = "NOT_STORED",
        [STORE_EXISTS] = "EXISTS",       [STORE_NOT_FOUND] = "NOT_FOUND",
    };
    struct worker *worker = connection->worker;
    worker_count(worker, COUNT_cmd_set, 1);
    if (!is_whole) {
        item_free(connection->store.item);
        connection->store.item = NULL;
        connection->mutes &= !connection->store.is_meta;
        connection_reply(connection, "CLIENT_ERROR bad data chunk");
        return;
    }
    struct store_request request = connection->store;
    connection->store.item = NULL; /* from here on the request's */
    if (request.is_meta) {
        meta_value(connection, &request);
    } else {
        connection_reply(connection, replies[store_commit(worker, &request)]);
    }
}

/* --- get and its like: their line stays in the input until the last key is answered --- */

enum { GET, GETS, GAT, GATS };

/* Gives the item a new time, and counts that. Returns it, or NULL. */
static struct item *touch_item(struct worker *worker, const struct key *key, uint32_t expires_s)
{
    struct item *item = store_touch(worker, key, expires_s);
    worker_count(worker, COUNT_cmd_touch, 1);
    worker_count(worker, item != NULL ? COUNT_touch_hits : COUNT_touch_misses, 1);
    return item;
}

/* The next word between spaces, or zero bytes, which stand where the line was split already. */
static struct word key_next(char **at, const char *end)
{
    while (*at < end && (**at == ' ' || **at == '\0')) {
        ++*at;
    }
    struct word key = { *at, 0 };
    while (*at < end && **at != ' ' && **at != '\0') {
        ++*at;
        key.length++;
    }
    return key;
}

/* memcached sends no value at all when a key is too long; so does this. */
static bool a_key_is_long(char *at, const char *end)
{
    struct word key;
    do {
        key = key_next(&at, end);
    } while (key.length > 0 && key.length <= KEY_BYTES_MAX);
    return key.length > 0;
}

static void command_get(struct connection *connection, struct line *line)
{
    struct get get = { .with_cas = line->variant == GETS || line->variant == GATS,
                       .touches = line->variant == GAT || line->variant == GATS,
                       .at = line->words[1].text,
                       .end = line->end };
    if (get.touches) {
        int32_t exptime;
        if (!text_to_i32(get.at, &exptime)) {
            connection_reply(connection, "CLIENT_ERROR invalid exptime argument");
            return;
        }
        get.expires_s = item_time(exptime, connection->worker->now_s);
        get.at += line->words[1].length;
    }
    if (a_key_is_long(get.at, get.end)) {
        connection_reply(connection, "CLIENT_ERROR bad command line format");
        return;
    }
    connection->get = get;
    connection->state = CONNECTION_KEYS;
}

static void key_get(struct connection *connection, const struct word *word)
{
    struct worker *worker = connection->worker;
    struct get *get = &connection->get;
    struct key key = key_of(word->text, word->length);
    struct item *item;
    if (get->touches) {
        item = touch_item(worker, &key, get->expires_s);
    } else {
        item = store_find(worker, &key);
        worker_count(worker, COUNT_cmd_get, 1);
        worker_count(worker, item != NULL ? COUNT_get_hits : COUNT_get_misses, 1);
    }
    if (item == NULL) {
        return;
    }
    char head[KEY_BYTES_MAX + 3 * TEXT_U64_MAX + 16];
    int length = sprintf(head, "VALUE %.*s %" PRIu32 " %" PRIu32, (int)key.length, key.bytes,
                         item->flags, item->value_bytes);
    if (get->with_cas) {
        sprintf(head + length, " %" PRIu64, item->cas);
    }
    connection_send(connection, head, item_value(item), item->value_bytes);
    item_touch(item, worker->now_s);
}

bool command_get_on(struct connection *connection)
{
    struct get *get = &connection->get;
    while (evbuffer_get_length(connection->output) < OUTPUT_HIGH && !connection->is_broken) {
        struct word key = key_next(&get->at, get->end);
        if (key.length == 0) {
            connection_reply(connection, "END");
            evbuffer_drain(connection->input, connection->line_bytes);
            connection->state = CONNECTION_LINE;
            break;
        }
        key_get(connection, &key);
    }
    return true;
}

/* --- commands without a value --- */

static void command_delete(struct connection *connection, struct line *line)
{
    bool is_zero = line->count > 2 && strcmp(line->words[2].text, "0") == 0;
    if (line->count != 2U + is_zero + connection->mutes) {
        connection_reply(connection, "CLIENT_ERROR bad command line format.  Usage: delete <key> "
                                     "[noreply]");
        return;
    }
    bool deleted = store_delete(connection->worker, &line->key, 0) == STORE_DONE;
    worker_count(connection->worker, deleted ? COUNT_delete_hits : COUNT_delete_misses, 1);
    connection_reply(connection, deleted ? "DELETED" : "NOT_FOUND");
}

static void command_arithmetic(struct connection *connection, struct line *line)
{
    struct arithmetic arithmetic = { .decrements = line->variant };
    if (!text_to_u64(line->words[2].text, &arithmetic.delta)) {
        connection_reply(connection, "CLIENT_ERROR invalid numeric delta argument");
        return;
    }
    enum store_result result = store_arithmetic(connection->worker, &line->key, &arithmetic);
    char number[TEXT_U64_MAX];
    sprintf(number, "%" PRIu64, arithmetic.value);
    connection_reply(connection, result == STORE_DONE        ? number
                                 : result == STORE_NOT_FOUND ? "NOT_FOUND"
                                 : result == STORE_NO_MEMORY ? "SERVER_ERROR out of memory"
                                 : "CLIENT_ERROR cannot increment or decrement non-numeric value");
}

static void command_touch(struct connection *connection, struct line *line)
{
    int32_t exptime;
    if (!text_to_i32(line->words[2].text, &exptime)) {
        connection_reply(connection, bad_exptime);
        return;
    }
    struct worker *worker = connection->worker;
    struct item *item = touch_item(worker, &line->key, item_time(exptime, worker->now_s));
    if (item != NULL) {
        item_touch(item, worker->now_s);
    }
    connection_reply(connection, item != NULL ? "TOUCHED" : "NOT_FOUND");
}

static void command_flush_all(struct connection *connection, struct line *line)
{
    int32_t delay = 0;
    if (line->count - connection->mutes > 1 && !text_to_i32(line->words[1].text, &delay)) {
        connection_reply(connection, bad_exptime);
        return;
    }
    struct worker *worker = connection->worker;
    worker_count(worker, COUNT_cmd_flush, 1);
    item_flush(delay > 0 ? item_time(delay, worker->now_s) : 0, worker->now_s);
    connection_reply(connection, "OK");
}

static void command_verbosity(struct connection *connection, struct line *line)
{
    uint64_t level = 0;
    if (line->count - connection->mutes > 1 && !text_to_u64(line->words[1].text, &level)) {
        connection_reply(connection, bad_format);
        return;
    }
    atomic_store_explicit(&options.verbosity, (unsigned)level,
                          memory_order_relaxed); /* [VERBOSITY] */
    connection_reply(connection, "OK");
}

enum word_command { WORD_VERSION, WORD_SHUTDOWN, WORD_QUIT, WORD_TRIM };

static void command_word(struct connection *connection, struct line *line)
{
    if (line->variant == WORD_QUIT) {
        connection->finishes = true;
        return;
    }
    if (line->variant == WORD_TRIM) {
        memory_trim();
    }
    connection_reply(connection, line->variant == WORD_VERSION    ? "VERSION " MBCACHED_VERSION
                                 : line->variant == WORD_SHUTDOWN ? "ERROR: shutdown not enabled"
                                                                  : "OK");
}

/* --- which command it is --- */

enum { ANY = TEXT_WORDS_MAX };

static const struct command {
    const char *name;
    uint8_t words_min;
    uint8_t words_max;
    bool has_key;
    bool may_mute; /* knows noreply */
    void (*run)(struct connection *connection, struct line *line);
    int variant;
} commands[] = {
    { "get", 2, ANY, false, false, command_get, GET },
    { "gets", 2, ANY, false, false, command_get, GETS },
    { "gat", 2, ANY, false, false, command_get, GAT },
    { "gats", 2, ANY, false, false, command_get, GATS },
    { "set", 5, 6, true, true, command_store, STORE_SET },
    { "add", 5, 6, true, true, command_store, STORE_ADD },
    { "replace", 5, 6, true, true, command_store, STORE_REPLACE },
    { "append", 5, 6, true, true, command_store, STORE_APPEND },
    { "prepend", 5, 6, true, true, command_store, STORE_PREPEND },
    { "cas", 6, 7, true, true, command_store, STORE_CAS },
    { "incr", 3, 4, true, true, command_arithmetic, false },
    { "decr", 3, 4, true, true, command_arithmetic, true },
    { "delete", 2, 4, true, true, command_delete, 0 },
    { "touch", 3, 4, true, true, command_touch, 0 },
    { "flush_all", 1, 3, false, true, command_flush_all, 0 },
    { "verbosity", 2, 3, false, true, command_verbosity, 0 },
    { "version", 1, ANY, false, false, command_word, WORD_VERSION },
    { "shutdown", 1, ANY, false, false, command_word, WORD_SHUTDOWN },
    { "stats", 1, ANY, false, false, stats_command, 0 },
    { "quit", 1, ANY, false, false, command_word, WORD_QUIT },
    { "mb_trim", 1, 1, false, false, command_word, WORD_TRIM },
};

static void command_run(struct connection *connection, const struct command *command,
                        struct line *line)
{
    if (line->count < command->words_min || line->count > command->words_max) {
        connection_reply(connection, "ERROR");
        return;
    }
    const struct word *last = &line->words[line->count - 1];
    bool has_more = line->count > (command->has_key ? 2 : 1); /* else "noreply" is the key */
    connection->mutes = command->may_mute && has_more && strcmp(last->text, "noreply") == 0;
    if (command->has_key) {
        if (line->words[1].length > KEY_BYTES_MAX) {
            connection_reply(connection, bad_format);
            return;
        }
        line->key = key_of(line->words[1].text, line->words[1].length);
    }
    line->variant = command->variant;
    command->run(connection, line);
}

static void command_choose(struct connection *connection, struct line *line)
{
    const struct word *name = &line->words[0];
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(name->text, commands[i].name) == 0) {
            command_run(connection, &commands[i], line);
            return;
        }
    }
    if (name->length == 2 && name->text[0] == 'm') {
        meta_command(connection, line);
    } else if (line->count > 1 && strncmp(line->words[line->count - 1].text, "HTTP/", 5) == 0) {
        connection->finishes = true; /* a browser, or one that was lured here */
    } else {
        connection_reply(connection, "ERROR");
    }
}

void command_line(struct connection *connection, char *line, size_t length)
{
    struct line split;
    size_t end = length - 1;
    end -= end > 0 && line[end - 1] == '\r';
    if (options_verbosity() > 1) {
        fprintf(stderr, "<%d %.*s\n", connection->file, (int)(end < 200 ? end : 200), line);
    }
    line[end] = '\0'; /* or before it: memcached has C strings, too */
    split.end = line + strlen(line);
    split.words[0] = (struct word){ line + end, 0 }; /* if there is none */
    split.count = text_split(line, split.words);
    connection->mutes = false;
    command_choose(connection, &split);
}
