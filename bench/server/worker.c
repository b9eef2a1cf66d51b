/* worker: sockets, loops, ticks, and the end. */
#include "worker.h"

#include "connection.h"
#include "memory.h"
#include "table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { TICKS_PER_SECOND = 10, DRAIN_TICKS = 2 * TICKS_PER_SECOND, BACKLOG = 1024 };

struct worker workers[WORKERS_MAX + 1];
static unsigned workers_count; /* constant after the start */

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "mbcached: %s: %s\n", what, strerror(errno));
    exit(1);
}

void worker_awake(struct worker *worker)
{
    if (!worker->is_awake) {
        worker->is_awake = true;
        reclaim_awake();
        worker->now_s = item_now();
    }
}

/* [DRAINS] relaxed: a flag that carries nothing else. A worker sees it at one of its ticks. */
static atomic_bool all_drain;

static void on_tick(evutil_socket_t unused_file, short unused_what, void *argument)
{
    (void)unused_file;
    (void)unused_what;
    struct worker *worker = argument;
    worker_awake(worker);
    worker->ticks = true;
    if (worker->number == 0) {
        item_flush_tick(worker->now_s);
    }
    table_sweep(worker, worker->number, options.threads); /* its share of the rings */
    if (memory_uploads_crowd()) {
        connections_end(worker, true);
    }
    if (++worker->quiet_ticks > 1) {
        memory_thread_idle(); /* others can use what it has cached, and mb_trim gets at it */
    }
    if (worker->drain_ticks > DRAIN_TICKS) {
        connections_end(worker, false);
    } else if (worker->drain_ticks > 0) {
        worker->drain_ticks++;
    } else if (atomic_load_explicit(&all_drain, memory_order_relaxed)) { /* [DRAINS] */
        worker->drain_ticks = 1;
        evconnlistener_free(worker->listener);
        connections_drain(worker);
    } else {
        evconnlistener_enable(worker->listener); /* on_accept_error may have stopped it */
    }
}

static void on_accept(struct evconnlistener *unused, evutil_socket_t file,
                      struct sockaddr *unused_address, int unused_length, void *argument)
{
    (void)unused;
    (void)unused_address;
    (void)unused_length;
    worker_awake(argument);
    connection_begin(argument, file);
}

/* Most likely there are too many open files. Until the next tick it would only fail again. */
static void on_accept_error(struct evconnlistener *listener, void *unused)
{
    static atomic_flag is_said = ATOMIC_FLAG_INIT; /* [SAID] relaxed: one worker finds it clear */
    (void)unused;
    int error = errno;
    evconnlistener_disable(listener);
    if (options_verbosity() > 0
        && !atomic_flag_test_and_set_explicit(&is_said, memory_order_relaxed)) { /* [SAID] */
        fprintf(stderr, "mbcached: connections have to wait: %s\n", strerror(error));
    }
}

static void *worker_run(void *argument)
{
    struct worker *worker = argument;
    reclaim_thread_begin();
    while (worker->drain_ticks == 0 || !cds_list_empty(&worker->connections)) {
        event_base_loop(worker->base, EVLOOP_ONCE);
        if (worker->is_awake) {
            reclaim_turn_end(&worker->retired, worker->ticks);
            worker->ticks = false;
            worker->is_awake = false;
        }
    }
    reclaim_thread_end(&worker->retired);
    return NULL;
}

static struct evconnlistener *listen_on(struct worker *worker, struct sockaddr_in *address,
                                        unsigned flags)
{
    enum { FLAGS = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE };
    struct evconnlistener *listener =
        evconnlistener_new_bind(worker->base, on_accept, worker, FLAGS | flags, BACKLOG,
                                (struct sockaddr *)address, sizeof *address);
    if (listener == NULL) {
        fprintf(stderr, "mbcached: cannot listen on %s:%u: %s\n", options.address,
                ntohs(address->sin_port), strerror(errno));
        exit(1);
    }
    evconnlistener_set_error_cb(listener, on_accept_error);
    socklen_t length = sizeof *address; /* port 0 becomes one that is free */
    getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)address, &length);
    return listener;
}

/* Each worker has a socket on the same port; the kernel spreads new connections among them. */
static void sockets_open(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    if (inet_pton(AF_INET, options.address, &address.sin_addr) != 1) {
        fprintf(stderr, "mbcached: -l: \"%s\" is not accepted; it takes an IPv4 address\n",
                options.address);
        exit(2);
    }
    struct sockaddr_in http = address;
    address.sin_port = htons((uint16_t)options.port);
    struct sockaddr_in probe = address; /* tells whether another process has the port */
    evconnlistener_free(listen_on(&workers[0], &probe, 0));
    for (unsigned i = 0; i < options.threads; i++) {
        workers[i].listener = listen_on(&workers[i], &address, LEV_OPT_REUSEABLE_PORT);
    }
    if (options.metrics_port != 0) {
        struct worker *worker = &workers[options.threads];
        http.sin_port = htons((uint16_t)options.metrics_port);
        worker->listener = listen_on(worker, &http, 0);
        fprintf(stderr, "mbcached: metrics on %s:%zu\n", options.address, options.metrics_port);
    }
    fprintf(stderr, "mbcached: listening on %s:%u\n", options.address, ntohs(address.sin_port));
}

void workers_start(void)
{
    workers_count = (unsigned)options.threads + (options.metrics_port != 0);
    const struct timeval period = { 0, 1000000 / TICKS_PER_SECOND };
    for (unsigned i = 0; i < workers_count; i++) {
        struct worker *worker = &workers[i];
        worker->number = i;
        CDS_INIT_LIST_HEAD(&worker->connections);
        worker->base = event_base_new();
        if (worker->base == NULL) {
            fail("cannot make an event loop");
        }
        worker->tick = event_new(worker->base, -1, EV_PERSIST, on_tick, worker);
        event_add(worker->tick, &period);
    }
    sockets_open();
    for (unsigned i = 0; i < workers_count; i++) {
        errno = pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]);
        if (errno != 0) {
            fail("cannot start a thread");
        }
    }
}

void workers_drain(void)
{
    atomic_store_explicit(&all_drain, true, memory_order_relaxed); /* [DRAINS] */
    for (unsigned i = 0; i < workers_count; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    reclaim_thread_begin();
    reclaim_awake();
    table_evict(&workers[0], SIZE_MAX);
    reclaim_thread_end(&workers[0].retired);
    for (unsigned i = 0; i < workers_count; i++) {
        event_free(workers[i].tick);
        event_base_free(workers[i].base);
    }
}
