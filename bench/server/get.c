/*
 * get: get, gets, gat and gats. Their line stays in the input until the last key is answered, as
 * values are only written as fast as the client takes them.
 */
#include "command.h"

#include "connection.h"
#include "worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

void get_begin(struct connection *connection, struct line *line)
{
    enum get_variant variant = (enum get_variant)line->variant;
    struct get get = { .with_cas = variant == GETS || variant == GATS,
                       .touches = variant == GAT || variant == GATS,
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
        item = command_touch_item(worker, &key, get->expires_s);
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

bool get_goes_on(struct connection *connection)
{
    struct get *get = &connection->get;
    while (evbuffer_get_length(connection->output) < OUTPUT_HIGH && !connection->is_broken) {
        struct word key = key_next(&get->at, get->end);
        if (key.length == 0) {
            connection_reply(connection, "END");
            return false;
        }
        key_get(connection, &key);
    }
    return true;
}
