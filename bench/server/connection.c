/* connection: bytes in and out. The ends of connections, too, are all here. */
#include "connection.h"

#include "command.h"
#include "memory.h"
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
    if (connection->store.item != NULL) {
        memory_upload_end(connection->upload_bytes);
        item_free(connection->store.item);
    }
    cds_list_del(&connection->of_worker);
    event_del(&connection->readable);
    event_del(&connection->writable);
    evbuffer_free(connection->input);
    evbuffer_free(connection->output);
    close(connection->file);
    memory_buffer_free(connection);
    atomic_fetch_sub_explicit(&open_count, 1, memory_order_relaxed); /* [OPEN] */
}

void connections_end(struct worker *worker, bool only_stalled)
{
    enum { UPLOAD_S_MAX = 60 };
    struct connection *connection;
    struct connection *next;
    cds_list_for_each_entry_safe(connection, next, &worker->connections, of_worker) {
        bool uploads = connection->store.item != NULL && connection->upload_bytes > 0;
        if (!only_stalled || (uploads && worker->now_s - connection->upload_s > UPLOAD_S_MAX)) {
            connection_end(connection);
        }
    }
}

/* --- output --- */

void connection_send(struct connection *connection, const char *line, const char *value,
                     size_t value_bytes)
{
    size_t line_bytes = strlen(line);
    struct evbuffer *output = connection->output;
    if (evbuffer_expand(output, line_bytes + value_bytes + 4) != 0) {
        connection->is_broken = true;
        return;
    }
    evbuffer_add(output, line, line_bytes);
    evbuffer_add(output, "\r\n", 2);
    if (value != NULL) {
        evbuffer_add(output, value, value_bytes);
        evbuffer_add(output, "\r\n", 2);
    }
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

void connection_swallow(struct connection *connection, size_t value_bytes)
{
    connection->store.item = NULL;
    connection->value_left = value_bytes + 2;
    connection->state = CONNECTION_VALUE;
}

/* Serves the command line that comes next. False: it is not complete. */
static bool serve_line(struct connection *connection)
{
    size_t all = evbuffer_get_length(connection->input);
    struct evbuffer_ptr end = evbuffer_search(connection->input, "\n", 1, NULL);
    if (end.pos < 0) {
        connection->is_broken = all > LINE_BYTES_MAX; /* as memcached, without a word */
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

/* Takes in what has come of a value. False: there is more to come. */
static bool serve_value(struct connection *connection)
{
    struct item *item = connection->store.item;
    size_t left = connection->value_left;
    size_t here = evbuffer_get_length(connection->input);
    size_t now = here < left ? here : left;
    char end[2];
    if (item != NULL) {
        evbuffer_remove(connection->input, item_value(item) + item->value_bytes - left, now);
    } else {
        evbuffer_drain(connection->input, now);
    }
    connection->value_left -= now;
    if (connection->value_left > 0 || (item != NULL && here - now < sizeof end)) {
        return false;
    }
    connection->state = CONNECTION_LINE;
    if (item != NULL) {
        evbuffer_remove(connection->input, end, sizeof end);
        memory_upload_end(connection->upload_bytes);
        connection->mutes = connection->store_mutes;
        command_value(connection, memcmp(end, "\r\n", sizeof end) == 0);
    }
    return true;
}

/* Serves what the input has, as far as there is room for replies. */
static void serve(struct connection *connection)
{
    bool goes_on = true;
    while (goes_on && !connection->finishes && !connection->is_broken) {
        reclaim_make_room(&connection->worker->retired);
        connection->is_paused = evbuffer_get_length(connection->output) >= OUTPUT_HIGH;
        goes_on = !connection->is_paused
                  && (connection->state == CONNECTION_LINE   ? serve_line(connection)
                      : connection->state == CONNECTION_KEYS ? command_get_on(connection)
                                                             : serve_value(connection));
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
    connection->lingers &= got != 0;
    room.iov_len = got > 0 ? (size_t)got : 0;
    evbuffer_commit_space(connection->input, &room, 1);
    worker_count(connection->worker, COUNT_bytes_read, room.iov_len);
    return room.iov_len;
}

/* --- events --- */

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
        evbuffer_drain(connection->input, SIZE_MAX); /* what comes now is asked too late */
    }
    /* A paused connection goes on when it can write, in a turn to come, and others are served. */
    !is_sent || (connection->is_paused && !connection->finishes)
        ? event_add(&connection->writable, NULL) : event_del(&connection->writable);
    /* It lingers until the client ends, which may still read: closing now could lose replies. */
    (connection->finishes ? connection->lingers : !connection->is_paused)
        ? event_add(&connection->readable, NULL) : event_del(&connection->readable);
}

static void on_event(evutil_socket_t unused_file, short what, void *argument)
{
    (void)unused_file;
    struct connection *connection = argument;
    worker_awake(connection->worker);
    connection->worker->quiet_ticks = 0;
    if ((what & EV_WRITE) != 0) {
        flush(connection);
        if (connection->is_paused) {
            serve(connection);
        }
    } else if (fill(connection) > 0) {
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

void connection_begin(struct worker *worker, int file)
{
    if (is_refused(worker, file)) {
        return;
    }
    struct connection *connection = memory_buffer_alloc(sizeof *connection);
    struct evbuffer *input = evbuffer_new();
    struct evbuffer *output = evbuffer_new();
    if (connection == NULL || input == NULL || output == NULL) {
        fputs("mbcached: no memory for a connection\n", stderr);
        abort(); /* only if malloc has none either */
    }
    *connection = (struct connection){
        .worker = worker,
        .file = file,
        .speaks_http = worker->number == options.threads,
        .input = input,
        .output = output,
    };
    cds_list_add(&connection->of_worker, &worker->connections);
    worker_count(worker, COUNT_total_connections, 1);
    event_assign(&connection->readable, worker->base, file, EV_READ | EV_PERSIST, on_event,
                 connection);
    event_assign(&connection->writable, worker->base, file, EV_WRITE | EV_PERSIST, on_event,
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
    struct connection *connection;
    struct connection *next;
    cds_list_for_each_entry_safe(connection, next, &worker->connections, of_worker) {
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
