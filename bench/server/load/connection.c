/* connection: asks, receives, and checks. Each reply is taken as a whole or not yet. */
#include "connection.h"

#include "report.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { RECEIVE_BYTES = 32768, LINE_BYTES_MAX = 2048, INCOMPLETE = 0 };
static const char end_of_value[] = "\r\nEND\r\n";

__attribute__((format(printf, 3, 4)))
static void complain(struct worker *worker, const struct connection *connection,
                     const char *format, ...)
{
    char text[256];
    va_list arguments;
    if (worker->complained) {
        return;
    }
    worker->complained = true; /* the others are in the figures */
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "mbload: connection %u: %s\n", connection->number, text);
}

/* `bytes` more, behind what is there. */
static char *buffer_room(struct buffer *buffer, size_t bytes)
{
    if (buffer->start > 0 && buffer->end + bytes > buffer->capacity) {
        memmove(buffer->bytes, buffer->bytes + buffer->start, buffer->end - buffer->start);
        buffer->end -= buffer->start;
        buffer->start = 0;
    }
    if (buffer->end + bytes > buffer->capacity) {
        buffer->capacity = 2 * (buffer->end + bytes);
        buffer->bytes = realloc(buffer->bytes, buffer->capacity);
        if (buffer->bytes == NULL) {
            report_die("there is no memory for a buffer of %zu bytes", buffer->capacity);
        }
    }
    return buffer->bytes + buffer->end;
}

static void open_socket(struct connection *connection, struct worker *worker)
{
    int on = 1;
    connection->socket = socket(options.address.ss_family,
                                SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->socket < 0) {
        report_die("socket: %s; is `ulimit -n` too low for the connections?", strerror(errno));
    }
    setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(connection->socket, (const struct sockaddr *)&options.address,
                options.address_bytes) != 0 && errno != EINPROGRESS) {
        report_die("connect: %s; if local ports are short, a larger --churn helps",
                   strerror(errno));
    }
    connection->since_open = 0;
    connection->in.start = connection->in.end = connection->out.start = connection->out.end = 0;
    /* Told once each time that it is connected, has more to read, or room to send again. */
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection };
    if (epoll_ctl(worker->epoll, EPOLL_CTL_ADD, connection->socket, &event) != 0) {
        report_die("epoll_ctl: %s", strerror(errno));
    }
}

static void close_socket(struct connection *connection, struct worker *worker)
{
    close(connection->socket);
    connection->socket = -1;
    worker->open--;
}

/* What is under way is lost, and is not asked for again. */
static void lose(struct connection *connection, struct worker *worker, const char *why)
{
    complain(worker, connection, "%s with %u replies to come", why, connection->count);
    worker->tally.count[ERRORS] += 1 + connection->count;
    connection->count = 0;
    close_socket(connection, worker);
}

void connection_start(struct connection *connection, struct worker *worker, unsigned number)
{
    connection->number = number;
    connection->requests = calloc(options.pipeline, sizeof *connection->requests);
    if (connection->requests == NULL) {
        report_die("there is no memory for the connections");
    }
    worker->open++;
    open_socket(connection, worker);
}

static void append(struct connection *connection, struct request *request)
{
    size_t bytes = request->is_get ? 0 : keyspace_value_bytes(request->key, request->version);
    char *start = buffer_room(&connection->out, 64 + KEY_BYTES_MAX + bytes);
    char *at = stpcpy(start, request->is_get ? "get " : "set ");
    size_t name_bytes = keyspace_name(request->key, at);
    at += name_bytes;
    if (!request->is_get) {
        at += sprintf(at, " %u 0 %zu\r\n", request->version, bytes);
        keyspace_value(request->key, request->version, bytes, at, NULL);
        at += bytes;
    }
    at = stpcpy(at, "\r\n");
    connection->out.end += (size_t)(at - start);
    request->bytes = (uint32_t)(name_bytes + bytes);
}

static bool is_worn(const struct connection *connection)
{
    return options.churn != 0 && connection->since_open >= options.churn;
}

/* Appends the next request; false: there is none to come on this connection. */
static bool ask(struct connection *connection, struct worker *worker)
{
    unsigned slot = (connection->head + connection->count) % options.pipeline;
    struct request *request = &connection->requests[slot];
    if (worker->stopping || is_worn(connection)) {
        return false;
    }
    *request = (struct request){ .start_ns = worker->now_ns };
    if (options.fill) {
        request->key = keyspace_fill(connection->number, connection->filled);
        if (request->key >= options.keys) {
            return false;
        }
        connection->filled++;
    } else {
        request->key = keyspace_draw(&worker->random);
        request->is_get = keyspace_share(&worker->random) < options.get_share;
        if (!request->is_get) { /* of the keys near it, the one that this connection stores */
            uint32_t key = request->key - request->key % options.connections + connection->number;
            request->key = key < options.keys ? key : key - options.connections;
        }
    }
    request->version = request->is_get ? keyspace_acknowledged(request->key)
                                       : ++connection->version;
    append(connection, request);
    connection->count++;
    connection->since_open++;
    return true;
}

/* False when the connection was lost. What the socket does not take goes when it is ready again. */
static bool send_out(struct connection *connection, struct worker *worker)
{
    struct buffer *out = &connection->out;
    size_t bytes = out->end - out->start;
    ssize_t sent = send(connection->socket, out->bytes + out->start, bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        lose(connection, worker, strerror(errno));
        return false;
    }
    out->start += sent > 0 ? (size_t)sent : 0;
    return true;
}

/* Keeps --pipeline requests under way; where none is and none comes, opens anew or closes. */
static void go_on(struct connection *connection, struct worker *worker)
{
    while (connection->count < options.pipeline && ask(connection, worker)) {
    }
    if (!send_out(connection, worker) || connection->count > 0) {
        return;
    }
    close_socket(connection, worker);
    if (!worker->stopping && is_worn(connection)) {
        worker->tally.count[RECONNECTS]++;
        worker->open++;
        open_socket(connection, worker);
    }
}

/* "VALUE name flags bytes\r\n", the bytes, end_of_value */
static ssize_t take_value(const struct connection *connection, struct worker *worker,
                          const struct request *request, const char *reply, size_t available)
{
    char head[8 + KEY_BYTES_MAX] = "VALUE ", *at;
    size_t head_bytes = 6 + keyspace_name(request->key, head + 6);
    if (memcmp(reply, head, head_bytes < available ? head_bytes : available) != 0) {
        return -1;
    }
    uint32_t version = (uint32_t)strtoul(reply + head_bytes, &at, 10);
    size_t bytes = strtoul(at, &at, 10);
    if (strncmp(at, "\r\n", 2) != 0 || bytes > VALUE_BYTES_MAX) {
        return -1;
    }
    const char *value = at + 2;
    size_t all = (size_t)(value - reply) + bytes + strlen(end_of_value);
    if (available < all) {
        return INCOMPLETE;
    }
    if (memcmp(value + bytes, end_of_value, strlen(end_of_value)) != 0) {
        return -1;
    }
    worker->tally.count[HITS]++;
    if (options.verify && !keyspace_value(request->key, version, bytes, NULL, value)) {
        worker->tally.count[WRONG]++;
        complain(worker, connection, "key %u, version %u: its %zu bytes are not those stored",
                 request->key, version, bytes);
    } else if (options.verify && version < request->version) {
        worker->tally.count[STALE]++;
        complain(worker, connection, "key %u: version %u came, and %u was acknowledged before",
                 request->key, version, request->version);
    }
    return (ssize_t)all;
}

/* Takes one reply; returns its length, INCOMPLETE, or -1 when what came is none. */
static ssize_t take_reply(const struct connection *connection, struct worker *worker,
                          const struct request *request)
{
    const char *reply = connection->in.bytes + connection->in.start;
    size_t available = connection->in.end - connection->in.start;
    const char *newline = memchr(reply, '\n', available);
    if (newline == NULL) {
        return available > LINE_BYTES_MAX ? -1 : INCOMPLETE;
    }
    ssize_t bytes = newline + 1 - reply;
    if (request->is_get && strncmp(reply, "VALUE ", 6) == 0) {
        return take_value(connection, worker, request, reply, available);
    }
    if (!request->is_get && bytes == 8 && strncmp(reply, "STORED\r\n", 8) == 0) {
        keyspace_acknowledge(request->key, request->version);
        worker->tally.count[STORED]++;
        worker->tally.count[STORED_BYTES] += request->bytes;
    } else if (strncmp(reply, "SERVER_ERROR out of memory", 26) == 0) {
        worker->tally.count[REFUSED]++;
    } else if (!request->is_get || bytes != 5 || strncmp(reply, "END\r\n", 5) != 0) { /* no miss */
        worker->tally.count[ERRORS]++;
        complain(worker, connection, "the server answers %.*s", (int)strcspn(reply, "\r\n"), reply);
    }
    return bytes;
}

/* False when the connection was lost. */
static bool take_replies(struct connection *connection, struct worker *worker)
{
    while (connection->in.start < connection->in.end) {
        const struct request *request = &connection->requests[connection->head];
        ssize_t taken = connection->count == 0 ? -1 : take_reply(connection, worker, request);
        if (taken < 0) {
            lose(connection, worker, "something came that is no reply to its request,");
            return false;
        }
        if (taken == INCOMPLETE) {
            return true;
        }
        connection->in.start += (size_t)taken;
        histogram_add(&worker->tally.latency, worker->now_ns - request->start_ns);
        worker->tally.count[request->is_get ? GETS : SETS]++;
        connection->head = (connection->head + 1) % options.pipeline;
        connection->count--;
    }
    return true;
}

/* Until there is no more, as nobody tells again; false when the connection was lost. */
static bool receive(struct connection *connection, struct worker *worker)
{
    size_t bytes;
    ssize_t got;
    do {
        char *room = buffer_room(&connection->in, RECEIVE_BYTES);
        bytes = connection->in.capacity - connection->in.end - 1;
        got = recv(connection->socket, room, bytes, 0);
        if (got < 0 && errno == EAGAIN) {
            return true;
        }
        if (got <= 0) {
            lose(connection, worker, got == 0 ? "the server closed it" : strerror(errno));
            return false;
        }
        connection->in.end += (size_t)got;
        connection->in.bytes[connection->in.end] = '\0'; /* where the parser stops at the latest */
        if (!take_replies(connection, worker)) {
            return false;
        }
    } while ((size_t)got == bytes);
    return true;
}

void connection_ready(struct connection *connection, struct worker *worker)
{
    if (connection->socket < 0) {
        return; /* closed in this turn */
    }
    worker->now_ns = (uint64_t)report_clock_ns(CLOCK_MONOTONIC);
    if (receive(connection, worker)) {
        go_on(connection, worker);
    }
}

void connection_end(struct connection *connection, struct worker *worker)
{
    if (connection->socket >= 0) {
        worker->tally.count[UNANSWERED] += connection->count;
        close_socket(connection, worker);
    }
    free(connection->in.bytes);
    free(connection->out.bytes);
    free(connection->requests);
}
