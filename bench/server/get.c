/* get: keys in, values out. */
#include "get.h"
#include "connection.h"
#include "expiry.h"
#include "stats.h"
#include "store.h"
#include "text.h"
#include "worker.h"

#include <string.h>

static const struct name {
    const char *text;
    size_t length;
    bool with_cas;
    bool touches;
} names[] = {
    { "get ", 4, false, false }, { "gets ", 5, true, false }, { "gat ", 4, false, true },
    { "gats ", 5, true, true },  { "bget ", 5, false, false },
};

static const struct name *name_of(const char *line, size_t length)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (length > names[i].length && memcmp(line, names[i].text, names[i].length) == 0) {
            return &names[i];
        }
    }
    return NULL;
}

static size_t spaces(const char *text, size_t length)
{
    size_t count = 0;
    while (count < length && text[count] == ' ') {
        count++;
    }
    return count;
}

bool get_is_begin(const char *line, size_t length)
{
    enum { SPACES_MAX = 100 };
    size_t skipped = spaces(line, length);
    const struct name *name = name_of(line + skipped, length - skipped);
    return skipped <= SPACES_MAX && name != NULL;
}

/* The bytes of the key at the begin of a piece: up to a space, or the end of the line. */
static size_t key_length(const char *keys, size_t length)
{
    size_t count = 0;
    while (count < length && keys[count] != ' ' && keys[count] != '\n' && keys[count] != '\0') {
        count++;
    }
    if (count > 0 && count < length && keys[count] == '\n' && keys[count - 1] == '\r') {
        count--;
    }
    return count;
}

/* VALUE key flags bytes [cas], the value, and their line ends. */
static bool value_send(struct connection *connection, struct item *item)
{
    enum { HEADER_MAX = 6 + KEY_BYTES_MAX + 3 * TEXT_U64_MAX + 8 };
    char *room = connection_reserve(connection, HEADER_MAX + item->value_bytes);
    if (room == NULL) {
        return false;
    }
    char *at = room;
    memcpy(at, "VALUE ", 6);
    at += 6;
    memcpy(at, item->data, item->key_bytes);
    at += item->key_bytes;
    *at++ = ' ';
    at += text_of_u64(at, item->flags);
    *at++ = ' ';
    at += text_of_u64(at, item->value_bytes);
    if (connection->get.with_cas) {
        *at++ = ' ';
        at += text_of_u64(at, item->cas);
    }
    *at++ = '\r';
    *at++ = '\n';
    memcpy(at, item_value(item), item->value_bytes);
    at += item->value_bytes;
    *at++ = '\r';
    *at++ = '\n';
    connection_commit(connection, (size_t)(at - room));
    return true;
}

static void key_get(struct connection *connection, const char *bytes, size_t length)
{
    struct worker *worker = connection->worker;
    struct counters *counters = &worker->counters;
    struct key key = key_of(bytes, length);
    struct cds_lfht_iter position;
    struct item *item = store_find(worker, &key, &position);
    counter_add(&counters->cmd_get, 1);
    counter_add(item != NULL ? &counters->get_hits : &counters->get_misses, 1);
    if (connection->get.touches) {
        counter_add(&counters->cmd_touch, 1);
        counter_add(item != NULL ? &counters->touch_hits : &counters->touch_misses, 1);
    }
    if (item != NULL && value_send(connection, item)) {
        item_touch(item, worker->now_s);
        if (connection->get.touches) {
            item_expires_set(item, connection->get.expires_s);
        }
    }
}

static void end_of_keys(struct connection *connection)
{
    connection->state = CONNECTION_LINE;
    connection_reply(connection, connection->get.failed ? "CLIENT_ERROR bad command line format"
                                                        : "END");
}

/* What is skipped goes up to the next key, or, behind a zero byte, which ends C's strings, the line. */
static size_t skip(struct connection *connection, const char *keys, size_t length)
{
    const char *end = memchr(keys, '\n', length);
    if (end == NULL) {
        return length;
    }
    connection->get.skips = false;
    end_of_keys(connection);
    return (size_t)(end - keys) + 1;
}

size_t get_keys(struct connection *connection, const char *keys, size_t length)
{
    struct get *get = &connection->get;
    size_t used = 0;
    while (connection->state == CONNECTION_KEYS && !connection->is_broken) {
        used += spaces(keys + used, length - used);
        const char *key = keys + used;
        size_t left = length - used;
        if (left == 0 || evbuffer_get_length(connection->output) >= OUTPUT_HIGH) {
            return used;
        }
        if (get->skips) {
            return used + skip(connection, key, left);
        }
        size_t bytes = key_length(key, left);
        if (bytes > KEY_BYTES_MAX + 1 || (bytes > KEY_BYTES_MAX && bytes < left)) {
            get->failed = true;
            get->skips = true;
            continue;
        }
        if (bytes == left || (key[bytes] == '\r' && bytes + 1 == left)) {
            return used; /* its end is still to come */
        }
        if (bytes > 0) {
            key_get(connection, key, bytes);
            used += bytes;
        } else if (key[0] == '\0') {
            get->skips = true;
        } else {
            used += key[0] == '\r' ? 2 : 1;
            end_of_keys(connection);
        }
    }
    return used;
}

/* memcached sends no value at all when a key is too long; so does this, where it sees the line's end. */
static bool a_key_is_long(const char *keys, size_t length)
{
    size_t bytes;
    for (size_t at = 0; at < length; at += bytes) {
        at += spaces(keys + at, length - at);
        bytes = key_length(keys + at, length - at);
        if (bytes > KEY_BYTES_MAX) {
            return true;
        }
        if (bytes == 0) {
            return false;
        }
    }
    return false;
}

/* The expiration time of gat, which stands before its keys. Returns the bytes used up; 0: bad. */
static size_t expiry_take(struct connection *connection, const char *text, size_t length)
{
    char number[TEXT_U64_MAX];
    size_t skipped = spaces(text, length);
    size_t bytes = key_length(text + skipped, length - skipped);
    if (bytes == 0) {
        connection_reply(connection, "ERROR");
        return 0;
    }
    int32_t exptime = 0;
    bool fits = bytes < sizeof number;
    memcpy(number, text + skipped, fits ? bytes : 0);
    number[fits ? bytes : 0] = '\0';
    if (!text_to_i32(number, &exptime)) {
        connection_reply(connection, "CLIENT_ERROR invalid exptime argument");
        return 0;
    }
    connection->get.expires_s = expiry_from_protocol(exptime, connection->worker->now_s);
    return skipped + bytes;
}

size_t get_begin(struct connection *connection, char *line, size_t length)
{
    size_t used = spaces(line, length);
    const struct name *name = name_of(line + used, length - used);
    if (name == NULL) {
        return 0;
    }
    used += name->length;
    connection->get = (struct get){ .with_cas = name->with_cas, .touches = name->touches };
    if (name->touches) {
        size_t taken = expiry_take(connection, line + used, length - used);
        if (taken == 0) {
            return length;
        }
        used += taken;
    } else {
        used += spaces(line + used, length - used);
        if (used < length && key_length(line + used, length - used) == 0) {
            connection_reply(connection, "ERROR"); /* no key at all */
            return length;
        }
    }
    if (line[length - 1] == '\n' && a_key_is_long(line + used, length - used)) {
        connection_reply(connection, "CLIENT_ERROR bad command line format");
        return length;
    }
    connection->state = CONNECTION_KEYS;
    return used + get_keys(connection, line + used, length - used);
}
