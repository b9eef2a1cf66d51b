/*
 * worker: a thread with an event loop, a listening socket, and the connections that it accepted,
 * which stay with it.
 *
 * A turn is one round of the loop. It begins with the first callback, which calls worker_awake:
 * from there to the turn's end the thread is a reader of the table. Between turns, while it sleeps
 * in epoll, nobody waits for it.
 */
#pragma once

#include "options.h"
#include "reclaim.h"
#include "stats.h"

#include <event2/event.h>
#include <event2/listener.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

/* Written by its own thread only. Of other threads' fields the counters alone are read. */
struct worker {
    unsigned number;
    pthread_t thread;
    struct event_base *base;
    struct evconnlistener *listener;
    struct event *tick;               /* ten times a second */
    struct cds_list_head connections; /* owned */
    bool is_awake;
    bool ticks; /* this turn has a tick */
    unsigned drain_ticks; /* since it began to drain; 0: it does not */
    uint32_t now_s; /* as of the turn's begin */
    unsigned quiet_ticks; /* since a client was served */
    uint64_t cas_count; /* store.c */
    unsigned evict_ring; /* the ring that it evicts from next */
    size_t since_look_bytes; /* allocated for items since it last looked at what is taken */
    size_t large_most; /* beyond the pools, since it last had malloc trimmed */
    struct retired retired;
    _Atomic uint64_t counters[COUNTERS];
};

/* The first options.threads of them; and one more, which serves --metrics-port. */
extern struct worker workers[WORKERS_MAX + 1];

/* Opens all sockets, starts all threads. Ends the process with a message when it cannot. */
void workers_start(void);

/* Tells the workers to finish, and waits until they have. */
void workers_drain(void);

/* [COUNTER] relaxed: one writer, its worker; a sum is of about now, and orders nothing. */
static inline uint64_t worker_counted(const struct worker *worker, enum counter counter)
{
    return atomic_load_explicit(&worker->counters[counter], memory_order_relaxed); /* [COUNTER] */
}

static inline void worker_count(struct worker *worker, enum counter counter, uint64_t number)
{
    number += worker_counted(worker, counter);
    atomic_store_explicit(&worker->counters[counter], number, memory_order_relaxed); /* [COUNTER] */
}

/* The first thing in each callback that touches items. */
void worker_awake(struct worker *worker);
