/* get: keys in, values out. */
#include "get.h"

#include "connection.h"
#include "expiry.h"
#include "text.h"
#include "worker.h"

#include <string.h>

static const struct name {
    const char *text;
    bool with_cas;
    bool touches;
} names[] = { { "get ", false, false }, { "gets ", true, false }, { "gat ", false, true },
              { "gats ", true, true },  { "bget ", false, false } };

static size_t spaces(const char *text, size_t length)
{
    size_t count = 0;
    while (count < length && text[count] == ' ') {
        count++;
    }
    return count;
}

/* The get that a line begins with, or NULL; *used: the bytes of its name, and spaces around. */
static const struct name *name_of(const char *line, size_t length, size_t *used)
{
    size_t skipped = spaces(line, length);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t bytes = strlen(names[i].text);
        if (length - skipped > bytes && memcmp(line + skipped, names[i].text, bytes) == 0) {
            *used = skipped + bytes;
            *used += spaces(line + *used, length - *used);
            return &names[i];
        }
    }
    return NULL;
}

bool get_is_begin(const char *line, size_t length)
{
    size_t used;
    return name_of(line, length, &used) != NULL;
}

/* The bytes of the key at the begin of a piece: up to a space, or the end of the line. */
static size_t key_length(const char *keys, size_t length)
{
    size_t count = 0;
    while (count < length && keys[count] != ' ' && keys[count] != '\n') {
        count++;
    }
    bool at_end = count > 0 && count < length && keys[count] == '\n';
    return at_end && keys[count - 1] == '\r' ? count - 1 : count;
}

/* VALUE key flags bytes [cas], the value, and their line ends. */
static bool value_send(struct connection *connection, struct item *item)
{
    enum { HEADER_MAX = 6 + KEY_BYTES_MAX + 3 * TEXT_U64_MAX + 8 };
    char *room = connection_reserve(connection, HEADER_MAX + item->value_bytes);
    if (room == NULL) {
        return false;
    }
    char *at = mempcpy(room, "VALUE ", 6);
    at = mempcpy(at, item->data, item->key_bytes);
    *at++ = ' ';
    at += text_of_u64(at, item->flags);
    *at++ = ' ';
    at += text_of_u64(at, item->value_bytes);
    if (connection->get.with_cas) {
        *at++ = ' ';
        at += text_of_u64(at, item->cas);
    }
    at = mempcpy(at, "\r\n", 2);
    at = mempcpy(at, item_value(item), item->value_bytes);
    at = mempcpy(at, "\r\n", 2);
    connection_commit(connection, (size_t)(at - room));
    return true;
}

static void key_get(struct connection *connection, const char *bytes, size_t length)
{
    struct worker *worker = connection->worker;
    struct key key = key_of(bytes, length);
    bool touches = connection->get.touches;
    worker_count(worker, touches ? COUNT_cmd_touch : COUNT_cmd_get, 1);
    struct item *item = store_get(worker, &key, touches ? COUNT_touch_hits : COUNT_get_hits,
                                  touches ? COUNT_touch_misses : COUNT_get_misses);
    if (item != NULL && value_send(connection, item)) {
        item_touch(item, worker->now_s);
        if (touches) {
            item_expires_set(item, connection->get.expires_s);
        }
    }
}

size_t get_keys(struct connection *connection, const char *keys, size_t length)
{
    size_t used = 0;
    while (!connection->is_broken) {
        used += spaces(keys + used, length - used);
        const char *key = keys + used;
        size_t left = length - used;
        size_t bytes = key_length(key, left);
        if (bytes > KEY_BYTES_MAX + 1) { /* only in a line that was begun before its end had come */
            connection_reply(connection, "CLIENT_ERROR bad command line format");
            connection_finish(connection);
            return length;
        }
        if (bytes == left || (key[bytes] == '\r' && bytes + 1 == left)
            || evbuffer_get_length(connection->output) >= OUTPUT_HIGH) {
            break;
        }
        if (bytes == 0) {
            connection->state = CONNECTION_LINE;
            connection_reply(connection, "END");
            return used + (key[0] == '\r' ? 2 : 1);
        }
        key_get(connection, key, bytes);
        used += bytes;
    }
    return used;
}

/* memcached sends no value at all when a key is too long; so does this, where it sees the end. */
static bool a_key_is_long(const char *keys, size_t length)
{
    size_t bytes = 0;
    for (size_t at = 0; at < length && bytes <= KEY_BYTES_MAX; at += bytes) {
        at += spaces(keys + at, length - at);
        bytes = key_length(keys + at, length - at);
        if (bytes == 0) {
            return false;
        }
    }
    return bytes > KEY_BYTES_MAX;
}

/* The expiration time of gat, which stands before its keys. Returns the bytes used up; 0: bad. */
static size_t expiry_take(struct connection *connection, const char *text, size_t length)
{
    char number[TEXT_U64_MAX] = "";
    size_t bytes = key_length(text, length);
    int32_t exptime = 0;
    memcpy(number, text, bytes < sizeof number ? bytes : 0);
    if (!text_to_i32(number, &exptime)) {
        return 0;
    }
    connection->get.expires_s = expiry_from_protocol(exptime, connection->worker->now_s);
    return bytes;
}

size_t get_begin(struct connection *connection, char *line, size_t length)
{
    size_t used;
    const struct name *name = name_of(line, length, &used);
    if (name == NULL) {
        return 0;
    }
    const char *error = key_length(line + used, length - used) == 0 ? "ERROR" : NULL; /* no key */
    connection->get = (struct get){ .with_cas = name->with_cas, .touches = name->touches };
    if (error == NULL && name->touches) {
        size_t taken = expiry_take(connection, line + used, length - used);
        error = taken == 0 ? "CLIENT_ERROR invalid exptime argument" : NULL;
        used += taken;
    }
    if (error == NULL && line[length - 1] == '\n' && a_key_is_long(line + used, length - used)) {
        error = "CLIENT_ERROR bad command line format";
    }
    if (error != NULL) {
        connection_reply(connection, error);
        if (line[length - 1] != '\n') {
            connection_finish(connection); /* where the next command begins is not known */
        }
        return length;
    }
    connection->state = CONNECTION_KEYS;
    return used + get_keys(connection, line + used, length - used);
}
