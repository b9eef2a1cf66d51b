/*
 * connection: a client's socket and its two buffers, owned by the worker that accepted it.
 *
 * Bounds: of input there is one read, READ_BYTES, and what a command needs to be complete: a line
 * of LINE_BYTES_MAX, which a get of many keys may be. A value goes on into its item. Output stops
 * growing at OUTPUT_HIGH and the next value: no command is begun, no key looked for, and nothing
 * read, until the client has taken some of it.
 *
 * Commands (command.h) are called with a line and say through `state` what comes next.
 */
#pragma once

#include "store.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <urcu/list.h>

enum {
    READ_BYTES = 16384 - 64, /* with libevent's header a power of two */
    LINE_BYTES_MAX = 65536, /* as far as the end of a line is waited for */
    OUTPUT_HIGH = 256 * 1024,
    META_REPLY_MAX = 64,
};

enum connection_state {
    CONNECTION_LINE,  /* a command line comes next */
    CONNECTION_KEYS,  /* the rest of a get's keys: of the line that the input begins with */
    CONNECTION_VALUE, /* the rest of the value of `store` */
};

/* A get that is under way (command.c). */
struct get {
    bool with_cas;
    bool touches;
    uint32_t expires_s;
    char *at; /* the keys that are left, in the input */
    const char *end;
};

struct connection {
    struct cds_list_head of_worker; /* in the worker's list */
    struct worker *worker;
    int file;
    struct event readable;
    struct event writable;
    struct evbuffer *input;
    struct evbuffer *output;
    enum connection_state state;
    bool speaks_http; /* on the port of /metrics */
    bool mutes;     /* noreply: the next reply is left out */
    bool is_paused; /* commands may wait in the input until output has gone */
    bool finishes;  /* nothing more is read; ends once the output has gone */
    bool lingers;   /* the same while draining: then waits for the client's end */
    bool is_broken;
    size_t line_bytes; /* of the line that is served */
    unsigned http_status; /* of the request whose head comes in; 0: none has begun (stats.c) */
    struct get get;
    struct store_request store; /* its item is the connection's until it is committed; or NULL: */
    size_t value_left;          /* bytes to come for the item, or that nobody wants */
    size_t upload_bytes;        /* of the item's value, counted as an upload (memory.h) */
    uint32_t upload_s;          /* when that began */
    bool store_mutes; /* of its reply, when the value has come */
    char store_reply[META_REPLY_MAX]; /* meta flags that go back (meta.c) */
};

/* Takes over the socket. */
void connection_begin(struct worker *worker, int file);

/* Answers what was received, and closes each connection once its replies have been sent. */
void connections_drain(struct worker *worker);

/* Closes all of a worker's connections at once, or those whose upload has taken too long. */
void connections_end(struct worker *worker, bool only_stalled);

/*
 * Sends a line, and, unless `value` is NULL, a value behind it, each with its line end. When there
 * is no memory the connection ends: half a reply would be worse than none.
 */
void connection_send(struct connection *connection, const char *line, const char *value,
                     size_t value_bytes);

/* Sends a line, unless it is to be left out. */
void connection_reply(struct connection *connection, const char *line);

/* Lets a value and its line end follow that nobody wants. */
void connection_swallow(struct connection *connection, size_t value_bytes);

/* Connections open now, over all workers. */
unsigned connections_open(void);
