/* connection: bytes in and out. The ends of connections, too, are all here. */
#include "connection.h"

#include "allocator.h"
#include "command.h"
#include "worker.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* [OPEN] relaxed read-modify-writes: a count that orders nothing. */
static atomic_uint open_count;

unsigned connections_open(void)
{
    return atomic_load_explicit(&open_count, memory_order_relaxed); /* [OPEN] */
}

static void connection_end(struct connection *connection)
{
    struct worker *worker = connection->worker;
    if (connection->store.item != NULL) {
        item_free(worker, connection->store.item);
    }
    if (connection->next != NULL) {
        connection->next->previous = connection->previous;
    }
    *(connection->previous != NULL ? &connection->previous->next : &worker->connections) =
        connection->next;
    event_del(&connection->readable);
    event_del(&connection->writable);
    evbuffer_free(connection->input);
    evbuffer_free(connection->output);
    close(connection->file);
    allocator_buffer_free(connection);
    atomic_fetch_sub_explicit(&open_count, 1, memory_order_relaxed); /* [OPEN] */
}

void connections_end(struct worker *worker)
{
    while (worker->connections != NULL) {
        connection_end(worker->connections);
    }
}

/* --- output --- */

void connection_send(struct connection *connection, const char *line, const char *value,
                     size_t value_bytes)
{
    struct evbuffer *output = connection->output;
    size_t line_bytes = strlen(line);
    bool failed = evbuffer_expand(output, line_bytes + value_bytes + 4) != 0
                  || evbuffer_add(output, line, line_bytes) != 0
                  || evbuffer_add(output, "\r\n", 2) != 0;
    if (value != NULL) {
        failed = failed || evbuffer_add(output, value, value_bytes) != 0
                 || evbuffer_add(output, "\r\n", 2) != 0;
    }
    connection->is_broken |= failed;
}

void connection_reply(struct connection *connection, const char *line)
{
    if (!connection->mutes) {
        connection_send(connection, line, NULL, 0);
    }
    connection->mutes = false;
}

static void flush(struct connection *connection)
{
    while (evbuffer_get_length(connection->output) > 0) {
        int sent = evbuffer_write(connection->output, connection->file);
        if (sent <= 0) {
            connection->is_broken |= errno != EAGAIN && errno != EINTR;
            return;
        }
        worker_count(connection->worker, COUNT_bytes_written, (uint64_t)sent);
    }
}

/* --- what comes next in the input --- */

void connection_take_value(struct connection *connection)
{
    connection->filled_bytes = 0;
    connection->store_mutes = connection->mutes;
    connection->mutes = false;
    connection->state = CONNECTION_VALUE;
}

void connection_swallow(struct connection *connection, size_t bytes)
{
    connection->swallow_bytes = bytes;
    connection->state = CONNECTION_SWALLOW;
}

void connection_finish(struct connection *connection)
{
    connection->finishes = true;
}

/* Serves the command line that comes next. False: it is not complete. */
static bool serve_line(struct connection *connection)
{
    size_t all = evbuffer_get_length(connection->input);
    struct evbuffer_ptr end = evbuffer_search(connection->input, "\n", 1, NULL);
    if (end.pos < 0) {
        if (all > LINE_BYTES_MAX) { /* as memcached, without a word */
            const char *begin = (char *)evbuffer_pullup(connection->input, LINE_BYTES_MAX);
            connection->is_broken = all > GET_BYTES_MAX || !get_is_begin(begin);
        }
        return false;
    }
    connection->line_bytes = (size_t)end.pos + 1;
    char *line = (char *)evbuffer_pullup(connection->input, (ev_ssize_t)connection->line_bytes);
    if (connection->speaks_http) {
        stats_http_line(connection, line);
    } else {
        command_line(connection, line, connection->line_bytes);
    }
    if (connection->state != CONNECTION_KEYS) {
        evbuffer_drain(connection->input, connection->line_bytes);
    }
    return true;
}

static void serve_keys(struct connection *connection)
{
    if (!get_goes_on(connection)) {
        evbuffer_drain(connection->input, connection->line_bytes);
        connection->state = CONNECTION_LINE;
    }
}

static bool serve_value(struct connection *connection)
{
    struct item *item = connection->store.item;
    size_t rest = item->value_bytes - connection->filled_bytes;
    if (rest > 0) {
        int moved = evbuffer_remove(connection->input,
                                    item_value(item) + connection->filled_bytes, rest);
        connection->filled_bytes += moved > 0 ? (size_t)moved : 0;
    }
    char end[2];
    if (connection->filled_bytes < item->value_bytes
        || evbuffer_get_length(connection->input) < sizeof end) {
        return false;
    }
    evbuffer_remove(connection->input, end, sizeof end);
    connection->state = CONNECTION_LINE;
    connection->mutes = connection->store_mutes;
    command_value(connection, memcmp(end, "\r\n", sizeof end) == 0);
    return true;
}

static bool serve_swallowed(struct connection *connection)
{
    size_t all = evbuffer_get_length(connection->input);
    size_t now = all < connection->swallow_bytes ? all : connection->swallow_bytes;
    evbuffer_drain(connection->input, now);
    connection->swallow_bytes -= now;
    if (connection->swallow_bytes == 0) {
        connection->state = CONNECTION_LINE;
    }
    return now > 0;
}

/* Serves what the input has, as far as there is room for replies. */
static void serve(struct connection *connection)
{
    bool goes_on = true;
    while (goes_on && !connection->finishes && !connection->is_broken) {
        connection->is_paused = evbuffer_get_length(connection->output) >= OUTPUT_HIGH;
        if (connection->is_paused) {
            return;
        }
        switch (connection->state) {
        case CONNECTION_LINE:
            goes_on = serve_line(connection);
            break;
        case CONNECTION_KEYS:
            serve_keys(connection);
            break;
        case CONNECTION_VALUE:
            goes_on = serve_value(connection);
            break;
        case CONNECTION_SWALLOW:
            goes_on = serve_swallowed(connection);
            break;
        }
    }
}

/* --- reading --- */

/* One read. Returns its bytes; 0 when there are none now, or never again. */
static size_t fill(struct connection *connection)
{
    struct evbuffer_iovec room;
    if (evbuffer_reserve_space(connection->input, READ_BYTES, &room, 1) != 1) {
        connection->is_broken = true;
        return 0;
    }
    ssize_t got = read(connection->file, room.iov_base, room.iov_len);
    connection->is_broken |= got < 0 && errno != EAGAIN && errno != EINTR;
    connection->finishes |= got == 0;
    room.iov_len = got > 0 ? (size_t)got : 0;
    evbuffer_commit_space(connection->input, &room, 1);
    worker_count(connection->worker, COUNT_bytes_read, room.iov_len);
    return room.iov_len;
}

/* --- events --- */

static void event_want(struct event *event, bool wanted)
{
    bool is_there = event_pending(event, EV_READ | EV_WRITE, NULL) != 0;
    if (wanted && !is_there) {
        event_add(event, NULL);
    } else if (!wanted && is_there) {
        event_del(event);
    }
}

/* At a callback's end: sends, and waits for what is needed next. May end the connection. */
static void settle(struct connection *connection)
{
    flush(connection);
    connection->finishes |= connection->lingers && !connection->is_paused;
    bool is_sent = evbuffer_get_length(connection->output) == 0;
    if (connection->is_broken || (connection->finishes && is_sent && !connection->lingers)) {
        connection_end(connection);
        return;
    }
    if (connection->finishes && is_sent) {
        shutdown(connection->file, SHUT_WR);
    }
    /* A paused connection goes on when it can write, in a turn to come, and others are served. */
    event_want(&connection->writable,
               !is_sent || (connection->is_paused && !connection->finishes));
    event_want(&connection->readable,
               connection->lingers || !(connection->is_paused || connection->finishes));
}

/* The client of a connection that lingers: it reads our replies, so closing now could lose them. */
static void discard(struct connection *connection)
{
    char unwanted[4096];
    ssize_t got = read(connection->file, unwanted, sizeof unwanted);
    connection->lingers &= got != 0; /* it asks no more, and may still read what is on its way */
    connection->is_broken |= got < 0 && errno != EAGAIN && errno != EINTR;
}

static void on_readable(evutil_socket_t unused_file, short unused_what, void *argument)
{
    (void)unused_file;
    (void)unused_what;
    struct connection *connection = argument;
    worker_awake(connection->worker);
    if (connection->lingers) {
        discard(connection);
    } else if (fill(connection) > 0) {
        serve(connection);
    }
    settle(connection);
}

static void on_writable(evutil_socket_t unused_file, short unused_what, void *argument)
{
    (void)unused_file;
    (void)unused_what;
    struct connection *connection = argument;
    worker_awake(connection->worker);
    flush(connection);
    if (connection->is_paused) {
        serve(connection);
    }
    settle(connection);
}

/* --- begin and end --- */

static bool is_refused(struct worker *worker, int file)
{
    static const char refusal[] = "ERROR Too many open connections\r\n";
    unsigned before = atomic_fetch_add_explicit(&open_count, 1, memory_order_relaxed); /* [OPEN] */
    if (before < options.connections_max) {
        return false;
    }
    atomic_fetch_sub_explicit(&open_count, 1, memory_order_relaxed); /* [OPEN] */
    worker_count(worker, COUNT_rejected_connections, 1);
    send(file, refusal, sizeof refusal - 1, MSG_DONTWAIT);
    close(file);
    return true;
}

void connection_begin(struct worker *worker, int file, bool speaks_http)
{
    if (is_refused(worker, file)) {
        return;
    }
    struct connection *connection = allocator_buffer_alloc(sizeof *connection);
    struct evbuffer *input = evbuffer_new();
    struct evbuffer *output = evbuffer_new();
    if (connection == NULL || input == NULL || output == NULL) {
        fputs("mbcached: no memory for a connection\n", stderr);
        abort(); /* only if malloc has none either */
    }
    *connection = (struct connection){
        .next = worker->connections,
        .worker = worker,
        .file = file,
        .speaks_http = speaks_http,
        .input = input,
        .output = output,
    };
    if (worker->connections != NULL) {
        worker->connections->previous = connection;
    }
    worker->connections = connection;
    worker_count(worker, COUNT_total_connections, 1);
    event_assign(&connection->readable, worker->base, file, EV_READ | EV_PERSIST, on_readable,
                 connection);
    event_assign(&connection->writable, worker->base, file, EV_WRITE | EV_PERSIST, on_writable,
                 connection);
    const int on = 1;
    setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    event_add(&connection->readable, NULL);
    if (options_verbosity() > 0) {
        fprintf(stderr, "<%d new connection\n", file);
    }
}

/*
 * Commands that have come in by now are answered, as many as one client may have under way. What
 * comes later is not, and its sender sees that: it gets an end of file in place of a reply.
 */
void connections_drain(struct worker *worker)
{
    enum { READS_MAX = 256 };
    struct connection *next;
    for (struct connection *connection = worker->connections; connection != NULL;
         connection = next) {
        next = connection->next;
        unsigned reads = 0;
        do {
            serve(connection);
            flush(connection);
        } while (!connection->is_paused && !connection->is_broken && !connection->finishes
                 && fill(connection) > 0 && ++reads < READS_MAX);
        connection->lingers = !connection->finishes;
        settle(connection);
    }
}
