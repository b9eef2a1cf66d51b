/*
 * worker: a thread with an event loop, a listening socket, and the connections that it accepted,
 * which stay with it.
 *
 * A turn is one round of the loop. It begins with the first callback, which calls worker_awake:
 * from there to the turn's end the thread is a reader of the table. Between turns, while it sleeps
 * in epoll, nobody waits for it.
 */
#ifndef MBCACHED_WORKER_H
#define MBCACHED_WORKER_H

#include "budget.h"
#include "options.h"
#include "reclaim.h"
#include "stats.h"

#include <event2/event.h>
#include <event2/listener.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct connection;

/* Written by its own thread only. Of other threads' fields the counters alone are read. */
struct worker {
    unsigned number;
    pthread_t thread;
    struct event_base *base;
    struct evconnlistener *listener; /* NULL once it drains */
    struct event *tick;              /* ten times a second */
    struct event *wake;              /* the main thread writes to it when it is time to drain */
    int wake_file;
    struct connection *connections; /* a list, owned */
    bool is_awake;
    bool drains;
    unsigned drain_ticks_left;
    uint32_t now_s; /* as of the turn's begin */
    uint64_t read_at_tick;
    unsigned quiet_ticks;
    uint64_t cas_count; /* store.c */
    unsigned evict_ring; /* the ring that it evicts from next */
    struct budget_share budget;
    struct retired retired;
    struct counters counters;
};

extern struct worker workers[WORKERS_MAX]; /* the first options.threads of them */

/* Opens all sockets, starts all threads. Ends the process with a message when it cannot. */
void workers_start(void);

/* Tells the workers to finish, and waits until they have. */
void workers_drain(void);

/* The first thing in each callback that touches items. */
void worker_awake(struct worker *worker);

#endif
