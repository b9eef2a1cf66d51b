/* connection: bytes in and out. The ends of connections, too, are all here. */
#include "connection.h"
#include "allocator.h"
#include "command.h"
#include "get.h"
#include "worker.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
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
    if (connection->input != NULL) {
        evbuffer_free(connection->input);
    }
    if (connection->output != NULL) {
        evbuffer_free(connection->output);
    }
    close(connection->file);
    if (options.verbosity > 0) {
        fprintf(stderr, "<%d connection closed.\n", connection->file);
    }
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

char *connection_reserve(struct connection *connection, size_t bytes)
{
    if (evbuffer_reserve_space(connection->output, (ev_ssize_t)bytes, &connection->room, 1) != 1) {
        connection->is_broken = true; /* half a reply would be worse than none */
        return NULL;
    }
    return connection->room.iov_base;
}

void connection_commit(struct connection *connection, size_t bytes)
{
    connection->room.iov_len = bytes;
    evbuffer_commit_space(connection->output, &connection->room, 1);
}

void connection_reply(struct connection *connection, const char *line)
{
    if (connection->mutes) {
        connection->mutes = false;
        return;
    }
    size_t length = strlen(line);
    char *room = connection_reserve(connection, length + 2);
    if (room != NULL) {
        memcpy(room, line, length);
        memcpy(room + length, "\r\n", 2);
        connection_commit(connection, length + 2);
    }
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

/* What lies in one piece at the input's begin, of all of it. */
static char *input_piece(struct connection *connection, size_t *length)
{
    *length = evbuffer_get_contiguous_space(connection->input);
    return (char *)evbuffer_pullup(connection->input, (ev_ssize_t)*length);
}

/*
 * Serves the command line that comes next. False: it is not complete. A list of keys may be longer
 * than any line, so a get begins before its end has come.
 */
static bool serve_line(struct connection *connection)
{
    size_t all = evbuffer_get_length(connection->input);
    size_t length;
    char *line = input_piece(connection, &length);
    char *end = all > 0 ? memchr(line, '\n', length) : NULL;
    if (end == NULL && length < all) {
        length = all < READ_BYTES_MAX ? all : READ_BYTES_MAX;
        line = (char *)evbuffer_pullup(connection->input, (ev_ssize_t)length);
        end = memchr(line, '\n', length);
    }
    if (end == NULL && length <= LINE_BYTES_MAX) {
        return false;
    }
    if (end == NULL && !get_is_begin(line, length)) {
        connection->is_broken = true; /* as memcached, without a word */
        return false;
    }
    if (end != NULL) {
        length = (size_t)(end - line) + 1;
    }
    size_t used = command_line(connection, line, length, end != NULL);
    evbuffer_drain(connection->input, used);
    return true;
}

static bool serve_keys(struct connection *connection)
{
    size_t all = evbuffer_get_length(connection->input);
    size_t length = all < LINE_BYTES_MAX ? all : LINE_BYTES_MAX;
    char *keys = (char *)evbuffer_pullup(connection->input, (ev_ssize_t)length);
    size_t used = length > 0 ? get_keys(connection, keys, length) : 0;
    evbuffer_drain(connection->input, used);
    return used > 0;
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
            goes_on = serve_keys(connection);
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

/* Where a read goes: the rest of a value into its item, and what is behind it into the input. */
static int room_for_read(struct connection *connection, struct iovec room[2])
{
    int count = 0;
    if (connection->state == CONNECTION_VALUE && evbuffer_get_length(connection->input) == 0) {
        struct item *item = connection->store.item;
        room[0].iov_base = item_value(item) + connection->filled_bytes;
        room[0].iov_len = item->value_bytes - connection->filled_bytes;
        count = room[0].iov_len > 0;
    }
    struct evbuffer_iovec input;
    if (evbuffer_reserve_space(connection->input, (ev_ssize_t)connection->read_bytes, &input, 1)
        != 1) {
        return 0;
    }
    room[count].iov_base = input.iov_base;
    room[count].iov_len = input.iov_len < READ_BYTES_MAX ? input.iov_len : READ_BYTES_MAX;
    return count + 1;
}

/* One read. Returns its bytes; 0 when there are none now, or never again. */
static size_t fill(struct connection *connection)
{
    struct iovec room[2];
    int count = room_for_read(connection, room);
    ssize_t got = count > 0 ? readv(connection->file, room, count) : -1;
    if (got <= 0) {
        bool again = count > 0 && got < 0 && (errno == EAGAIN || errno == EINTR);
        connection->is_broken |= got < 0 && !again;
        connection->finishes |= got == 0;
        return 0;
    }
    worker_count(connection->worker, COUNT_bytes_read, (uint64_t)got);
    size_t in_item = count == 2 ? room[0].iov_len : 0;
    in_item = (size_t)got < in_item ? (size_t)got : in_item;
    connection->filled_bytes += in_item;
    size_t in_input = (size_t)got - in_item;
    struct evbuffer_iovec used = { room[count - 1].iov_base, in_input };
    evbuffer_commit_space(connection->input, &used, 1);
    /* Idle clients and short requests need little, pipelines more. */
    if (in_input == room[count - 1].iov_len && connection->read_bytes < READ_BYTES_MAX) {
        connection->read_bytes *= 2;
    } else if (in_input < connection->read_bytes / 4 && connection->read_bytes > READ_BYTES_MIN) {
        connection->read_bytes /= 2;
    }
    return (size_t)got;
}

/* --- events --- */

static void event_want(struct event *event, short what, bool wanted)
{
    if (wanted != (event_pending(event, what, NULL) != 0)) {
        if (wanted) {
            event_add(event, NULL);
        } else {
            event_del(event);
        }
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
    event_want(&connection->writable, EV_WRITE,
               !is_sent || (connection->is_paused && !connection->finishes));
    event_want(&connection->readable, EV_READ,
               connection->lingers || !(connection->is_paused || connection->finishes));
}

/* The client of a connection that lingers: it reads our replies, so closing now could lose them. */
static void discard(struct connection *connection)
{
    char unwanted[4096];
    ssize_t got = read(connection->file, unwanted, sizeof unwanted);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        connection->is_broken = true;
    }
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
    ssize_t unused = write(file, refusal, sizeof refusal - 1);
    (void)unused;
    close(file);
    return true;
}

void connection_begin(struct worker *worker, int file)
{
    if (is_refused(worker, file)) {
        return;
    }
    struct connection *connection = allocator_buffer_alloc(sizeof *connection);
    if (connection == NULL) {
        atomic_fetch_sub_explicit(&open_count, 1, memory_order_relaxed); /* [OPEN] */
        close(file);
        return;
    }
    *connection = (struct connection){
        .next = worker->connections,
        .worker = worker,
        .file = file,
        .input = evbuffer_new(),
        .output = evbuffer_new(),
        .read_bytes = READ_BYTES_MIN,
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
    if (connection->input == NULL || connection->output == NULL) {
        connection_end(connection);
        return;
    }
    event_add(&connection->readable, NULL);
    if (options.verbosity > 0) {
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
