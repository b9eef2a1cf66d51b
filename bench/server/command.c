/* command: one function for each classic command, with memcached's replies. */
#include "command.h"
#include "allocator.h"
#include "connection.h"
#include "expiry.h"
#include "get.h"
#include "meta.h"
#include "stats.h"
#include "table.h"
#include "text.h"
#include "worker.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char bad_format[] = "CLIENT_ERROR bad command line format";
static const char bad_exptime[] = "CLIENT_ERROR invalid exptime argument";

struct line {
    struct word words[TEXT_WORDS_MAX];
    size_t count;
};

static bool word_is(const struct word *word, const char *text)
{
    return strcmp(word->text, text) == 0;
}

/* noreply, if the last word says so; set before the other words are looked at, as errors obey it. */
static void take_noreply(struct connection *connection, const struct line *line)
{
    connection->mutes = word_is(&line->words[line->count - 1], "noreply");
}

static bool key_is_long(const struct word *key)
{
    return key->length > KEY_BYTES_MAX;
}

/* --- set and its like --- */

/* As memcached: a value that cannot be stored shall not leave an older one behind. */
static void drop_stale(struct worker *worker, const struct key *key)
{
    store_delete(worker, key, 0);
}

bool command_store_begin(struct connection *connection, const struct word *word,
                         size_t value_bytes)
{
    struct worker *worker = connection->worker;
    struct key key = key_of(word->text, word->length);
    struct item *item = NULL;
    if (item_size_is_allowed(&key, value_bytes)) {
        item = item_alloc(worker, &key, value_bytes);
    }
    if (item != NULL) {
        connection->store.item = item;
        connection_take_value(connection);
        return true;
    }
    if (item_size_is_allowed(&key, value_bytes)) {
        counter_add(&worker->counters.store_no_memory, 1);
        connection_reply(connection, "SERVER_ERROR out of memory storing object");
    } else {
        connection_reply(connection, "SERVER_ERROR object too large for cache");
    }
    if (connection->store.mode == STORE_SET) {
        drop_stale(worker, &key);
    }
    connection_swallow(connection, value_bytes + 2);
    return false;
}

static void command_store(struct connection *connection, const struct line *line,
                          enum store_mode mode)
{
    const struct word *words = line->words;
    size_t with_cas = mode == STORE_CAS;
    if (line->count != 5 + with_cas && line->count != 6 + with_cas) {
        connection_reply(connection, "ERROR");
        return;
    }
    take_noreply(connection, line);
    uint32_t flags;
    int32_t exptime;
    int32_t value_bytes;
    uint64_t cas = 0;
    if (key_is_long(&words[1]) || !text_to_flags(words[2].text, &flags)
        || !text_to_i32(words[3].text, &exptime) || !text_to_i32(words[4].text, &value_bytes)
        || (with_cas && !text_to_u64(words[5].text, &cas)) || value_bytes < 0
        || value_bytes > INT_MAX - 2) {
        connection_reply(connection, bad_format);
        return;
    }
    connection->store = (struct store_request){ .mode = mode, .cas = cas };
    connection->store_is_meta = false;
    if (command_store_begin(connection, &words[1], (size_t)value_bytes)) {
        connection->store.item->flags = flags;
        item_expires_set(connection->store.item,
                         expiry_from_protocol(exptime, connection->worker->now_s));
    }
}

static void reply_stored(struct connection *connection, enum store_result result)
{
    static const char *const replies[] = {
        [STORE_DONE] = "STORED",
        [STORE_NOT_STORED] = "NOT_STORED",
        [STORE_EXISTS] = "EXISTS",
        [STORE_NOT_FOUND] = "NOT_FOUND",
        [STORE_NO_MEMORY] = "SERVER_ERROR out of memory storing object",
    };
    connection_reply(connection, replies[result]);
}

void command_value(struct connection *connection, bool is_whole)
{
    struct worker *worker = connection->worker;
    counter_add(&worker->counters.cmd_set, 1);
    if (!is_whole) {
        item_free(worker, connection->store.item);
        connection->store.item = NULL;
        connection_reply(connection, "CLIENT_ERROR bad data chunk");
    } else if (connection->store_is_meta) {
        meta_value(connection);
    } else {
        reply_stored(connection, store_commit(worker, &connection->store, NULL));
    }
}

/* --- commands without a value --- */

static void command_delete(struct connection *connection, const struct line *line)
{
    if (line->count < 2 || line->count > 4) {
        connection_reply(connection, "ERROR");
        return;
    }
    take_noreply(connection, line);
    bool is_zero = line->count > 2 && word_is(&line->words[2], "0");
    if (line->count > 2 && !is_zero && !(line->count == 3 && connection->mutes)) {
        connection_reply(connection, "CLIENT_ERROR bad command line format.  Usage: delete <key> "
                                     "[noreply]");
        return;
    }
    if (key_is_long(&line->words[1])) {
        connection_reply(connection, bad_format);
        return;
    }
    struct counters *counters = &connection->worker->counters;
    struct key key = key_of(line->words[1].text, line->words[1].length);
    bool deleted = store_delete(connection->worker, &key, 0) == STORE_DONE;
    counter_add(deleted ? &counters->delete_hits : &counters->delete_misses, 1);
    connection_reply(connection, deleted ? "DELETED" : "NOT_FOUND");
}

static void command_arithmetic(struct connection *connection, const struct line *line,
                               bool decrements)
{
    if (line->count != 3 && line->count != 4) {
        connection_reply(connection, "ERROR");
        return;
    }
    take_noreply(connection, line);
    struct arithmetic arithmetic = { .decrements = decrements };
    if (key_is_long(&line->words[1])) {
        connection_reply(connection, bad_format);
        return;
    }
    if (!text_to_u64(line->words[2].text, &arithmetic.delta)) {
        connection_reply(connection, "CLIENT_ERROR invalid numeric delta argument");
        return;
    }
    struct counters *counters = &connection->worker->counters;
    struct key key = key_of(line->words[1].text, line->words[1].length);
    char number[TEXT_U64_MAX];
    switch (store_arithmetic(connection->worker, &key, &arithmetic)) {
    case STORE_DONE:
        counter_add(decrements ? &counters->decr_hits : &counters->incr_hits, 1);
        number[text_of_u64(number, arithmetic.value)] = '\0';
        connection_reply(connection, number);
        break;
    case STORE_NOT_FOUND:
        counter_add(decrements ? &counters->decr_misses : &counters->incr_misses, 1);
        connection_reply(connection, "NOT_FOUND");
        break;
    case STORE_NOT_A_NUMBER:
        connection_reply(connection,
                         "CLIENT_ERROR cannot increment or decrement non-numeric value");
        break;
    default:
        connection_reply(connection, "SERVER_ERROR out of memory in incr");
        break;
    }
}

static void command_touch(struct connection *connection, const struct line *line)
{
    if (line->count != 3 && line->count != 4) {
        connection_reply(connection, "ERROR");
        return;
    }
    take_noreply(connection, line);
    int32_t exptime;
    if (key_is_long(&line->words[1]) || !text_to_i32(line->words[2].text, &exptime)) {
        connection_reply(connection, key_is_long(&line->words[1]) ? bad_format : bad_exptime);
        return;
    }
    struct worker *worker = connection->worker;
    struct key key = key_of(line->words[1].text, line->words[1].length);
    struct cds_lfht_iter position;
    struct item *item = store_find(worker, &key, &position);
    counter_add(&worker->counters.cmd_touch, 1);
    counter_add(item != NULL ? &worker->counters.touch_hits : &worker->counters.touch_misses, 1);
    if (item != NULL) {
        item_expires_set(item, expiry_from_protocol(exptime, worker->now_s));
        item_touch(item, worker->now_s);
    }
    connection_reply(connection, item != NULL ? "TOUCHED" : "NOT_FOUND");
}

static void command_flush_all(struct connection *connection, const struct line *line)
{
    if (line->count > 3) {
        connection_reply(connection, "ERROR");
        return;
    }
    take_noreply(connection, line);
    int32_t delay = 0;
    if (line->count - connection->mutes > 1 && !text_to_i32(line->words[1].text, &delay)) {
        connection_reply(connection, bad_exptime);
        return;
    }
    struct worker *worker = connection->worker;
    counter_add(&worker->counters.cmd_flush, 1);
    uint32_t at_s = delay > 0 ? expiry_from_protocol(delay, worker->now_s) : 0;
    expiry_flush(at_s, worker->now_s);
    connection_reply(connection, "OK");
}

static void command_verbosity(struct connection *connection, const struct line *line)
{
    if (line->count != 2 && line->count != 3) {
        connection_reply(connection, "ERROR");
        return;
    }
    take_noreply(connection, line);
    int32_t verbosity = 0;
    bool is_number = (line->count == 2 && connection->mutes)
                     || text_to_i32(line->words[1].text, &verbosity);
    if (is_number) {
        options.verbosity = verbosity > 0 ? (unsigned)verbosity : 0;
    }
    connection_reply(connection, is_number ? "OK" : bad_format);
}

/* --- which command it is --- */

static void command_other(struct connection *connection, const struct line *line)
{
    const struct word *name = &line->words[0];
    if (word_is(name, "version")) {
        connection_reply(connection, "VERSION " MBCACHED_VERSION);
    } else if (word_is(name, "stats")) {
        stats_command(connection, line->count > 1 ? line->words[1].text : "");
    } else if (word_is(name, "flush_all")) {
        command_flush_all(connection, line);
    } else if (word_is(name, "verbosity")) {
        command_verbosity(connection, line);
    } else if (word_is(name, "mb_trim") && line->count == 1) {
        allocator_trim();
        connection_reply(connection, "OK");
    } else if (word_is(name, "shutdown")) {
        connection_reply(connection, "ERROR: shutdown not enabled");
    } else if (word_is(name, "quit")
               || strncmp(line->words[line->count - 1].text, "HTTP/", 5) == 0) {
        connection_finish(connection);
    } else {
        connection_reply(connection, "ERROR");
    }
}

static void command_split(struct connection *connection, struct line *line)
{
    static const struct {
        const char *name;
        enum store_mode mode;
    } stores[] = {
        { "set", STORE_SET },       { "add", STORE_ADD },         { "replace", STORE_REPLACE },
        { "append", STORE_APPEND }, { "prepend", STORE_PREPEND }, { "cas", STORE_CAS },
    };
    const struct word *name = &line->words[0];
    for (size_t i = 0; i < sizeof stores / sizeof stores[0]; i++) {
        if (word_is(name, stores[i].name)) {
            command_store(connection, line, stores[i].mode);
            return;
        }
    }
    counter_add(&connection->worker->counters.cmd_other, 1);
    if (name->length == 2 && name->text[0] == 'm') {
        meta_command(connection, line->words, line->count);
    } else if (word_is(name, "incr") || word_is(name, "decr")) {
        command_arithmetic(connection, line, name->text[0] == 'd');
    } else if (word_is(name, "delete")) {
        command_delete(connection, line);
    } else if (word_is(name, "touch")) {
        command_touch(connection, line);
    } else {
        command_other(connection, line);
    }
}

size_t command_line(struct connection *connection, char *line, size_t length, bool is_complete)
{
    connection->mutes = false;
    if (options.verbosity > 1) {
        fprintf(stderr, "<%d %.*s\n", connection->file,
                (int)(length < 200 ? strcspn(line, "\r\n") : 200), line);
    }
    size_t used = get_begin(connection, line, length);
    if (used > 0 || !is_complete) {
        return used;
    }
    size_t end = length - 1;
    if (end > 1 && line[end - 1] == '\r') {
        end--;
    }
    line[end] = '\0';
    struct line split;
    split.count = text_split(line, split.words);
    if (split.count == 0 || split.words[0].length < 2) {
        connection_reply(connection, "ERROR");
    } else {
        command_split(connection, &split);
    }
    connection->mutes = false;
    return length;
}
