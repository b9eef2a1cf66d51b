/* worker: sockets, loops, ticks, and the end. */
#include "worker.h"

#include "allocator.h"
#include "clock.h"
#include "connection.h"
#include "expiry.h"
#include "metrics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TICKS_PER_SECOND = 10, DRAIN_TICKS = 2 * TICKS_PER_SECOND, BACKLOG = 1024 };

struct worker workers[WORKERS_MAX];

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
        worker->now_s = expiry_now();
    }
}

static void turn_end(struct worker *worker)
{
    if (worker->is_awake) {
        reclaim_turn_end(&worker->retired, worker->ticks);
        worker->ticks = false;
        worker->is_awake = false;
        reclaim_asleep();
    }
}

/* A worker that has read nothing for a second keeps nothing cached: others can use it. */
static void rest(struct worker *worker)
{
    uint64_t read_bytes = worker_counted(worker, COUNT_bytes_read);
    worker->quiet_ticks = read_bytes == worker->read_at_tick ? worker->quiet_ticks + 1 : 0;
    worker->read_at_tick = read_bytes;
    if (worker->quiet_ticks % TICKS_PER_SECOND == 1) {
        allocator_thread_idle();
    }
}

/* [DRAINS] relaxed: a flag that carries nothing else. A worker sees it at one of its ticks. */
static atomic_bool all_drain;

static void drain_begin(struct worker *worker)
{
    worker->drains = true;
    worker->drain_ticks_left = DRAIN_TICKS;
    evconnlistener_free(worker->listener);
    worker->listener = NULL;
    connections_drain(worker);
}

static void on_tick(evutil_socket_t unused_file, short unused_what, void *argument)
{
    (void)unused_file;
    (void)unused_what;
    struct worker *worker = argument;
    worker_awake(worker);
    worker->ticks = true;
    if (worker->number == 0) {
        expiry_tick(worker->now_s);
    }
    clock_sweep(worker, worker->number, options.threads); /* its share of the rings */
    rest(worker);
    if (!worker->drains && atomic_load_explicit(&all_drain, memory_order_relaxed)) { /* [DRAINS] */
        drain_begin(worker);
    } else if (worker->drains && --worker->drain_ticks_left == 0) {
        connections_end(worker);
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

static void *worker_run(void *argument)
{
    struct worker *worker = argument;
    reclaim_thread_begin();
    while (!worker->drains || worker->connections != NULL) {
        event_base_loop(worker->base, EVLOOP_ONCE);
        turn_end(worker);
    }
    reclaim_thread_end(&worker->retired);
    return NULL;
}

/* One of several sockets on the same port, among which the kernel spreads new connections. */
static int listen_on(const struct sockaddr_in *address, int shared)
{
    int file = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    if (file < 0 || setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0
        || setsockopt(file, SOL_SOCKET, SO_REUSEPORT, &shared, sizeof shared) != 0
        || bind(file, (const struct sockaddr *)address, sizeof *address) != 0
        || listen(file, BACKLOG) != 0) {
        char what[80];
        snprintf(what, sizeof what, "cannot listen on %s:%u", options.address,
                 ntohs(address->sin_port));
        fail(what);
    }
    return file;
}

static void worker_prepare(struct worker *worker, int listening)
{
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    worker->base = event_base_new_with_config(config);
    event_config_free(config);
    if (worker->base == NULL) {
        fail("cannot make an event loop");
    }
    worker->listener = evconnlistener_new(worker->base, on_accept, worker,
                                          LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0,
                                          listening);
    const struct timeval period = { 0, 1000000 / TICKS_PER_SECOND };
    worker->tick = event_new(worker->base, -1, EV_PERSIST, on_tick, worker);
    event_add(worker->tick, &period);
}

void workers_start(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    address.sin_port = htons((uint16_t)options.port);
    if (inet_pton(AF_INET, options.address, &address.sin_addr) != 1) {
        fprintf(stderr, "mbcached: -l: \"%s\" is not accepted; it takes an IPv4 address\n",
                options.address);
        exit(2);
    }
    close(listen_on(&address, false)); /* tells whether another process has the port */
    for (unsigned i = 0; i < options.threads; i++) {
        int listening = listen_on(&address, true);
        socklen_t length = sizeof address; /* port 0 becomes the first socket's */
        getsockname(listening, (struct sockaddr *)&address, &length);
        workers[i].number = i;
        worker_prepare(&workers[i], listening);
    }
    metrics_start(workers[0].base);
    fprintf(stderr, "mbcached: listening on %s:%u\n", options.address, ntohs(address.sin_port));
    for (unsigned i = 0; i < options.threads; i++) {
        errno = pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]);
        if (errno != 0) {
            fail("cannot start a thread");
        }
    }
}

void workers_drain(void)
{
    atomic_store_explicit(&all_drain, true, memory_order_relaxed); /* [DRAINS] */
    for (unsigned i = 0; i < options.threads; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    reclaim_thread_begin();
    reclaim_awake();
    clock_evict(&workers[0], SIZE_MAX);
    reclaim_thread_end(&workers[0].retired);
    metrics_stop();
    for (unsigned i = 0; i < options.threads; i++) {
        event_free(workers[i].tick);
        event_base_free(workers[i].base);
    }
}
